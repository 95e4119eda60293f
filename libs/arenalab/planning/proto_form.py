"""Plans and cost models as messages, and back."""

from typing import Final

from google.protobuf import timestamp_pb2

from arenalab.api.common.v1 import plan_pb2
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.planning.cost import DEFAULT_MODEL, Correction, CostModel
from arenalab.planning.engine import Engine, Strategy
from arenalab.planning.plan import DEFAULT_RECALL, Plan, Step

_ENGINES: Final = {
    plan_pb2.ENGINE_EXACT: Engine.EXACT,
    plan_pb2.ENGINE_HNSW: Engine.HNSW,
    plan_pb2.ENGINE_IVF: Engine.IVF,
    plan_pb2.ENGINE_MILVUS: Engine.MILVUS,
    plan_pb2.ENGINE_PGVECTOR: Engine.PGVECTOR,
}
_STRATEGIES: Final = {
    plan_pb2.FILTER_STRATEGY_NONE: Strategy.NONE,
    plan_pb2.FILTER_STRATEGY_SCAN: Strategy.SCAN,
    plan_pb2.FILTER_STRATEGY_SELECTOR: Strategy.SELECTOR,
    plan_pb2.FILTER_STRATEGY_POST: Strategy.POST,
}
_ENGINE_NUMBERS: Final = {engine: number for number, engine in _ENGINES.items()}
_STRATEGY_NUMBERS: Final = {strategy: number for number, strategy in _STRATEGIES.items()}
_NS_PER_S: Final = 1_000_000_000
_COSTS: Final = (
    "scan_ns",
    "gather_ns",
    "graph_ns",
    "list_ns",
    "rescore_ns",
    "select_ns",
    "call_us",
)


def engine_from_proto(number: "plan_pb2.Engine.ValueType") -> Engine | None:
    """Returns the engine of a number; None for none, or one that is not known here."""
    return _ENGINES.get(number)


def engine_to_proto(engine: Engine) -> "plan_pb2.Engine.ValueType":
    """Returns the number of an engine."""
    return _ENGINE_NUMBERS[engine]


def plan_to_proto(
    plan: Plan, stats_version: str = "", ranking: plan_pb2.Ranking | None = None
) -> plan_pb2.QueryPlan:
    """Returns the message of a plan made from the counts of a dataset version."""
    return plan_pb2.QueryPlan(
        engine=_ENGINE_NUMBERS[plan.engine],
        filter_strategy=_STRATEGY_NUMBERS[plan.strategy],
        ef_search=plan.ef_search,
        n_probe=plan.n_probe,
        candidates=plan.candidates,
        filter_steps=[
            plan_pb2.FilterStep(
                condition=step.condition, selectivity=step.share, matches=step.matches
            )
            for step in plan.steps
        ],
        expected_matches=plan.matches,
        cost_us=plan.expected_us,
        explanation=plan.explanation,
        stats_version=stats_version,
        ranking=ranking,
        recall_target=plan.recall_target,
    )


def plan_from_proto(message: plan_pb2.QueryPlan) -> Plan | None:
    """Returns the plan of its message; None where it leaves the engine to search.

    A strategy that is left out is a scan for the exact engine, and a selector for others.
    The probe is not part of a message: a search makes it wherever it filters a graph.

    Raises:
        ValueError: The engine or strategy has no such value.
    """
    if message.engine == plan_pb2.ENGINE_UNSPECIFIED:
        return None
    engine = _ENGINES.get(message.engine)
    if engine is None:
        raise ValueError(f"engine has no value {message.engine}")
    steps = tuple(
        Step(condition=step.condition, matches=step.matches, share=step.selectivity)
        for step in message.filter_steps
    )
    return Plan(
        engine=engine,
        strategy=_strategy(message.filter_strategy, engine),
        ef_search=message.ef_search,
        n_probe=message.n_probe,
        candidates=message.candidates,
        steps=steps,
        matches=message.expected_matches,
        cost_us=message.cost_us,
        recall_target=message.recall_target or DEFAULT_RECALL,
        explanation=message.explanation,
    )


def _strategy(number: "plan_pb2.FilterStrategy.ValueType", engine: Engine) -> Strategy:
    if number == plan_pb2.FILTER_STRATEGY_UNSPECIFIED:
        return Strategy.SCAN if engine is Engine.EXACT else Strategy.SELECTOR
    strategy = _STRATEGIES.get(number)
    if strategy is None:
        raise ValueError(f"filter_strategy has no value {number}")
    return strategy


def cost_model_to_proto(model: CostModel) -> search_pb.CostModel:
    """Returns the message of a cost model."""
    message = search_pb.CostModel(
        dimension=model.dimension,
        corrections=[
            search_pb.CostCorrection(
                way=way, factor=correction.factor, searches=correction.searches
            )
            for way, correction in sorted(model.corrections.items())
        ],
        **{name: getattr(model, name) for name in _COSTS},
    )
    if model.measured_at_ns:
        seconds, nanos = divmod(model.measured_at_ns, _NS_PER_S)
        message.measure_time.CopyFrom(timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos))
    return message


def cost_model_from_proto(message: search_pb.CostModel) -> CostModel:
    """Returns the cost model of its message; DEFAULT_MODEL for one without costs."""
    costs = {name: getattr(message, name) for name in _COSTS}
    if not message.dimension or min(costs.values()) <= 0:
        return DEFAULT_MODEL
    when = message.measure_time
    return CostModel(
        dimension=message.dimension,
        measured_at_ns=when.seconds * _NS_PER_S + when.nanos,
        corrections={one.way: Correction(one.factor, one.searches) for one in message.corrections},
        **costs,
    )
