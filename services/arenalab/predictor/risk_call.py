"""GetRiskCoverage: finds the live version of a creature, and reports on its calibration."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.predictor.v1 import predictor_service_pb2 as pb
from arenalab.mesh import InvalidInputError, NotFoundError, PreconditionError, tenant_of
from arenalab.mesh import Reason as ErrorReason
from arenalab.predictor import wire
from arenalab.predictor.artefact import Basis
from arenalab.predictor.creatures import Creature
from arenalab.predictor.guarantee import DEFAULT_DELTA, Kind
from arenalab.predictor.peers import Peers
from arenalab.predictor.prediction import Predictor
from arenalab.predictor.risk_coverage import POINTS
from arenalab.predictor.risk_report import ALPHAS, RiskReport, Row, Wanted, risk_report, void_report
from arenalab.predictor.versions import Versions

MAX_ALPHAS: Final = 16
MAX_POINTS: Final = 1_000
MAX_COST_USD_MICROS: Final = 1_000_000_000
_PER: Final = 1_000  # questions that savings are stated for
_KINDS: Final = {
    answer_pb2.GUARANTEE_KIND_UNSPECIFIED: tuple(Kind),
    answer_pb2.GUARANTEE_KIND_HIGH_PROBABILITY: (Kind.HIGH_PROBABILITY,),
    answer_pb2.GUARANTEE_KIND_EXPECTATION: (Kind.EXPECTATION,),
}


class RiskCoverage:
    """Reports on the calibrations of live versions."""

    def __init__(
        self, predictor: Predictor, versions: Versions, peers: Peers, cost_usd_micros: int
    ) -> None:
        """Takes what it reads from.

        Args:
            predictor: Knows the creatures.
            versions: The versions in use.
            peers: Know which versions are live.
            cost_usd_micros: Of a fallback answer, where a request names none.
        """
        self._predictor = predictor
        self._versions = versions
        self._peers = peers
        self._cost_usd_micros = cost_usd_micros

    async def report(self, request: pb.GetRiskCoverageRequest) -> pb.GetRiskCoverageResponse:
        """Returns the report that a request asks for.

        Raises:
            InvalidInputError: A field is outside its range.
            NotFoundError: UNKNOWN_MODEL, there is no such creature.
            PreconditionError: NO_DATASET, nothing is published.
            DataLossError: A file of the version is damaged.
        """
        wanted = wanted_of(request)
        tenant = tenant_of(request.scope)
        creature, version = await self._live(tenant, request.creature)
        try:
            loaded = await self._versions.get(tenant, creature.dataset, version)
        except PreconditionError as error:
            if error.reason is not ErrorReason.NOT_CALIBRATED:
                raise
            report = void_report(str(error), wanted, DEFAULT_DELTA)
        else:
            # Estimates of labels take some tenths of a second on a large calibration.
            report = await asyncio.to_thread(risk_report, loaded.calibrated.artefact, wanted)
        if not creature.is_whole:
            slice_limit = (
                f"The calibration is of all of {creature.dataset!r}: of the slice that "
                f"{creature.name!r} answers from, it says nothing by itself."
            )
            report = replace(report, limits=[*report.limits, slice_limit])
        cost = self._cost_usd_micros
        if request.HasField("cost_per_fallback_usd_micros"):
            cost = request.cost_per_fallback_usd_micros
        return response_of(report, creature, version, cost)

    async def _live(self, tenant: str, name: str) -> tuple[Creature, str]:
        collections = await self._peers.collections(tenant)
        live = {one.dataset: one.dataset_version for one in collections}
        if not name and not collections:
            raise PreconditionError("no dataset is published yet", ErrorReason.NO_DATASET)
        creature = self._predictor.creature(name or collections[0].dataset)
        if creature.dataset not in live:
            raise NotFoundError(
                f"there is no creature {name!r}", ErrorReason.UNKNOWN_MODEL, model=name
            )
        return creature, live[creature.dataset]


def wanted_of(request: pb.GetRiskCoverageRequest) -> Wanted:
    """Returns what a request wants to be computed.

    Raises:
        InvalidInputError: A field is outside its range.
    """
    if len(request.alphas) > MAX_ALPHAS:
        raise _refused("alphas", f"hold at most {MAX_ALPHAS}", len(request.alphas))
    for n, alpha in enumerate(request.alphas):
        if not 0 < alpha <= wire.MAX_RISK:  # NaN fails too
            raise _refused(f"alphas[{n}]", f"be in (0, {wire.MAX_RISK}]", alpha)
    wire.check_risk(0.0, request.delta)
    if request.guarantee_kind not in _KINDS:
        raise _refused("guarantee_kind", "be one of its values", request.guarantee_kind)
    for field, limit in (
        ("max_points", MAX_POINTS),
        ("cost_per_fallback_usd_micros", MAX_COST_USD_MICROS),
    ):
        if getattr(request, field) > limit:
            raise _refused(field, f"be at most {limit}", getattr(request, field))
    return Wanted(
        alphas=sorted(set(request.alphas)) or ALPHAS,
        delta=request.delta,
        kinds=_KINDS[request.guarantee_kind],
        points=request.max_points or POINTS,
        with_groups=request.with_groups,
    )


def response_of(
    report: RiskReport, creature: Creature, version: str, cost_usd_micros: int
) -> pb.GetRiskCoverageResponse:
    """Returns a report in the form of the contract."""
    response = pb.GetRiskCoverageResponse(
        creature=creature.name,
        dataset=creature.dataset,
        dataset_version=version,
        calibration_size=report.size,
        points=[
            pb.RiskCoveragePoint(
                threshold=point.threshold,
                coverage=point.coverage,
                risk=point.risk,
                lower=point.lower,
                upper=point.upper,
                served=point.served,
                errors=point.errors,
            )
            for point in report.points
        ],
        rows=_rows_of(report.rows, report.basis, cost_usd_micros),
        groups=_rows_of(report.groups, report.basis, cost_usd_micros),
        groups_left_out=report.groups_left_out,
        reliability=[
            pb.ReliabilityBin(size=one.size, confidence=one.confidence, accuracy=one.accuracy)
            for one in report.bins
        ],
        expected_calibration_error=report.expected_calibration_error,
        brier=report.brier,
        cost_per_fallback_usd_micros=cost_usd_micros,
        limits=report.limits,
    )
    if response.rows:
        response.basis = response.rows[0].guarantee.basis
    return response


def _rows_of(
    rows: Sequence[Row], basis: Basis | None, cost_usd_micros: int
) -> list[pb.RiskCoverageRow]:
    return [
        pb.RiskCoverageRow(
            guarantee=wire.guarantee_of(row.bound, basis, row.group),
            coverage=row.bound.coverage,
            saved_usd_micros_per_thousand=round(_PER * row.bound.coverage * cost_usd_micros),
            labels_for_five_points=row.labels,
        )
        for row in rows
    ]


def _refused(field: str, rule: str, got: object) -> InvalidInputError:
    return InvalidInputError(f"{field} must {rule}, got {got}", field=field)
