"""Plans forced on the service: what its own choice is judged by."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from arenalab.api.common.v1 import plan_pb2
from arenalab.planning import Engine
from tests.bench.search.cases import Case
from tests.bench.search.methods import EFS, TRIED
from tests.bench.search.raw import recall
from tests.bench.search.serving import K, Served

_SCAN: Final = plan_pb2.QueryPlan(
    engine=plan_pb2.ENGINE_EXACT,
    filter_strategy=plan_pb2.FILTER_STRATEGY_SCAN,
    candidates=K,
)


@dataclass(frozen=True)
class Forced:
    """A plan and how long the service takes to carry it out."""

    name: str
    plan: plan_pb2.QueryPlan
    p50_us: float
    recall: float


def ways_of(plan: plan_pb2.QueryPlan) -> str:
    """Returns a plan in a word: "hnsw selector 128"."""
    engine = plan_pb2.Engine.Name(plan.engine).removeprefix("ENGINE_")
    strategy = plan_pb2.FilterStrategy.Name(plan.filter_strategy)
    words = [engine, strategy.removeprefix("FILTER_STRATEGY_"), str(plan.ef_search or "")]
    return " ".join(words).lower().strip()


async def best_forced(served: Served, case: Case, least: float, engine: Engine) -> Forced:
    """Returns the fastest plan that reaches the recall; a scan always does."""
    found = [await _tried(served, case, _SCAN)]
    if engine is Engine.HNSW:
        for strategy in (plan_pb2.FILTER_STRATEGY_SELECTOR, plan_pb2.FILTER_STRATEGY_POST):
            for plan in _walks(strategy):
                one = await _tried(served, case, plan)
                if one.p50_us > 2 * found[0].p50_us:
                    break  # harder looking only costs more
                if one.recall >= least:
                    found.append(one)
                    break
    return min(found, key=lambda one: one.p50_us)


def _walks(strategy: "plan_pb2.FilterStrategy.ValueType") -> Iterator[plan_pb2.QueryPlan]:
    for ef in EFS:
        is_post = strategy == plan_pb2.FILTER_STRATEGY_POST
        yield plan_pb2.QueryPlan(
            engine=plan_pb2.ENGINE_HNSW,
            filter_strategy=strategy,
            ef_search=ef,
            candidates=ef if is_post else 2 * K,
        )


async def _tried(served: Served, case: Case, plan: plan_pb2.QueryPlan) -> Forced:
    each_us, found = [], []
    for question in case.questions[:TRIED]:
        reply = await served.search(question, case.wanted, plan=plan)
        each_us.append(reply.search_us)
        found.append(np.frombuffer(reply.similarities, "<f4"))
    reached = recall(found, case.last[:TRIED], case.hits)
    return Forced(ways_of(plan), plan, float(np.median(each_us)), reached)
