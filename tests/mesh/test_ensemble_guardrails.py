"""Guardrails on the answer path over real gRPC: who is asked, what is told, what is sealed."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from arenalab.api.common.v1 import answer_pb2, message_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.fallback.v1 import fallback_service_pb2 as fallback_pb
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.ensemble.config import EnsembleConfig
from arenalab.ensemble.wiring import running_ensemble
from arenalab.mesh import ConfigError, Telemetry
from tests.mesh.test_ensemble_service import World, running_world

RULES = {
    "patterns": [
        {"name": "mail", "pattern": r"[a-z]{1,32}@[a-z.]{3,32}", "action": "redact",
         "reason": "an address"},
        {"name": "secret", "pattern": "xyzzy", "action": "block"},
    ]
}  # fmt: skip


# Longer than what is held back, so that it is found before the end.
SAYS = "to say xyzzy " + "or so " * 12


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    path = tmp_path / "guardrails.json"
    path.write_text(json.dumps(RULES))
    async with running_world(tmp_path, guardrails_path=path) as running:
        yield running


def _verdicts(finished: pb.AnswerFinished) -> list[tuple[str, str, str, int]]:
    return [
        (
            one.guardrail,
            pb.GuardrailStage.Name(one.stage).removeprefix("GUARDRAIL_STAGE_"),
            pb.GuardrailAction.Name(one.action).removeprefix("GUARDRAIL_ACTION_"),
            one.findings,
        )
        for one in finished.guardrails
    ]


def _remembers(world: World, output: str) -> None:
    said = world.predictor.says["faq"]
    assert isinstance(said, predictor_pb.PredictResponse)
    said.output = output
    said.evidence[0].outcome = output
    said.sentences.extend([answer_pb2.Sentence(text=output, span_ids=["s1"])])


async def test_where_nothing_is_found_each_guardrail_passes(world: World) -> None:
    text, finished, _ = await world.ask()
    assert text == "Like this."
    assert _verdicts(finished) == [
        ("mail", "INPUT", "PASS", 0),
        ("secret", "INPUT", "PASS", 0),
        ("mail", "OUTPUT", "PASS", 0),
        ("secret", "OUTPUT", "PASS", 0),
    ]
    assert finished.guarantee.status == answer_pb2.GUARANTEE_STATUS_VALID


async def test_a_blocked_question_is_asked_of_nobody(world: World) -> None:
    for model in ("arenalab", "local/tiny"):
        text, finished, kinds = await world.ask(model=model, text="Is it xyzzy?")
        assert text == "A guardrail does not let this question be answered."
        assert kinds == ["started", "delta", "finished"]
        assert (finished.route, finished.finish_reason) == (pb.ROUTE_ABSTAIN, "content_filter")
        assert ("secret", "INPUT", "BLOCK", 1) in _verdicts(finished)
        assert finished.HasField("receipt")
    assert not world.predictor.requests
    assert not world.fallback.requests


async def test_what_is_taken_from_a_question_reaches_nobody_and_is_not_sealed(
    world: World,
) -> None:
    world.predictor.says["faq"] = predictor_pb.PredictResponse(
        abstention=answer_pb2.Abstention(reason=answer_pb2.ABSTAIN_REASON_NO_SUPPORT)
    )
    turns = json.dumps([{"role": "user", "content": "Who is ann@corp.example?"}])
    _, finished, _ = await world.ask(text="Who is ann@corp.example?", messages_json=turns)
    assert ("mail", "INPUT", "REDACT", 1) in _verdicts(finished)
    [asked], [completed] = world.predictor.requests, world.fallback.requests
    assert asked.messages[0].content == completed.messages[0].content == "Who is [mail]?"
    assert json.loads(completed.messages_json)[0]["content"] == "Who is [mail]?"
    assert "ann@" not in str(world.ledger.entries)


async def test_an_answer_of_memory_is_redacted_wherever_it_is_told(world: World) -> None:
    _remembers(world, "Ask ann@corp.example.")
    text, finished, _ = await world.ask()
    assert text == "Ask [mail]"
    assert ("mail", "OUTPUT", "REDACT", 1) in _verdicts(finished)
    assert finished.finish_reason == "stop"
    assert "ann@" not in str(finished)
    # What is told is not what the bound speaks of.
    assert finished.guarantee.status == answer_pb2.GUARANTEE_STATUS_DEGRADED
    [entry] = world.ledger.entries
    assert entry.content["answer"] == text


async def test_the_verdict_is_in_the_leaf_without_a_word_of_anybody(world: World) -> None:
    _remembers(world, "Say xyzzy now.")
    text, finished, _ = await world.ask()
    assert (text, finished.finish_reason) == ("Say ", "content_filter")
    [entry] = world.ledger.entries
    facts = json.loads(entry.facts_json)
    assert facts["guardrails"][-1] == {
        "guardrail": "secret", "stage": "output", "action": "block", "findings": 1,
    }  # fmt: skip
    assert "xyzzy" not in entry.facts_json
    assert entry.content["answer"] == "Say "
    assert finished.route == pb.ROUTE_MEMORY


@pytest.mark.parametrize(
    "pieces",
    [(SAYS,), ("to sa", "y xy", "zzy", SAYS[12:]), tuple(SAYS)],
)
async def test_a_providers_stream_ends_before_the_finding_and_its_call_with_it(
    world: World, pieces: tuple[str, ...]
) -> None:
    world.predictor.says = {}
    world.fallback.writes = pieces
    world.fallback.hangs = True  # for ever, unless the call is cancelled
    text, finished, _ = await world.ask()
    assert (text, finished.finish_reason) == ("to say ", "content_filter")
    assert ("secret", "OUTPUT", "BLOCK", 1) in _verdicts(finished)
    await world.fallback.ended.wait()
    [entry] = world.ledger.entries
    assert entry.content["answer"] == "to say "


async def test_the_arguments_of_a_call_are_read_whole(world: World) -> None:
    world.predictor.says = {}
    world.fallback.finish_reason = "tool_calls"

    def piece(arguments: str) -> fallback_pb.CompletionDelta:
        call = {"index": 0, "id": "c", "type": "function",
                "function": {"name": "send", "arguments": arguments}}  # fmt: skip
        return fallback_pb.CompletionDelta(tool_calls_json=json.dumps([call]))

    question = pb.AnswerRequest(
        messages=[message_pb2.Message(role=message_pb2.ROLE_USER, content="Send it.")]
    )
    world.fallback.writes = (piece('{"to": "ann@co'), piece('rp.example"}'))
    events = [event async for event in world.stub.Answer(question)]
    [told] = [event.delta.tool_calls_json for event in events if event.delta.tool_calls_json]
    assert json.loads(told)[0]["function"]["arguments"] == '{"to": "[mail]"}'
    assert events[-1].finished.finish_reason == "tool_calls"
    world.fallback.writes = (piece('{"to": "xyz'), piece('zy"}'))
    events = [event async for event in world.stub.Answer(question)]
    assert not any(event.delta.tool_calls_json for event in events)
    assert events[-1].finished.finish_reason == "content_filter"


async def test_rules_that_cannot_be_read_stop_the_start(tmp_path: Path) -> None:
    config = EnsembleConfig(address="127.0.0.1:0", guardrails_path=tmp_path / "none.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        async with running_ensemble(config, Telemetry("ensemble")):
            pass
