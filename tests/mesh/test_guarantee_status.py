"""A bound's running status over real gRPC: labels void it, a calibration renews it."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.predictor.v1 import predictor_service_pb2 as pb
from arenalab.api.predictor.v1 import predictor_service_pb2_grpc as pb_grpc
from arenalab.mesh import (
    InvalidInputError,
    NotFoundError,
    NotReadyError,
    PreconditionError,
    Reason,
    Telemetry,
    connect,
)
from arenalab.predictor.config import PredictorConfig
from arenalab.predictor.monitoring import upkeep
from arenalab.predictor.wiring import running_predictor
from tests.mesh.test_predictor_service import (
    _MATTERS,
    FREE,
    NOWHERE,
    SPANS,
    Mesh,
    embedder,
    mesh,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["embedder", "mesh"]  # fixtures

KNOT = "How do I tie a bowline knot?"
VOID = answer_pb2.GUARANTEE_STATUS_VOID


def _label(said: pb.PredictResponse, n: int, question: str = KNOT, **fields: object) -> pb.Label:
    label = pb.Label(
        prediction_id=f"p{n}",
        source=pb.LABEL_SOURCE_AUDIT,
        dataset=said.dataset,
        dataset_version=said.dataset_version,
        creature=said.creature,
        calibration=said.calibration,
        confidence=said.confidence,
        admissible=said.admissible,
        served=not said.HasField("abstention"),
        correct=True,
        propensity=0.01,
        turns=[question],
        outcomes=[said.output],
    )
    label.MergeFrom(pb.Label(**{k: v for k, v in fields.items() if v}))  # type: ignore[arg-type]
    if fields.get("correct") is False:
        label.correct = False
        label.ClearField("outcomes")
    return label


async def _report(mesh: Mesh, labels: Sequence[pb.Label]) -> pb.ReportLabelsResponse:
    return await mesh.predictor.ReportLabels(pb.ReportLabelsRequest(labels=labels))


async def _state(predictor: "pb_grpc.PredictorServiceAsyncStub") -> pb.DatasetGuarantee:
    reply = await predictor.GetGuaranteeStatus(pb.GetGuaranteeStatusRequest())
    return reply.datasets[0]


@asynccontextmanager
async def _again(
    config: PredictorConfig, telemetry: Telemetry | None = None
) -> AsyncIterator["pb_grpc.PredictorServiceAsyncStub"]:
    observed = telemetry or Telemetry("test")
    async with (
        running_predictor(config, observed) as port,
        connect(f"127.0.0.1:{port}", observed) as channel,
    ):
        yield pb_grpc.PredictorServiceStub(channel)


async def _right_labels(mesh: Mesh, count: int, start: int) -> list[pb.Label]:
    labels = []
    for n, (name, matter) in zip(range(count), list(_MATTERS.items()) * count, strict=False):
        question = f"Number {n}: somebody asked me to {matter}"
        said = await mesh.ask(question)
        labels.append(_label(said, start + n, question, outcomes=[f"Guide: {name}"]))
        labels[-1].correct = said.output == f"Guide: {name}"
    return labels


def _header(*, from_labels: bool) -> Iterator[pb.CalibrateRequest]:
    yield pb.CalibrateRequest(header=pb.CalibrateHeader(from_labels=from_labels))


@pytest.mark.slow
async def test_wrong_audits_void_the_bound_and_a_calibration_renews_it(mesh: Mesh) -> None:
    await mesh.publish(SPANS)
    said = await mesh.ask(KNOT)
    assert said.guarantee.status == answer_pb2.GUARANTEE_STATUS_VALID
    assert said.admissible
    wrong = [_label(said, n, correct=False) for n in range(8)]
    reply = await _report(mesh, wrong)
    assert (reply.recorded, reply.known) == (8, 0)
    after = await mesh.ask(KNOT)
    assert after.guarantee.status == VOID
    assert not after.guarantee.HasField("threshold")
    assert "audit test: e-value" in after.guarantee.status_reason
    assert after.abstention.reason == answer_pb2.ABSTAIN_REASON_GUARANTEE_VOID
    assert "8 of 8 audited answers were wrong" in after.abstention.explanation
    state = await _state(mesh.predictor)
    assert state.guarantee.status == VOID
    assert [test.name for test in state.tests] == ["audit", "complaints", "exchangeability"]
    assert state.tests[0].e_value >= state.tests[0].voids_at == pytest.approx(10.0)
    assert (state.audit_labels, state.usable_labels, state.served) == (8, 8, 1)
    assert state.audited_error == 1.0
    assert list(state.creatures) == ["hobby", "baker"]
    # Labelled questions of today, as gathered, set a new threshold.
    right = await _right_labels(mesh, 60, start=100)
    right[0].creature = "baker"  # asked again of its own slice, which knows no guitar
    right[1].creature = "somebody who is gone"
    await _report(mesh, right)
    renewed = await mesh.predictor.Calibrate(_header(from_labels=True))
    assert renewed.summary.guarantee.calibration_size == 68
    assert renewed.summary.guarantee.basis == answer_pb2.CALIBRATION_BASIS_LABELLED_TRAFFIC
    fresh = await _state(mesh.predictor)
    assert fresh.guarantee.status_reason == ""
    assert fresh.calibration != state.calibration
    assert (fresh.audit_labels, fresh.usable_labels) == (0, 68)
    assert fresh.guarantee.status == renewed.summary.guarantee.status


@pytest.mark.slow
async def test_given_examples_renew_a_void_bound_without_downtime(mesh: Mesh) -> None:
    await mesh.publish(SPANS)
    said = await mesh.ask(KNOT)
    await _report(mesh, [_label(said, n, correct=False) for n in range(8)])
    assert (await mesh.ask(KNOT)).guarantee.status == VOID

    def examples() -> Iterator[pb.CalibrateRequest]:
        yield from _header(from_labels=False)
        for n in range(60):
            name, matter = list(_MATTERS.items())[n % len(_MATTERS)]
            question = f"Number {n}: somebody asked me to {matter}"
            example = pb.LabelledQuestion(question=question, outcomes=[f"Guide: {name}"])
            yield pb.CalibrateRequest(example=example)

    await mesh.predictor.Calibrate(examples())
    again = await mesh.ask(KNOT)
    assert again.guarantee.status == answer_pb2.GUARANTEE_STATUS_VALID
    assert not again.HasField("abstention")
    assert again.calibration != said.calibration
    # A label of the calibration before it comes late, and tests nothing.
    await _report(mesh, [_label(said, n, correct=False) for n in range(50, 90)])
    assert (await mesh.ask(KNOT)).guarantee.status == answer_pb2.GUARANTEE_STATUS_VALID


@pytest.mark.slow
async def test_a_restart_keeps_the_status_and_knows_the_labels(mesh: Mesh) -> None:
    await mesh.publish(SPANS)
    said = await mesh.ask(KNOT)
    labels = [_label(said, n, correct=False) for n in range(8)]
    await _report(mesh, labels)
    before = await _state(mesh.predictor)
    telemetry = Telemetry("test")
    async with _again(mesh.config, telemetry) as restarted:
        state = await _state(restarted)
        reply = await restarted.ReportLabels(pb.ReportLabelsRequest(labels=labels))
    assert (reply.recorded, reply.known) == (0, 8)
    # The number of served answers is written when a process ends, and the other still runs.
    state.served = before.served
    for one in (state, before):
        del one.tests[1]  # of the complaints, which it enters
    assert state == before
    sample = telemetry.metrics.registry.get_sample_value
    where = {"tenant": "default", "dataset": "hobby"}
    assert sample("arenalab_guarantee_status", where) == 3
    e_value = sample("arenalab_guarantee_e_value", where | {"test": "audit"})
    assert e_value == pytest.approx(before.tests[0].e_value)


@pytest.mark.slow
async def test_complaints_degrade_the_bound_and_answers_go_on(mesh: Mesh) -> None:
    await mesh.publish(SPANS)
    said = await mesh.ask(KNOT)
    source = pb.LABEL_SOURCE_FEEDBACK
    await _report(mesh, [_label(said, n, correct=False, source=source) for n in range(40)])
    after = await mesh.ask(KNOT)
    assert after.guarantee.status == answer_pb2.GUARANTEE_STATUS_DEGRADED
    assert after.guarantee.HasField("threshold")
    assert "complaints test" in after.guarantee.status_reason
    assert not after.HasField("abstention")
    listed = await mesh.predictor.ListCreatures(pb.ListCreaturesRequest())
    assert {c.guarantee.status for c in listed.creatures} == {after.guarantee.status}
    # Complaints are no sample of the traffic, and calibrate nothing.
    with pytest.raises(InvalidInputError, match="at least 50"):
        await mesh.predictor.Calibrate(_header(from_labels=True))


@pytest.mark.slow
async def test_what_is_due_is_calibrated_anew_in_the_background(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mesh.publish(SPANS)
    await _report(mesh, await _right_labels(mesh, 60, start=0))
    before = await _state(mesh.predictor)
    assert (before.audit_labels, before.guarantee.basis) == (60, 1)
    monkeypatch.setattr(upkeep, "ROUND_S", 0.01)
    config = replace(mesh.config, recalibrate_every_s=1e-6)
    async with _again(config) as restarted:
        state = await _state(restarted)
        while state.calibration == before.calibration:  # the test's time limit ends it
            state = await _state(restarted)
    assert state.guarantee.basis == answer_pb2.CALIBRATION_BASIS_LABELLED_TRAFFIC
    assert (state.audit_labels, state.usable_labels) == (0, 60)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"source": 0}, "labels[0].source"),
        ({"prediction_id": "x" * 129}, "labels[0].prediction_id"),
        ({"prediction_id": ""}, "labels[0].prediction_id"),
        ({"confidence": float("nan")}, "labels[0].confidence"),
        ({"propensity": 0.0}, "labels[0].propensity"),
        ({"turns": ["x"] * 257}, "labels[0].turns"),
        ({"turns": [" "]}, "labels[0].turns"),
        ({"turns": ["x"], "outcomes": ["y" * 327_680]}, "labels[0].turns"),
    ],
)
async def test_a_label_outside_its_ranges_is_refused(
    mesh: Mesh, fields: dict[str, object], field: str
) -> None:
    good = {"prediction_id": "p", "source": pb.LABEL_SOURCE_AUDIT, "propensity": 0.5}
    label = pb.Label(**good | fields)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError) as caught:
        await _report(mesh, [label])
    assert caught.value.metadata["field"] == field
    with pytest.raises(InvalidInputError, match="1 to 1000"):
        await _report(mesh, [])


async def test_labels_of_a_version_that_is_not_there_are_refused(mesh: Mesh) -> None:
    label = pb.Label(
        prediction_id="p",
        source=pb.LABEL_SOURCE_FEEDBACK,
        dataset="hobby",
        dataset_version="ab" * 32,
        correct=True,
    )
    with pytest.raises(NotFoundError) as caught:
        await _report(mesh, [label])
    assert caught.value.reason is Reason.UNKNOWN_DATASET
    label.dataset = "../elsewhere"
    with pytest.raises((InvalidInputError, NotFoundError)):
        await _report(mesh, [label])
    assert not (await mesh.predictor.GetGuaranteeStatus(pb.GetGuaranteeStatusRequest())).datasets
    with pytest.raises(PreconditionError) as none:
        await mesh.predictor.Calibrate(_header(from_labels=True))
    assert none.value.reason is Reason.NO_DATASET
    header = pb.CalibrateHeader(creature="nobody", from_labels=True)
    with pytest.raises(NotFoundError) as unknown:
        await mesh.predictor.Calibrate(iter([pb.CalibrateRequest(header=header)]))
    assert unknown.value.reason is Reason.UNKNOWN_MODEL


async def test_without_search_the_status_is_not_ready(tmp_path: "Path") -> None:
    config = PredictorConfig(
        address=FREE, home=tmp_path, search_address=NOWHERE, planner_address=NOWHERE
    )
    async with _again(config) as predictor:
        with pytest.raises(NotReadyError):
            await predictor.GetGuaranteeStatus(pb.GetGuaranteeStatusRequest())


@pytest.mark.slow
@pytest.mark.parametrize("is_loaded", [True, False], ids=["loaded", "not loaded yet"])
async def test_a_subjects_words_leave_the_labels_and_the_bound_stays(
    mesh: Mesh, *, is_loaded: bool
) -> None:
    await mesh.publish(SPANS)
    said = await mesh.ask(KNOT)
    labels = [_label(said, n, correct=False, question=f"{KNOT} {n}") for n in range(8)]
    for label in labels[:3]:
        label.subject = "ada"
    await _report(mesh, labels)
    before = await _state(mesh.predictor)
    [file] = mesh.config.home.rglob("labels/default/*/*.ndjson")
    assert "ada" in file.read_text()
    async with _again(mesh.config) as restarted:
        predictor = mesh.predictor if is_loaded else restarted
        erased = await predictor.EraseSubject(pb.EraseSubjectRequest(subject="ada"))
        assert erased.labels == 3
        assert not (await predictor.EraseSubject(pb.EraseSubjectRequest(subject="ada"))).labels
        text = file.read_text()
        assert "ada" not in text
        assert [f"{KNOT} {n}" in text for n in range(8)] == [n >= 3 for n in range(8)]
        state = await _state(predictor)
        assert state.guarantee == before.guarantee
        assert (state.audit_labels, state.usable_labels) == (8, 5)
    for subject in ("", "x" * 257):
        with pytest.raises(InvalidInputError):
            await mesh.predictor.EraseSubject(pb.EraseSubjectRequest(subject=subject))
    too_long = _label(said, 90)
    too_long.subject = "x" * 257
    with pytest.raises(InvalidInputError) as caught:
        await _report(mesh, [too_long])
    assert caught.value.metadata["field"] == "labels[0].subject"
