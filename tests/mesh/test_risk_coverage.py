"""GetRiskCoverage over real gRPC, with the real search, embedder and dataset store."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.predictor.v1 import predictor_service_pb2 as pb
from arenalab.atomic import Span
from arenalab.mesh import InvalidInputError, NotFoundError, PreconditionError, Reason
from arenalab.predictor.training_job import TrainedFiles
from tests.mesh.test_predictor_service import SPANS, Mesh, embedder, mesh

__all__ = ["embedder", "mesh"]

HIGH_PROBABILITY = answer_pb2.GUARANTEE_KIND_HIGH_PROBABILITY
EXPECTATION = answer_pb2.GUARANTEE_KIND_EXPECTATION
VALID = answer_pb2.GUARANTEE_STATUS_VALID
VOID = answer_pb2.GUARANTEE_STATUS_VOID


@pytest.mark.slow
async def test_the_rows_are_the_guarantees_that_answers_are_decided_by(mesh: Mesh) -> None:
    version = await mesh.publish(SPANS)
    report = await mesh.predictor.GetRiskCoverage(pb.GetRiskCoverageRequest(alphas=[0.2, 0.1, 0.2]))
    assert (report.creature, report.dataset, report.dataset_version) == ("hobby", "hobby", version)
    assert [(row.guarantee.alpha, row.guarantee.kind) for row in report.rows] == [
        (0.1, HIGH_PROBABILITY),
        (0.1, EXPECTATION),
        (0.2, HIGH_PROBABILITY),
        (0.2, EXPECTATION),
    ]
    for row in report.rows:
        bound = row.guarantee
        served = await mesh.ask(
            "How do I tie a bowline knot?", alpha=bound.alpha, guarantee_kind=bound.kind
        )
        assert served.guarantee == bound
        assert bound.status == VALID
        assert row.coverage == bound.calibration_served / bound.calibration_size
        assert row.saved_usd_micros_per_thousand == round(row.coverage * 1_000 * 3_000)
    assert report.basis == answer_pb2.CALIBRATION_BASIS_DATASET_HOLDOUT
    assert report.calibration_size == len(SPANS)
    coverages = [point.coverage for point in report.points]
    assert coverages == sorted(coverages)
    assert all(point.lower <= point.risk <= point.upper for point in report.points)
    assert sum(one.size for one in report.reliability) <= len(SPANS)
    assert any("held out" in limit for limit in report.limits)
    assert not report.groups


@pytest.mark.slow
async def test_by_default_four_risks_of_both_kinds_are_shown(mesh: Mesh) -> None:
    await mesh.publish(SPANS)
    report = await mesh.predictor.GetRiskCoverage(pb.GetRiskCoverageRequest(max_points=5))
    assert [row.guarantee.alpha for row in report.rows[::2]] == [0.01, 0.02, 0.05, 0.1]
    assert 0 < len(report.points) <= 5
    # 96 questions are too few for 1 %: even without an error 230 are needed at delta = 10 %.
    first = report.rows[0]
    assert (first.guarantee.status, first.coverage) == (VOID, 0.0)
    assert first.saved_usd_micros_per_thousand == 0
    assert first.labels_for_five_points > 100


@pytest.mark.slow
async def test_the_domains_have_rows_of_their_own(mesh: Mesh) -> None:
    await mesh.publish(SPANS)
    request = pb.GetRiskCoverageRequest(
        alphas=[0.5], guarantee_kind=HIGH_PROBABILITY, with_groups=True, delta=0.5
    )
    report = await mesh.predictor.GetRiskCoverage(request)
    assert len(report.groups) == 12
    assert report.groups_left_out == 0
    for row in report.groups:
        bound = row.guarantee
        assert bound.scope == answer_pb2.GUARANTEE_SCOPE_GROUP
        assert bound.group.startswith("hobby/")
        assert not row.HasField("labels_for_five_points")  # a handful is nothing to go by
    shares = [row.guarantee.delta for row in report.groups if row.guarantee.status == VALID]
    assert len(shares) > 1
    assert sum(shares) == pytest.approx(0.5)  # so that all of them hold at once
    asked = await mesh.ask(
        "How do I tie a bowline knot?",
        alpha=0.5,
        delta=0.5,
        guarantee_scope=answer_pb2.GUARANTEE_SCOPE_GROUP,
    )
    assert asked.guarantee in [row.guarantee for row in report.groups]
    sizes = [row.guarantee.calibration_size for row in report.groups]
    assert sizes == sorted(sizes, reverse=True)
    # Questions whose neighbours have no common domain belong to none.
    assert 0 < sum(sizes) < report.calibration_size


@pytest.mark.slow
async def test_a_cost_of_the_callers_own_and_a_slice_are_minded(mesh: Mesh) -> None:
    await mesh.publish(SPANS)
    request = pb.GetRiskCoverageRequest(
        creature="baker", alphas=[0.2], cost_per_fallback_usd_micros=0
    )
    report = await mesh.predictor.GetRiskCoverage(request)
    assert (report.creature, report.dataset) == ("baker", "hobby")
    assert report.cost_per_fallback_usd_micros == 0
    assert [row.saved_usd_micros_per_thousand for row in report.rows] == [0, 0]
    assert "baker" in report.limits[-1]


def _older(files: TrainedFiles) -> TrainedFiles:
    older = re.sub(rb"calibration/\d+", b"calibration/1", files.artefact)
    assert older != files.artefact
    return replace(files, artefact=older)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spans", "change", "size", "why"),
    [
        (SPANS, _older, 0, "publish again"),
        (SPANS[:3], lambda files: files, 2, "too small"),
    ],
)
async def test_a_version_without_a_calibration_is_void_and_says_why(
    mesh: Mesh,
    spans: list[Span],
    change: Callable[[TrainedFiles], TrainedFiles],
    size: int,
    why: str,
) -> None:
    await mesh.publish(spans, change=change)
    report = await mesh.predictor.GetRiskCoverage(pb.GetRiskCoverageRequest(with_groups=True))
    assert len(report.rows) == 8
    for row in report.rows:
        assert row.guarantee.status == VOID
        assert not row.guarantee.HasField("threshold")
        assert (row.coverage, row.saved_usd_micros_per_thousand) == (0.0, 0)
        assert not row.HasField("labels_for_five_points")
    assert not report.points
    assert report.calibration_size == size
    assert why in report.limits[0]


async def test_without_a_dataset_or_creature_there_is_nothing_to_report(mesh: Mesh) -> None:
    with pytest.raises(PreconditionError) as caught:
        await mesh.predictor.GetRiskCoverage(pb.GetRiskCoverageRequest())
    assert caught.value.reason is Reason.NO_DATASET
    with pytest.raises(NotFoundError) as unknown:
        await mesh.predictor.GetRiskCoverage(pb.GetRiskCoverageRequest(creature="nobody"))
    assert unknown.value.reason is Reason.UNKNOWN_MODEL


@pytest.mark.parametrize(
    "fields",
    [
        {"alphas": [0.1, 0.0]},
        {"alphas": [0.6]},
        {"alphas": [float("nan")]},
        {"alphas": [0.1] * 17},
        {"delta": 0.6},
        {"guarantee_kind": 9},
        {"max_points": 1_001},
        {"cost_per_fallback_usd_micros": 1_000_000_001},
    ],
)
async def test_what_is_outside_its_range_is_refused(mesh: Mesh, fields: dict[str, object]) -> None:
    request = pb.GetRiskCoverageRequest(**fields)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError) as caught:
        await mesh.predictor.GetRiskCoverage(request)
    assert next(iter(fields)) in str(caught.value)
