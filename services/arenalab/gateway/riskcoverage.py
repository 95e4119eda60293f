"""GET /v1/risk-coverage: what memory may promise, and how much of the traffic it serves."""

from typing import TYPE_CHECKING, Any, Final

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.predictor.v1 import predictor_service_pb2 as pb
from arenalab.gateway.exchange import Exchange
from arenalab.gateway.extension import BASES, guarantee_form, name_of
from arenalab.gateway.policy import GUARANTEE_KINDS, MAX_NAME, MAX_RISK
from arenalab.gateway.query import Query
from arenalab.mesh import scope_for

if TYPE_CHECKING:
    from arenalab.api.predictor.v1 import predictor_service_pb2_grpc as pb_grpc

MAX_ALPHAS: Final = 16
MAX_POINTS: Final = 1000
MAX_COST_USD_MICROS: Final = 1_000_000_000
KNOWN: Final = frozenset(
    {
        "creature", "alpha", "delta", "guarantee_kind", "groups", "max_points",
        "cost_per_fallback_usd_micros",
    }
)  # fmt: skip
_KINDS: Final = {
    "high_probability": answer_pb2.GUARANTEE_KIND_HIGH_PROBABILITY,
    "expectation": answer_pb2.GUARANTEE_KIND_EXPECTATION,
    None: answer_pb2.GUARANTEE_KIND_UNSPECIFIED,
}


def parse_query(query: Query, tenant: str) -> pb.GetRiskCoverageRequest:
    """Reads the parameters of the URL.

    Raises:
        ApiError: 400; `param` names the parameter.
    """
    alphas = query.numbers("alpha", 0, MAX_RISK, max_items=MAX_ALPHAS)
    fields = query.fields(
        numbers=("delta", "max_points", "cost_per_fallback_usd_micros"), booleans=("groups",)
    )
    return pb.GetRiskCoverageRequest(
        scope=scope_for(tenant),
        creature=fields.string("creature", max_chars=MAX_NAME) or "",
        alphas=alphas,
        delta=fields.number("delta", 0, MAX_RISK, above_low=True) or 0,
        guarantee_kind=_KINDS[fields.choice("guarantee_kind", GUARANTEE_KINDS)],
        with_groups=bool(fields.boolean("groups")),
        max_points=fields.integer("max_points", 1, MAX_POINTS) or 0,
        cost_per_fallback_usd_micros=fields.integer(
            "cost_per_fallback_usd_micros", 0, MAX_COST_USD_MICROS
        ),
    )


class RiskCoverageEndpoint:
    """Shows the predictor's curve and rows."""

    def __init__(self, predictor: "pb_grpc.PredictorServiceAsyncStub") -> None:
        self._predictor = predictor

    async def __call__(self, exchange: Exchange) -> None:
        request = parse_query(Query(exchange, KNOWN), exchange.principal.tenant)
        found = await self._predictor.GetRiskCoverage(request)
        await exchange.respond_json(200, risk_coverage(found))


def risk_coverage(found: pb.GetRiskCoverageResponse) -> dict[str, Any]:
    """Returns the curve as JSON."""
    return {
        "object": "risk_coverage",
        "creature": found.creature or None,
        "dataset": found.dataset or None,
        "dataset_version": found.dataset_version or None,
        "basis": name_of(BASES, found.basis),
        "calibration_size": found.calibration_size,
        "points": [_point(point) for point in found.points],
        "rows": [_row(row) for row in found.rows],
        "groups": [_row(row) for row in found.groups],
        "groups_left_out": found.groups_left_out,
        "reliability": [
            {"size": each.size, "confidence": each.confidence, "accuracy": each.accuracy}
            for each in found.reliability
        ],
        "expected_calibration_error": found.expected_calibration_error,
        "brier": found.brier,
        "cost_per_fallback_usd_micros": found.cost_per_fallback_usd_micros,
        "limits": list(found.limits),
    }


def _point(point: pb.RiskCoveragePoint) -> dict[str, Any]:
    return {
        "threshold": point.threshold,
        "coverage": point.coverage,
        "risk": point.risk,
        "lower": point.lower,
        "upper": point.upper,
        "served": point.served,
        "errors": point.errors,
    }


def _row(row: pb.RiskCoverageRow) -> dict[str, Any]:
    more = row.labels_for_five_points if row.HasField("labels_for_five_points") else None
    return {
        "guarantee": guarantee_form(row.guarantee),
        "coverage": row.coverage,
        "saved_usd_micros_per_thousand": row.saved_usd_micros_per_thousand,
        "labels_for_five_points": more,
    }
