"""Choosing a plan: every way that can be carried out is costed, the cheapest wins.

A scan reaches every recall; the other ways only some (see recall.py), and under a filter
only where filter and query agree. Whether they do cannot be known from counts: a filter
may select another region of the space than the query points to, and then a graph loses
most of the true neighbours whatever its list. So a filtered plan is provisional until the
index itself was asked, by an unfiltered search:

    choice = choose(facts, ...)
    if choice.plan.probe is not None:
        hits = search for choice.plan.probe, unfiltered; count those that pass
        if choice.plan.probe.is_answered(passing, limit): they are the answer
        choice = choose(facts.probed(passing, len(hits)), ...)

After that it is a scan where fewer than `LEAST_LOCAL_SHARE` of the hits passed. A plan
that drops what does not pass (`Strategy.POST`) is its own probe: when enough of its hits
pass, nothing else is done. After a probe no plan asks for another; one that still finds
fewer than it should is followed by a scan.

So a provisional plan is a bet: it costs what it costs, and a scan besides where filter and
query disagree. How likely they agree is learned from the searches with the same filter
(`Facts.agreement`); plans are compared by what they cost on average.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from arenalab.planning import cost, recall
from arenalab.planning.cost import CostModel
from arenalab.planning.engine import Engine, Strategy

DEFAULT_RECALL: Final = 0.99
PROBE_HITS: Final = 64
# Three of the 64 hits of a probe: below that a graph collapses (measured recall .11 to .72).
LEAST_LOCAL_SHARE: Final = 3 / PROBE_HITS
# Engines on a server, which filter for themselves. PostgreSQL looks on until enough pass;
# a graph of Milvus loses neighbours as ours does (70 % found where filter and query
# disagreed, whatever its list), and needs a probe.
_COLLAPSING: Final = frozenset({Engine.MILVUS})
REMOTE: Final = frozenset({Engine.MILVUS, Engine.PGVECTOR})
_PROBE_LISTS: Final = 8
UNKNOWN_AGREEMENT: Final = 0.5
_FEW_ROWS: Final = 2000
_KEPT_CHOICES: Final = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What is known of a search before it runs. Counts are exact."""

    spans: int
    matches: int  # spans that pass the whole filter
    conditions: tuple[tuple[str, int], ...] = ()  # each alone; none: nothing is filtered
    engines: frozenset[Engine] = frozenset()  # that are built, beside the exact scan
    local_share: float | None = None  # of a probe's hits, that pass; None: not probed
    dimension: int = 0  # 0: that of the model
    agreement: float = UNKNOWN_AGREEMENT  # how likely the filter passes what is near, in [0, 1]
    effort: float = 1.0  # by how much harder than the tables say these engines are searched

    @property
    def is_filtered(self) -> bool:
        return bool(self.conditions) or self.matches < self.spans

    @property
    def share(self) -> float:
        """The share of spans that passes, in [0, 1]; 0 of an empty collection."""
        return self.matches / self.spans if self.spans else 0.0

    def probed(self, passing: int, hits: int) -> "Facts":
        """Returns these facts with the outcome of a probe."""
        return replace(self, local_share=passing / hits if hits else 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One condition of the filter."""

    condition: str
    matches: int
    share: float  # of all spans, in [0, 1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """An unfiltered search that tells whether filter and query agree."""

    hits: int
    ef_search: int = 0
    n_probe: int = 0
    is_search: bool = False  # whether it looks hard enough for its hits to be the answer

    def is_answered(self, passing: int, limit: int) -> bool:
        """Returns whether those of its hits that pass are what was searched for."""
        return self.is_search and passing >= limit


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """One way to carry out a search."""

    engine: Engine
    strategy: Strategy
    ef_search: int = 0  # 0 where no graph is walked
    n_probe: int = 0  # 0 where there are no lists
    candidates: int = 0  # hits that the engine fetches, re-scored in full precision
    steps: tuple[Step, ...] = ()  # most selective first
    spans: int = 0
    matches: int = 0
    cost_us: float = 0.0  # where filter and query agree
    scan_after_us: float = 0.0  # that a scan adds where they do not, times how likely that is
    recall_target: float = DEFAULT_RECALL
    effort: float = 1.0  # of the facts
    explanation: str = ""  # filled by `explained`
    probe: Probe | None = None  # what to ask first

    @property
    def expected_us(self) -> float:
        """What the plan costs on average, by which plans are compared."""
        return self.cost_us + self.scan_after_us

    @property
    def way(self) -> str:
        """Engine and strategy, by which corrections are learned: "hnsw/selector".

        A scan of few rows is a way of its own: what it costs is mostly not for its rows.
        """
        is_few = self.strategy is Strategy.SCAN and self.matches < _FEW_ROWS
        return f"{self.engine.value}/{'few' if is_few else self.strategy.value}"

    @property
    def order(self) -> tuple[str, ...]:
        """The conditions in the order of evaluation."""
        return tuple(step.condition for step in self.steps)

    @property
    def is_exact(self) -> bool:
        return self.engine is Engine.EXACT


@dataclass(frozen=True, slots=True)
class Choice:
    """The cheapest plan and the others, cheapest first."""

    plan: Plan
    rejected: tuple[Plan, ...]


@lru_cache(_KEPT_CHOICES)
def choose(facts: Facts, *, limit: int, recall_target: float, model: CostModel) -> Choice:
    """Returns the cheapest plan that reaches the recall, and the others.

    Args:
        facts: What is known.
        limit: Hits wanted, at least 1.
        recall_target: Share of the true nearest wanted, in (0, 1].
        model: What searching costs.
    """
    search = _Search(facts, limit, recall_target, model)
    # Stable: the scan is the first, so that it wins where another costs the same.
    plans = sorted(search.plans(), key=lambda plan: plan.expected_us)
    return Choice(plans[0], tuple(plans[1:]))


@dataclass(frozen=True, slots=True)
class _Search:
    facts: Facts
    limit: int
    recall_target: float
    model: CostModel

    def plans(self) -> Iterator[Plan]:
        scan = self._completed(self._scan(), 0.0)
        yield scan
        for plan in self._approximate():
            disagreeing = 0.0 if plan.probe is None else 1.0 - self.facts.agreement
            yield self._completed(plan, disagreeing * scan.cost_us)

    def _completed(self, plan: Plan, scan_after_us: float) -> Plan:
        plan = replace(
            plan,
            steps=_steps(self.facts),
            spans=self.facts.spans,
            matches=self.facts.matches,
            recall_target=self.recall_target,
            effort=self.facts.effort,
            scan_after_us=scan_after_us,
        )
        scale = self.model.scaled(self.facts.dimension) * self.model.factor(plan.way)
        return replace(plan, cost_us=plan.cost_us * scale)

    def _scan(self) -> Plan:
        facts, model = self.facts, self.model
        has_codes = Engine.IVF not in facts.engines
        if not facts.is_filtered:
            strategy = Strategy.NONE
            cost_us = cost.scan_all_us(model, facts.spans, self.limit, has_codes=has_codes)
        elif facts.matches:
            strategy = Strategy.SCAN
            cost_us = cost.scan_chosen_us(
                model, facts.spans, facts.matches, self.limit, has_codes=has_codes
            )
        else:
            strategy, cost_us = Strategy.SCAN, 0.0  # nothing passes, nothing is compared
        for engine in facts.engines & REMOTE:  # the vectors are on a server
            cost_us = cost.REMOTE_US + facts.matches * cost.REMOTE_ROW_US[engine]
        return Plan(engine=Engine.EXACT, strategy=strategy, candidates=self.limit, cost_us=cost_us)

    def _approximate(self) -> Iterator[Plan]:
        facts = self.facts
        # Only a scan is perfect; and where all that pass are wanted, there is no search.
        if self.recall_target >= 1.0 or facts.matches <= self.limit:
            return
        disagrees = facts.local_share is not None and facts.local_share < LEAST_LOCAL_SHARE
        for engine in sorted(facts.engines & REMOTE):
            if engine in _COLLAPSING and disagrees:
                continue
            strategy = Strategy.SELECTOR if facts.is_filtered else Strategy.NONE
            fetched = recall.candidates_of(self.limit)
            asks = facts.is_filtered and facts.local_share is None and engine in _COLLAPSING
            yield Plan(
                engine=engine,
                strategy=strategy,
                candidates=fetched,
                cost_us=cost.REMOTE_US * (2 if asks else 1),
                probe=Probe(hits=PROBE_HITS, ef_search=PROBE_HITS) if asks else None,
            )
        if facts.local_share is not None and facts.local_share < LEAST_LOCAL_SHARE:
            return
        if Engine.HNSW in facts.engines:
            yield from self._walks()
        if Engine.IVF in facts.engines:
            yield from self._lists()

    def _share(self) -> float:
        # Near the query more may pass than elsewhere; what lies behind that is not known.
        local = self.facts.local_share
        return self.facts.share if local is None else min(self.facts.share, local)

    def _near_share(self) -> float:
        """Returns the share of what is near the query that passes, as far as it is known."""
        local = self.facts.local_share
        return self.facts.share if local is None else local

    def _walks(self) -> Iterator[Plan]:
        facts, limit, wanted = self.facts, self.limit, self.recall_target
        plain = recall.ef_for(wanted, limit, facts.spans, effort=facts.effort)
        if not facts.is_filtered:
            if plain is not None:
                yield self._walk(Strategy.NONE, plain, plain, recall.candidates_of(limit))
            return
        share = self._share()
        ef = recall.ef_for(wanted, limit, facts.spans, share, effort=facts.effort)
        if plain is not None and ef is not None:
            candidates = recall.filtered_candidates_of(limit)
            widening = recall.widening_of(candidates, facts.share)
            given = max(plain, ef - widening)
            selected = self._walk(Strategy.SELECTOR, given, given + widening, candidates)
            yield self._probed(selected, cost.selector_us(self.model, facts.spans))
        # Nothing is lost by what is dropped afterwards, if enough is left: the walk must find
        # so many as there are down to the last that passes.
        near = self._near_share()
        fetched = recall.fetch_for(limit, near)
        hits = math.ceil(limit / near)
        post = recall.ef_for(wanted, hits, facts.spans, effort=facts.effort)
        if post is not None and fetched <= recall.MAX_EF:
            ef = max(post, fetched)
            checking_us = cost.check_us(self.model, fetched)
            yield self._probed(self._walk(Strategy.POST, ef, ef, fetched), checking_us)

    def _lists(self) -> Iterator[Plan]:
        facts, limit, wanted = self.facts, self.limit, self.recall_target
        plain = recall.probes_for(wanted, limit, effort=facts.effort)
        # All lists are a scan of worse codes.
        if plain is None or (facts.effort > 1.0 and plain >= cost.lists_of(facts.spans)):
            return
        candidates = recall.list_candidates_of(limit)
        if not facts.is_filtered:
            yield self._list(Strategy.NONE, plain, plain, candidates)
            return
        share = self._share()
        probes = recall.probes_for(wanted, limit, share, effort=facts.effort) or plain
        given = max(plain, recall.narrowed(probes, facts.share))
        looked = recall.widened(given, facts.share)
        selected = self._list(Strategy.SELECTOR, given, looked, candidates)
        yield self._probed(selected, cost.selector_us(self.model, facts.spans))
        near = self._near_share()
        fetched = recall.fetch_for(candidates, near)
        post = recall.probes_for(wanted, math.ceil(limit / near), effort=facts.effort) or plain
        if fetched <= recall.MAX_EF:
            checking_us = cost.check_us(self.model, fetched)
            yield self._probed(self._list(Strategy.POST, post, post, fetched), checking_us)

    def _walk(self, strategy: Strategy, ef_search: int, walked: int, candidates: int) -> Plan:
        spans, dimension = self.facts.spans, self.facts.dimension
        cost_us = cost.graph_us(self.model, spans, walked, dimension)
        return Plan(
            engine=Engine.HNSW,
            strategy=strategy,
            ef_search=ef_search,
            candidates=candidates,
            cost_us=cost_us + cost.rescore_us(self.model, candidates),
        )

    def _list(self, strategy: Strategy, n_probe: int, looked: int, candidates: int) -> Plan:
        n_probe = min(n_probe, cost.lists_of(self.facts.spans))
        cost_us = cost.lists_us(self.model, self.facts.spans, looked)
        return Plan(
            engine=Engine.IVF,
            strategy=strategy,
            n_probe=n_probe,
            candidates=candidates,
            cost_us=cost_us + cost.rescore_us(self.model, candidates),
        )

    def _probed(self, plan: Plan, filtering_us: float) -> Plan:
        """Returns the plan with what filtering adds, and with its probe if none was made."""
        cost_us = plan.cost_us + filtering_us
        if self.facts.local_share is not None:
            return replace(plan, cost_us=cost_us)
        if plan.strategy is Strategy.POST:  # the search itself
            probe = Probe(
                hits=plan.candidates,
                ef_search=plan.ef_search,
                n_probe=plan.n_probe,
                is_search=True,
            )
            return replace(plan, cost_us=cost_us, probe=probe)
        probe, probing_us = self._probe(plan)
        return replace(plan, cost_us=cost_us + probing_us, probe=probe)

    def _probe(self, plan: Plan) -> tuple[Probe, float]:
        spans, dimension = self.facts.spans, self.facts.dimension
        if plan.engine is Engine.HNSW:
            # The walk itself may need no longer list than this.
            enough = plan.ef_search <= PROBE_HITS
            probe = Probe(hits=PROBE_HITS, ef_search=PROBE_HITS, is_search=enough)
            return probe, cost.graph_us(self.model, spans, PROBE_HITS, dimension)
        enough = plan.n_probe <= _PROBE_LISTS
        probe = Probe(hits=PROBE_HITS, n_probe=_PROBE_LISTS, is_search=enough)
        return probe, cost.lists_us(self.model, spans, _PROBE_LISTS)


def _steps(facts: Facts) -> tuple[Step, ...]:
    spans = max(1, facts.spans)
    ordered = sorted(facts.conditions, key=lambda condition: condition[1])
    return tuple(
        Step(condition=name, matches=count, share=min(1.0, count / spans))
        for name, count in ordered
    )
