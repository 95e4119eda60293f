"""What the ensemble seals of an answer, so that it can be asked again and compared."""

import json
from dataclasses import replace
from typing import Any

import grpc
import pytest
from blake3 import blake3
from google.protobuf import json_format, struct_pb2

from arenalab.api.common.v1 import answer_pb2, message_pb2, span_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as pb_grpc
from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.ensemble.entries import MAX_NOTE_BYTES, MAX_TEXT_BYTES, Said, answer_entry
from arenalab.ledger.wire import entry_from_proto
from arenalab.mesh import NotReadyError
from tests.mesh.test_ensemble_service import World, _abstains, _answers, _question, traced, world

__all__ = ["traced", "world"]  # fixtures

TRACE = "0af7651916cd43dd8448eb211c80319c"


async def _seal(world: World, **kwargs: Any) -> ledger_pb.AppendRequest:
    """Asks, and returns the one entry that was sealed since."""
    before = len(world.ledger.entries)
    await world.ask(**kwargs)
    [entry] = world.ledger.entries[before:]
    entry_from_proto(entry)  # the real ledger takes it
    return entry


async def test_the_whole_request_can_be_read_from_the_sealed_content(world: World) -> None:
    passthrough = struct_pb2.Struct()
    passthrough.update({"tools": [{"type": "function", "function": {"name": "f"}}]})
    request = _question(
        user="u1",
        request_id="r1",
        policy=pb.AnswerPolicy(alpha=0.1, strategy=pb.STRATEGY_CASCADE, max_evidence=3),
        sampling=pb.Sampling(temperature=0.5, stop=["END"], seed=7),
        context=span_pb2.SpanContext(environment="work", stakes=span_pb2.STAKES_HIGH),
        passthrough=passthrough,
    )
    request.policy.max_age.FromSeconds(10**9)
    async for _ in world.stub.Answer(request):
        pass
    [entry] = world.ledger.entries
    again = json_format.ParseDict(json.loads(entry.content["request"]), pb.AnswerRequest())
    assert again == request
    assert json.loads(entry.content["conversation"]) == [{"role": "user", "content": "How?"}]


async def test_the_leaf_names_the_digest_of_the_settings_that_decided(world: World) -> None:
    entry = await _seal(world)
    config = json.loads(entry.content["config"])
    assert entry.config_digest == blake3(entry.content["config"].encode()).hexdigest()
    assert config["creatures"] == [
        {
            "creature": "faq",
            "dataset": "faq",
            "dataset_version": "ab" * 32,
            "calibration": "c" * 16,
        }
    ]
    assert (await _seal(world, text="Something else?")).config_digest == entry.config_digest
    for policy in (
        pb.AnswerPolicy(alpha=0.1),
        pb.AnswerPolicy(delta=0.1),
        pb.AnswerPolicy(guarantee_kind=answer_pb2.GUARANTEE_KIND_EXPECTATION),
        pb.AnswerPolicy(guarantee_scope=answer_pb2.GUARANTEE_SCOPE_GROUP),
        pb.AnswerPolicy(strategy=pb.STRATEGY_CASCADE),
    ):
        assert (await _seal(world, policy=policy)).config_digest != entry.config_digest
    world.predictor.says["faq"] = said = _answers("Like this.", 0.93)
    said.calibration = "d" * 16
    assert (await _seal(world)).config_digest != entry.config_digest


async def test_a_providers_answer_and_an_abstention_are_of_different_kinds(world: World) -> None:
    world.predictor.says["faq"] = _abstains()
    fallen = await _seal(world)
    assert fallen.kind == ledger_pb.ENTRY_KIND_FALLBACK
    assert fallen.model_digest == "local/tiny"
    asked = await _seal(world, model="local/other")
    assert asked.kind == ledger_pb.ENTRY_KIND_FALLBACK
    assert not asked.dataset_version
    abstained = await _seal(world, model="arenalab/memory-only")
    assert abstained.kind == ledger_pb.ENTRY_KIND_PREDICTION
    assert abstained.model_digest == "e" * 64
    assert "trouble" not in abstained.content
    world.fallback.fails = NotReadyError("no network")
    without = await _seal(world)
    assert without.kind == ledger_pb.ENTRY_KIND_PREDICTION
    assert without.content["answer"].endswith(without.content["trouble"])


async def test_the_entry_carries_the_trace_of_its_caller(world: World) -> None:
    assert not (await _seal(world)).trace_id
    async with grpc.aio.insecure_channel(world.address) as channel:
        stub = pb_grpc.EnsembleServiceStub(channel)
        metadata = (("traceparent", f"00-{TRACE}-b7ad6b7169203331-01"),)
        async for _ in stub.Answer(_question(), metadata=metadata):
            pass
    assert world.ledger.entries[-1].trace_id == TRACE


async def test_of_a_rephrasing_memorys_own_words_are_sealed_too(traced: World) -> None:
    entry = await _seal(traced, policy=pb.AnswerPolicy(rephrase=pb.REPHRASE_POLICY_LLM))
    assert entry.content["answer"] == "First open the lid. Then press the moon."
    assert entry.content["memory"] == "Open the lid. Press the moon."


@pytest.mark.parametrize("text", ["x" * 262_144, "\u00e9" * 131_072], ids=["ascii", "two bytes"])
def test_long_texts_are_sealed_by_their_hash_and_the_ledger_takes_them(text: str) -> None:
    message = message_pb2.Message(role=message_pb2.ROLE_USER, content=text)
    request = pb.AnswerRequest(messages=[message, message], messages_json=text)
    said = Said(request=request, finished=pb.AnswerFinished(prediction_id="p"), text=text * 2)
    entry = answer_entry("default", said, "")
    entry_from_proto(entry)
    for name in ("conversation", "request", "answer"):
        assert json.loads(entry.content[name])["bytes"] > MAX_TEXT_BYTES


def test_an_answer_with_everything_at_its_longest_is_taken_by_the_ledger() -> None:
    message = message_pb2.Message(role=message_pb2.ROLE_USER, content="x" * (MAX_TEXT_BYTES - 1024))
    said = Said(
        request=pb.AnswerRequest(messages=[message]),
        finished=pb.AnswerFinished(prediction_id="p"),
        text="x" * MAX_TEXT_BYTES,
        tool_calls="x" * MAX_NOTE_BYTES,
        refusal="x" * MAX_NOTE_BYTES,
    )
    entry = answer_entry("default", said, "")
    entry_from_proto(entry)
    assert sum(map(len, entry.content.values())) > 3 * MAX_TEXT_BYTES
    longer = answer_entry("default", replace(said, tool_calls="x" * MAX_TEXT_BYTES), "")
    assert json.loads(longer.content["tool_calls"])["bytes"] == MAX_TEXT_BYTES


async def test_a_request_that_json_cannot_write_is_sealed_by_its_hash(world: World) -> None:
    passthrough = struct_pb2.Struct(
        fields={"logit_bias": struct_pb2.Value(number_value=float("inf"))}
    )
    entry = await _seal(world, passthrough=passthrough)
    assert set(json.loads(entry.content["request"])) == {"blake3", "bytes"}
