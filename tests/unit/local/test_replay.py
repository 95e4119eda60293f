import json
from typing import Any

import pytest

from arenalab.api.common.v1 import answer_pb2, message_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.ensemble.entries import Said, answer_entry
from arenalab.ensemble.opinions import Opinion
from arenalab.ledger.entry import leaf_of
from arenalab.ledger.wire import entry_from_proto
from arenalab.local.replay.comparison import differences, has_sealed_config
from arenalab.local.replay.sealed import CannotReplayError, SealedAnswer

SALT = bytes(range(32))


def _sealed(**changes: Any) -> SealedAnswer:
    """Returns an answer as the ledger gives it back; `changes` are of the leaf's making."""
    fields: dict[str, Any] = {
        "text": "Like this.", "route": pb.ROUTE_MEMORY, "confidence": 0.9, "trouble": "",
        "own_words": "", "calibration": "c" * 16, "evidence": ("s1", "s2"), "alpha": 0.05,
        "question": "How?", "policy": pb.AnswerPolicy(), "provider": "",
        "status": answer_pb2.GUARANTEE_STATUS_VALID, "tool_calls": "", "guardrails": (),
    } | changes  # fmt: skip
    finished = pb.AnswerFinished(
        prediction_id="p",
        model="arenalab",
        route=fields["route"],
        confidence=fields["confidence"],
        method=answer_pb2.ANSWER_METHOD_MAJORITY,
        dataset_version="ab" * 32,
        provider=fields["provider"],
        evidence=[answer_pb2.Evidence(span_id=one) for one in fields["evidence"]],
        guardrails=fields["guardrails"],
        guarantee=answer_pb2.Guarantee(status=fields["status"], alpha=fields["alpha"]),
    )
    opinion = Opinion(
        "faq",
        predictor_pb.PredictResponse(
            dataset="faq",
            dataset_version="ab" * 32,
            calibration=fields["calibration"],
            model_digest="e" * 64,
        ),
    )
    message = message_pb2.Message(role=message_pb2.ROLE_USER, content=fields["question"])
    said = Said(
        request=pb.AnswerRequest(messages=[message], policy=fields["policy"]),
        finished=finished,
        text=fields["text"],
        tool_calls=fields["tool_calls"],
        asked=[opinion],
        chosen=opinion,
        strategy=pb.STRATEGY_SINGLE_BEST,
        trouble=fields["trouble"],
        own_words=fields["own_words"],
    )
    entry = answer_entry("acme", said, "")
    leaf = leaf_of(
        entry_from_proto(entry), SALT, b"private", index=7, when="2026-01-01T00:00:00.000000Z"
    )
    return SealedAnswer.of(leaf, entry.content, SALT)


def test_an_answer_does_not_differ_from_itself() -> None:
    assert differences(_sealed(), _sealed()) == []
    assert has_sealed_config(_sealed())


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"confidence": 0.91}, ["confidence"]),
        ({"route": pb.ROUTE_ABSTAIN}, ["route"]),
        ({"evidence": ("s1",)}, ["evidence_ids"]),
        ({"alpha": 0.1}, ["guarantee.alpha"]),
        ({"calibration": "d" * 16}, ["config.faq.calibration"]),
        ({"policy": pb.AnswerPolicy(delta=0.1)}, ["config.delta"]),
        ({"status": answer_pb2.GUARANTEE_STATUS_DEGRADED}, ["guarantee.status"]),
    ],
)
def test_every_fact_that_differs_is_named(change: dict[str, Any], names: list[str]) -> None:
    found = differences(_sealed(), _sealed(**change))
    assert [one.name for one in found] == names
    assert all(one.sealed != one.replayed for one in found)


def test_what_a_provider_made_of_an_answer_is_not_compared() -> None:
    replayed = _sealed(text="Memory's.")
    reworded = _sealed(
        text="A provider's.",
        own_words="Memory's.",
        status=answer_pb2.GUARANTEE_STATUS_DEGRADED,
    )
    assert reworded.words == replayed.words
    assert differences(reworded, replayed) == []
    failed = _sealed(
        text="I do not know. No fallback answered: none.",
        trouble="No fallback answered: none.",
        status=answer_pb2.GUARANTEE_STATUS_UNSPECIFIED,
        alpha=0.0,
    )
    assert failed.words == "I do not know."
    assert differences(failed, replayed) == []


def test_the_request_is_asked_again_of_the_same_creatures_and_of_memory_alone() -> None:
    policy = pb.AnswerPolicy(
        fallback=pb.FALLBACK_POLICY_LLM, rephrase=pb.REPHRASE_POLICY_LLM, alpha=0.1
    )
    policy.max_age.FromSeconds(60)
    request = _sealed(policy=policy).request(age_s=30.5)
    assert request.messages[0].content == "How?"
    assert (request.policy.alpha, list(request.policy.creatures)) == (0.1, ["faq"])
    assert request.policy.fallback == pb.FALLBACK_POLICY_NEVER
    assert request.policy.rephrase == pb.REPHRASE_POLICY_NEVER
    assert request.policy.max_age.ToMilliseconds() == 90_500


def test_settings_of_another_digest_are_noticed() -> None:
    sealed = _sealed()
    config = sealed.config | {"alpha": 0.2}
    forged = SealedAnswer(sealed.leaf, {**sealed.content, "config": json.dumps(config)})
    assert not has_sealed_config(forged)


def test_what_cannot_be_replayed_says_why() -> None:
    with pytest.raises(CannotReplayError, match="local gave this answer"):
        _sealed(route=pb.ROUTE_FALLBACK, provider="local")
    sealed = _sealed()
    leaf = json.dumps(dict(sealed.leaf)).encode()
    with pytest.raises(CannotReplayError, match="content 'answer' is not what was sealed"):
        SealedAnswer.of(leaf, {**sealed.content, "answer": "Like that."}, SALT)
    bare = {name: text for name, text in sealed.content.items() if name != "request"}
    with pytest.raises(CannotReplayError, match="without its request"):
        SealedAnswer.of(leaf, bare, SALT)
    with pytest.raises(CannotReplayError, match="too long to be kept"):
        _sealed(question="x" * 400_000)
    other = json.dumps(dict(sealed.leaf) | {"kind": "feedback"}).encode()
    with pytest.raises(CannotReplayError, match="a feedback, not an answer"):
        SealedAnswer.of(other, sealed.content, SALT)


def _calls(call_id: str, arguments: str) -> SealedAnswer:
    function = {"name": "get_weather", "arguments": arguments}
    call = {"id": call_id, "type": "function", "function": function}
    return _sealed(text="", tool_calls=json.dumps([call]))


def test_a_call_of_a_tool_is_compared_by_its_name_and_arguments() -> None:
    sealed = _calls("call_1", '{"city":"Paris"}')
    assert sealed.words == _calls("call_2", '{"city":"Paris"}').words
    assert sealed.words != _calls("call_1", '{"city":"Lyon"}').words


@pytest.mark.parametrize(
    ("stage", "action", "why"),
    [
        (pb.GUARDRAIL_STAGE_OUTPUT, pb.GUARDRAIL_ACTION_REDACT, "changed this answer"),
        (pb.GUARDRAIL_STAGE_OUTPUT, pb.GUARDRAIL_ACTION_BLOCK, "changed this answer"),
        (pb.GUARDRAIL_STAGE_INPUT, pb.GUARDRAIL_ACTION_BLOCK, "memory was not asked"),
    ],
)
def test_what_a_guardrail_changed_cannot_be_replayed(
    stage: pb.GuardrailStage.ValueType, action: pb.GuardrailAction.ValueType, why: str
) -> None:
    verdict = pb.GuardrailVerdict(guardrail="card", stage=stage, action=action, findings=1)
    with pytest.raises(CannotReplayError, match=why):
        _sealed(guardrails=[verdict])


def test_guardrails_that_changed_no_answer_make_no_difference() -> None:
    passed = pb.GuardrailVerdict(
        guardrail="card", stage=pb.GUARDRAIL_STAGE_OUTPUT, action=pb.GUARDRAIL_ACTION_PASS
    )
    cleaned = pb.GuardrailVerdict(
        guardrail="card", stage=pb.GUARDRAIL_STAGE_INPUT, action=pb.GUARDRAIL_ACTION_REDACT
    )
    assert differences(_sealed(guardrails=[passed, cleaned]), _sealed()) == []
