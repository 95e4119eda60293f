"""Which plan each segment is searched by."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Final

from arenalab.planning import (
    LEAST_LOCAL_SHARE,
    PROBE_HITS,
    Choice,
    CostModel,
    Engine,
    Facts,
    Plan,
    Probe,
    Strategy,
    choose,
    explained,
)
from arenalab.search.collection.segment import Segment
from arenalab.search.costs.latencies import Latencies
from arenalab.search.finding.agreement import Agreements
from arenalab.search.finding.query import Query
from arenalab.search.index.selection import Selection

# Engines whose filtered search is only to be trusted after a probe.
_PROBED: Final = frozenset({Engine.HNSW, Engine.IVF, Engine.MILVUS})
_PROBE: Final = Probe(hits=PROBE_HITS, ef_search=PROBE_HITS)
# What an index would cost beside a scan, for a probe to tell which of them is better.
_WORTH_LEARNING: Final = 1.0


class Chooser:
    """Plans for segments from exact counts and the machine's costs."""

    def __init__(self, model: Callable[[], CostModel], latencies: Latencies) -> None:
        """Keeps its arguments.

        Args:
            model: Returns the cost model, the same object until it changes.
            latencies: Learns how long plans take.
        """
        self._model = model
        self._latencies = latencies
        self._agreements = Agreements()

    def choose(
        self, segment: Segment, selection: Selection | None, query: Query, fetch: int
    ) -> Plan:
        """Returns the cheapest plan that reaches the wanted recall.

        A query's own plan, where it has one, is followed as far as the segment can.

        Args:
            segment: What is searched.
            selection: The rows that pass; None: all.
            query: The search.
            fetch: Hits wanted.
        """
        if query.plan is not None:
            followed = _followed(query.plan, segment, selection)
            if followed is not None:
                return followed
        if segment.is_scanned and not query.explain:  # there is nothing to choose from
            return _scan(fetch, is_filtered=selection is not None)
        return self._chosen(self._facts(segment, selection, query), query, fetch)

    def again(
        self,
        segment: Segment,
        selection: Selection,
        query: Query,
        fetch: int,
        *,
        passing: int,
        hits: int,
    ) -> Plan:
        """Returns the plan once a probe has told how many of its hits pass.

        A query's own plan is followed on, unless filter and query disagree.
        """
        self.probed(segment, selection, query, passing=passing, hits=hits)
        if query.plan is not None and hits and passing / hits >= LEAST_LOCAL_SHARE:
            followed = _followed(query.plan, segment, selection)
            if followed is not None:
                return replace(followed, probe=None)
        facts = self._facts(segment, selection, query).probed(passing, hits)
        return self._chosen(facts, query, fetch)

    def probed(
        self, segment: Segment, selection: Selection, query: Query, *, passing: int, hits: int
    ) -> None:
        """Learns from a probe whether a filter passes what is near a question."""
        self._agreements.probed(
            segment.serial, query.wanted, passing=passing, hits=hits, share=selection.share
        )

    def wants_probe(
        self, segment: Segment, selection: Selection, query: Query, plan: Plan, fetch: int
    ) -> Probe | None:
        """Returns what to ask after a scan, to learn whether an index would have served.

        None where nothing is to be learned: the scan costs little beside a probe.
        """
        if not plan.is_exact or segment.index.engine not in _PROBED or query.plan is not None:
            return None
        plans = self._choice(self._facts(segment, selection, query), query, fetch)
        others = [one for one in (plans.plan, *plans.rejected) if not one.is_exact]
        if not others or min(one.cost_us for one in others) > _WORTH_LEARNING * plan.cost_us:
            return None
        return _PROBE if self._agreements.scanned(segment.serial, query.wanted) else None

    def observe(
        self,
        segment: Segment,
        selection: Selection | None,
        query: Query,
        fetch: int,
        plan: Plan,
        took_us: float,
    ) -> None:
        """Learns from a search of a segment that is large enough to have an index.

        What a plan that came with the query says of its cost is what its maker wrote, by
        corrections of another moment at best: it counts for what it would cost here, if
        it is one that would be made here.
        """
        if segment.is_scanned:
            return
        if query.plan is not None:
            plans = self._choice(self._facts(segment, selection, query), query, fetch)
            same = (one for one in (plans.plan, *plans.rejected) if _is_same(one, plan))
            known = next(same, None)
            if known is None:
                return
            plan = known
        if plan.cost_us > 0:
            self._latencies.observe(plan.way, plan.cost_us, took_us)

    def _facts(self, segment: Segment, selection: Selection | None, query: Query) -> Facts:
        index = segment.index
        conditions: tuple[tuple[str, int], ...] = ()
        if query.explain:
            conditions = tuple(segment.counts(query.wanted).items())
        return Facts(
            spans=len(segment),
            matches=len(segment) if selection is None else selection.count,
            conditions=conditions,
            engines=_ENGINES[index.engine],
            dimension=index.dimension,
            effort=segment.tuning.effort,
            agreement=self._agreements.of(segment.serial, query.wanted),
        )

    def _chosen(self, facts: Facts, query: Query, fetch: int) -> Plan:
        choice = self._choice(facts, query, fetch)
        return explained(choice).plan if query.explain else choice.plan

    def _choice(self, facts: Facts, query: Query, fetch: int) -> Choice:
        return choose(facts, limit=fetch, recall_target=query.recall_target, model=self._model())


_ENGINES: Final = {
    engine: frozenset() if engine is Engine.EXACT else frozenset({engine}) for engine in Engine
}


@lru_cache
def _scan(fetch: int, *, is_filtered: bool) -> Plan:
    strategy = Strategy.SCAN if is_filtered else Strategy.NONE
    return Plan(engine=Engine.EXACT, strategy=strategy, candidates=fetch)


def _is_same(one: Plan, other: Plan) -> bool:
    return (one.way, one.ef_search, one.n_probe) == (other.way, other.ef_search, other.n_probe)


def _followed(given: Plan, segment: Segment, selection: Selection | None) -> Plan | None:
    """Returns a given plan as far as a segment can follow it; None where it cannot."""
    engine = segment.index.engine
    if given.engine is Engine.EXACT:
        strategy = Strategy.NONE if selection is None else Strategy.SCAN
        return replace(given, strategy=strategy, probe=None)
    if given.engine is not engine:
        return None
    if selection is None:
        return replace(given, strategy=Strategy.NONE, probe=None)
    if given.strategy is Strategy.SCAN:
        return replace(given, engine=Engine.EXACT, probe=None)
    # Rows may be gone that the planner did not know of, and then something is filtered.
    strategy = Strategy.SELECTOR if given.strategy is Strategy.NONE else given.strategy
    probe = _PROBE if engine in _PROBED else None
    if strategy is Strategy.POST and probe is not None:  # the search itself
        probe = Probe(
            hits=max(1, given.candidates),
            ef_search=given.ef_search,
            n_probe=given.n_probe,
            is_search=True,
        )
    return replace(given, strategy=strategy, probe=probe)
