"""Between the planner's messages, search's counts and the facts of a plan."""

from dataclasses import dataclass
from typing import Final

from arenalab.api.planner.v1 import planner_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.mesh import InvalidInputError
from arenalab.planning import DEFAULT_RECALL, CostModel, Engine, Facts
from arenalab.planning.proto_form import cost_model_from_proto, engine_from_proto
from arenalab.planning.ranking import changes_order, check_ranking, ranked_candidates_of

MAX_LIMIT: Final = 1000


@dataclass(frozen=True, slots=True)
class Known:
    """What search says of a collection as a whole."""

    version: str
    spans: int
    engines: frozenset[Engine]
    model: CostModel
    effort: float = 1.0  # that the hardest of its indexes needs


@dataclass(frozen=True, slots=True)
class Counted:
    """What search says of a filter."""

    spans: int  # of the collection when it was counted
    matches: int
    conditions: tuple[tuple[str, int], ...]


def limit_of(request: pb.PlanRequest) -> int:
    """Returns the limit; raises InvalidInputError outside [1, 1000]."""
    if not 1 <= request.limit <= MAX_LIMIT:
        raise InvalidInputError(
            f"limit must be in [1, {MAX_LIMIT}], got {request.limit}", field="limit"
        )
    return request.limit


def fetched_of(request: pb.PlanRequest) -> int:
    """Returns how many hits search will fetch: more than the limit where they are ranked.

    Raises:
        InvalidInputError: The limit or a field of the ranking is outside its range.
    """
    limit = limit_of(request)
    check_ranking(request.ranking)
    return ranked_candidates_of(limit) if changes_order(request.ranking) else limit


def recall_of(request: pb.PlanRequest) -> float:
    """Returns the recall target; raises InvalidInputError outside (0, 1]."""
    if request.recall_target == 0:
        return DEFAULT_RECALL
    if not 0 < request.recall_target <= 1:  # also refuses NaN
        raise InvalidInputError(
            f"recall_target must be in (0, 1], got {request.recall_target}", field="recall_target"
        )
    return request.recall_target


def known_of(stats: search_pb.StatsResponse) -> Known:
    """Returns what search's statistics say."""
    engines = (engine_from_proto(number) for number in stats.engines)
    return Known(
        version=stats.collection.dataset_version,
        spans=stats.collection.spans,
        engines=frozenset(engine for engine in engines if engine not in (None, Engine.EXACT)),
        model=cost_model_from_proto(stats.cost_model),
        # A plan is for all segments; a search of before this field says 0.
        effort=max((1.0, *(segment.effort for segment in stats.segments))),
    )


def counted_of(count: search_pb.CountResponse) -> Counted:
    """Returns what search counted."""
    return Counted(
        spans=count.collection.spans,
        matches=count.matches,
        conditions=tuple((one.condition, one.matches) for one in count.conditions),
    )


def facts_of(known: Known, counted: Counted | None) -> Facts:
    """Returns the facts of a search; `counted` is None where nothing is filtered."""
    if counted is None:
        return Facts(
            spans=known.spans, matches=known.spans, engines=known.engines, effort=known.effort
        )
    # The two were not asked at the same moment: a count is never beyond its own total.
    return Facts(
        spans=max(counted.spans, counted.matches),
        matches=counted.matches,
        conditions=counted.conditions,
        engines=known.engines,
        effort=known.effort,
    )
