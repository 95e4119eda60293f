"""Feedback and audits over real gRPC, among the scripted peers of the answer path."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from arenalab.api.common.v1 import answer_pb2, message_pb2, scope_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.ledger.wire import entry_from_proto
from arenalab.mesh import InvalidInputError, NotFoundError, NotReadyError, Reason
from tests.mesh.test_ensemble_service import World, _abstains, running_world, world

__all__ = ["world"]  # a fixture


async def _say(world: World, finished: pb.AnswerFinished, **fields: Any) -> pb.FeedbackResponse:
    request = pb.FeedbackRequest(prediction_id=finished.prediction_id, **fields)
    return await world.stub.Feedback(request)


async def _pending(world: World, **fields: Any) -> pb.ListAuditsResponse:
    return await world.stub.ListAudits(pb.ListAuditsRequest(**fields))


async def test_a_complaint_becomes_a_label_once(world: World) -> None:
    _, finished, _ = await world.ask()
    said = await _say(world, finished, rating=1, comment="no")
    assert (said.verdict, said.known) == (pb.VERDICT_WRONG, False)
    again = await _say(world, finished, rating=5)
    assert (again.verdict, again.known) == (pb.VERDICT_WRONG, True)
    [label] = world.predictor.labels
    assert label.prediction_id == finished.prediction_id
    assert label.source == predictor_pb.LABEL_SOURCE_FEEDBACK
    assert (label.dataset, label.dataset_version) == ("faq", "ab" * 32)
    assert (label.calibration, label.confidence, label.admissible) == ("c" * 16, 0.93, True)
    assert label.served
    assert not label.correct


async def test_feedback_on_the_llms_answer_is_kept_and_labels_nothing(world: World) -> None:
    world.predictor.says["faq"] = _abstains()
    _, finished, _ = await world.ask()
    said = await _say(world, finished, helpful=False)
    assert said.verdict == pb.VERDICT_UNSPECIFIED
    assert not world.predictor.labels
    assert (await _say(world, finished, helpful=False)).known


async def test_feedback_on_an_unknown_prediction_is_not_found(world: World) -> None:
    _, finished, _ = await world.ask()
    for request in (
        pb.FeedbackRequest(prediction_id="p", rating=1),
        pb.FeedbackRequest(
            prediction_id=finished.prediction_id, rating=1, scope=scope_pb2.Scope(tenant="acme")
        ),
    ):
        with pytest.raises(NotFoundError) as caught:
            await world.stub.Feedback(request)
        assert caught.value.reason is Reason.UNKNOWN_PREDICTION
    with pytest.raises(InvalidInputError):
        await _say(world, finished)


async def test_a_label_that_does_not_arrive_can_be_given_again(world: World) -> None:
    _, finished, _ = await world.ask()
    world.predictor.refuses = NotReadyError("the predictor is restarting")
    with pytest.raises(NotReadyError):
        await _say(world, finished, helpful=True)
    world.predictor.refuses = None
    assert not (await _say(world, finished, helpful=True)).known
    assert len(world.predictor.labels) == 1


async def test_what_is_drawn_is_marked_sealed_and_waits_for_its_label(tmp_path: Path) -> None:
    async with running_world(tmp_path, audit_rate=1.0) as world:
        _, served, _ = await world.ask(text="First?")
        world.predictor.says["faq"] = _abstains()
        _, fallen, _ = await world.ask(text="Second?")
        for finished, entry in zip((served, fallen), world.ledger.entries, strict=True):
            facts = json.loads(entry.facts_json)
            assert (facts["audited"], facts["audit_propensity"]) == (True, 1.0)
            assert (finished.audited, finished.audit_propensity) == (True, 1.0)
        pending = await _pending(world)
        assert [one.prediction_id for one in pending.audits] == [
            served.prediction_id,
            fallen.prediction_id,
        ]
        assert [list(one.turns) for one in pending.audits] == [["First?"], ["Second?"]]
        assert [one.output for one in pending.audits] == ["Like this.", "perhaps"]
        assert [one.served for one in pending.audits] == [True, False]
        one = await _pending(world, limit=1)
        assert (len(one.audits), one.pending) == (1, 2)
        # A complaint does not stand for the audit: whoever complains was not drawn.
        await _say(world, served, helpful=False)
        assert (await _pending(world)).pending == 2
        await _say(world, served, actual_output="Like this. ", audit=True)
        with pytest.raises(InvalidInputError, match="right or wrong"):
            await _say(world, fallen, rating=3, audit=True)
        said = await _say(world, fallen, actual_output="surely", audit=True)
        assert said.verdict == pb.VERDICT_WRONG
        assert (await _pending(world)).pending == 0
        complaint, right, wrong = world.predictor.labels
        assert complaint.source == predictor_pb.LABEL_SOURCE_FEEDBACK
        assert (right.correct, list(right.outcomes)) == (True, ["Like this."])
        assert (wrong.correct, wrong.served, list(wrong.outcomes)) == (False, False, ["surely"])
        assert wrong.propensity == 1.0


async def test_a_restart_keeps_predictions_audits_and_verdicts(tmp_path: Path) -> None:
    async with running_world(tmp_path, audit_rate=1.0) as world:
        _, first, _ = await world.ask()
        _, second, _ = await world.ask()
        await _say(world, first, helpful=True, audit=True)
    async with running_world(tmp_path, audit_rate=0.0) as world:
        _, third, _ = await world.ask()
        pending = await _pending(world)
        assert [one.prediction_id for one in pending.audits] == [second.prediction_id]
        assert (await _say(world, first, helpful=False, audit=True)).known
        assert not world.predictor.labels
        # None is drawn at a rate of 0, and what was not drawn is no audit.
        assert (third.audited, third.audit_propensity) == (False, 0.0)
        with pytest.raises(InvalidInputError) as caught:
            await _say(world, third, helpful=True, audit=True)
        assert caught.value.metadata["field"] == "audit"


async def test_only_what_memory_has_an_outcome_for_is_drawn(tmp_path: Path) -> None:
    async with running_world(tmp_path, audit_rate=1.0) as world:
        silent = predictor_pb.PredictResponse(method=answer_pb2.ANSWER_METHOD_NONE)
        silent.abstention.reason = answer_pb2.ABSTAIN_REASON_NO_SUPPORT
        world.predictor.says["faq"] = silent
        for fields in ({}, {"model": "local/tiny"}, {"unsupported": ["tools"]}):
            _, finished, _ = await world.ask(**fields)
            assert (finished.audited, finished.audit_propensity) == (False, 0.0)
        assert (await _pending(world)).pending == 0


async def test_the_turns_of_the_user_alone_are_kept(tmp_path: Path) -> None:
    async with running_world(tmp_path, audit_rate=1.0) as world:
        roles = (message_pb2.ROLE_USER, message_pb2.ROLE_ASSISTANT, message_pb2.ROLE_USER)
        turns = zip(roles, ("One?", "Yes.", "Two?"), strict=True)
        messages = [message_pb2.Message(role=role, content=text) for role, text in turns]
        await world.ask(messages=messages)
        [audit] = (await _pending(world)).audits
        assert list(audit.turns) == ["One?", "Two?"]


async def test_the_list_of_audits_has_a_limit(world: World) -> None:
    with pytest.raises(InvalidInputError):
        await _pending(world, limit=1001)


async def test_the_status_of_each_dataset_is_passed_on(world: World) -> None:
    reply = await world.stub.GetGuaranteeStatus(pb.GetGuaranteeStatusRequest())
    assert [(one.dataset, one.status) for one in reply.datasets] == [
        ("faq", answer_pb2.GUARANTEE_STATUS_VOID),
        ("docs", answer_pb2.GUARANTEE_STATUS_UNSPECIFIED),
    ]
    assert [one.reason for one in reply.datasets] == [
        "audit test: e-value 40 reached 20",
        "it is damaged",
    ]


async def test_feedback_is_sealed_as_what_follows_up_its_prediction(tmp_path: Path) -> None:
    async with running_world(tmp_path, audit_rate=1.0) as world:
        _, finished, _ = await world.ask(user="ada")
        await _say(world, finished, rating=2, comment="It is the other way round.")
        await _say(world, finished, rating=2, comment="Once more.")
        await _say(world, finished, actual_output="Like that.", audit=True)
        _, complaint, audit = world.ledger.entries
    for entry in (complaint, audit):
        assert entry.kind == ledger_pb.ENTRY_KIND_FEEDBACK
        assert entry.parent_id == finished.prediction_id
        assert entry.subject == "ada"
        assert entry.dataset_version == "ab" * 32
        entry_from_proto(entry)  # the real ledger takes it
    assert complaint.entry_id == f"feedback:{finished.prediction_id}"
    assert json.loads(complaint.facts_json) == {
        "source": "feedback",
        "verdict": "wrong",
        "rating": 2,
    }
    assert dict(complaint.content) == {"comment": "It is the other way round."}
    assert audit.entry_id == f"audit:{finished.prediction_id}"
    assert dict(audit.content) == {"actual_output": "Like that."}


@pytest.mark.slow
async def test_feedback_waits_for_a_ledger_that_is_down_also_over_a_restart(
    tmp_path: Path,
) -> None:
    async with running_world(tmp_path) as world:
        _, finished, _ = await world.ask()
        world.ledger.down = True
        said = await _say(world, finished, helpful=False, comment="no")
        assert (said.verdict, said.known) == (pb.VERDICT_WRONG, False)
        assert len(world.predictor.labels) == 1
    async with running_world(tmp_path) as world:
        async with asyncio.timeout(20), world.ledger.appended:
            await world.ledger.appended.wait_for(lambda: bool(world.ledger.entries))
        [entry] = world.ledger.entries
        assert entry.parent_id == finished.prediction_id
        assert entry.content["comment"] == "no"


@pytest.mark.slow
async def test_a_subject_is_erased_wherever_it_is_kept(tmp_path: Path) -> None:
    async with running_world(tmp_path, audit_rate=1.0) as world:
        _, mine, _ = await world.ask(text="My secret?", user="ada")
        _, other, _ = await world.ask(text="Mine too?", user="bob")
        await _say(world, mine, actual_output="A secret.", audit=True)
        world.ledger.down = True
        policy = pb.AnswerPolicy(ledger=pb.LEDGER_POLICY_BEST_EFFORT)
        _, queued, _ = await world.ask(text="Another secret?", user="ada", policy=policy)
        assert b"secret" in _everything(tmp_path)
        request = pb.EraseSubjectRequest(subject="ada")
        with pytest.raises(NotReadyError):
            await world.stub.EraseSubject(request)
        assert b"secret" not in _everything(tmp_path)
        world.ledger.down = False
        erased = await world.stub.EraseSubject(request)
        assert erased.entries == 2
        assert erased.HasField("receipt")
        for finished in (mine, queued):
            with pytest.raises(NotFoundError):
                await _say(world, finished, helpful=True)
        assert [one.prediction_id for one in (await _pending(world)).audits] == [
            other.prediction_id
        ]
        async with asyncio.timeout(20), world.ledger.appended:
            await world.ledger.appended.wait_for(lambda: len(world.ledger.entries) == 4)
        late = world.ledger.entries[-1]
        assert (late.entry_id, late.subject, dict(late.content)) == (queued.prediction_id, "", {})
        assert list(late.evidence_ids) == ["s1"]
        assert world.predictor.erased == ["ada", "ada"]


async def test_feedback_that_was_sealed_in_other_words_before_stands(world: World) -> None:
    _, finished, _ = await world.ask()
    world.ledger.refused.add(f"feedback:{finished.prediction_id}")
    said = await _say(world, finished, helpful=True)
    assert (said.verdict, said.known) == (pb.VERDICT_RIGHT, False)
    assert (await _say(world, finished, helpful=True)).known


async def test_a_subject_of_whom_nothing_is_kept_is_not_found(world: World) -> None:
    with pytest.raises(NotFoundError) as caught:
        await world.stub.EraseSubject(pb.EraseSubjectRequest(subject="nobody"))
    assert caught.value.reason is Reason.UNKNOWN_LEAF
    for subject in ("", "x" * 257):
        with pytest.raises(InvalidInputError) as refused:
            await world.stub.EraseSubject(pb.EraseSubjectRequest(subject=subject))
        assert refused.value.metadata["field"] == "subject"


def _everything(folder: Path) -> bytes:
    """Returns all that lies below a folder; the lines of the queue decoded."""
    found = b""
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found += data
            if path.name == "unsealed.ndjson":
                found += b"".join(base64.b64decode(line) for line in data.splitlines())
    return found
