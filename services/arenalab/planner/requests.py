"""Between the planner's messages and what it plans with."""

from collections.abc import Sequence
from typing import Final

from google.protobuf import timestamp_pb2

from arenalab.api.common.v1 import filter_pb2, plan_pb2, span_pb2
from arenalab.api.planner.v1 import planner_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.mesh import InvalidInputError
from arenalab.planner.facts import Engine, Facts, Strategy, Wanted
from arenalab.planner.plan import Plan

MAX_LIMIT: Final = 1000
DEFAULT_RECALL: Final = 0.98
_MAX_VALUES: Final = {"domains": 64, "actions": 64, "tags": 32}
_MAX_QUALITY: Final = 100
_MAX_TAGS: Final = 1000  # as many as search reports
_NS_PER_S: Final = 1_000_000_000

_ENGINES: Final = {
    plan_pb2.ENGINE_EXACT: Engine.EXACT,
    plan_pb2.ENGINE_HNSW: Engine.HNSW,
}
_ENGINES_OUT: Final = {engine: number for number, engine in _ENGINES.items()}
_STRATEGIES_OUT: Final = {
    Strategy.NONE: plan_pb2.FILTER_STRATEGY_NONE,
    Strategy.SCAN: plan_pb2.FILTER_STRATEGY_SCAN,
    Strategy.SELECTOR: plan_pb2.FILTER_STRATEGY_SELECTOR,
}
_STATUSES: Final = {
    span_pb2.SPAN_STATUS_PENDING: "pending",
    span_pb2.SPAN_STATUS_COMPLETED: "completed",
    span_pb2.SPAN_STATUS_FAILED: "failed",
}


def limit_of(request: pb.PlanRequest) -> int:
    """Returns the limit; raises InvalidInputError outside [1, 1000]."""
    if not 1 <= request.limit <= MAX_LIMIT:
        raise InvalidInputError(
            f"limit must be in [1, {MAX_LIMIT}], got {request.limit}", field="limit"
        )
    return request.limit


def recall_of(request: pb.PlanRequest) -> float:
    """Returns the recall target; raises InvalidInputError outside (0, 1]."""
    if request.recall_target == 0:
        return DEFAULT_RECALL
    if not 0 < request.recall_target <= 1:  # also refuses NaN
        raise InvalidInputError(
            f"recall_target must be in (0, 1], got {request.recall_target}", field="recall_target"
        )
    return request.recall_target


def wanted_of(message: filter_pb2.SpanFilter) -> Wanted:
    """Returns the filter; raises InvalidInputError for a condition outside its range."""
    for name, most in _MAX_VALUES.items():
        count = len(getattr(message, name))
        if count > most:
            raise InvalidInputError(
                f"filter.{name} must hold at most {most}, got {count}", field=f"filter.{name}"
            )
    quality = message.min_quality if message.HasField("min_quality") else None
    if quality is not None and not 0 <= quality <= _MAX_QUALITY:
        raise InvalidInputError(
            f"filter.min_quality must be in [0, 100], got {quality}", field="filter.min_quality"
        )
    return Wanted(
        domains=tuple(message.domains),
        actions=tuple(message.actions),
        statuses=tuple(_status(number) for number in message.statuses),
        not_before=_ns(message.not_before) if message.HasField("not_before") else None,
        before=_ns(message.before) if message.HasField("before") else None,
        min_quality=quality,
        tags=tuple(message.tags),
    )


def facts_of(stats: search_pb.StatsResponse) -> Facts:
    """Returns the facts of search's statistics."""
    return Facts(
        version=stats.collection.dataset_version,
        spans=stats.collection.spans,
        engines=frozenset(_ENGINES[number] for number in stats.engines if number in _ENGINES),
        domains=_counts(stats.domains),
        actions=_counts(stats.actions),
        statuses=_counts(stats.statuses),
        tags=_counts(stats.tags),
        all_tags=len(stats.tags) < _MAX_TAGS,
        quality_buckets=tuple(stats.quality_buckets),
        when_percentiles=tuple(_ns(when) for when in stats.when_quantiles),
    )


def plan_message(plan: Plan, version: str) -> plan_pb2.QueryPlan:
    """Returns the message of a plan made from the statistics of a version."""
    return plan_pb2.QueryPlan(
        engine=_ENGINES_OUT[plan.engine],
        filter_strategy=_STRATEGIES_OUT[plan.strategy],
        ef_search=plan.ef_search,
        candidates=plan.candidates,
        filter_steps=[
            plan_pb2.FilterStep(condition=name, selectivity=share) for name, share in plan.steps
        ],
        expected_matches=plan.expected_matches,
        cost_us=plan.cost_us,
        explanation=plan.explanation,
        stats_version=version,
    )


def _counts(counts: Sequence[search_pb.ValueCount]) -> dict[str, int]:
    return {one.value: one.count for one in counts}


def _ns(when: timestamp_pb2.Timestamp) -> int:
    return when.seconds * _NS_PER_S + when.nanos


def _status(number: "span_pb2.SpanStatus.ValueType") -> str:
    status = _STATUSES.get(number)
    if status is None:
        raise InvalidInputError(
            f"filter.statuses must be pending, completed or failed, got {number}",
            field="filter.statuses",
        )
    return status
