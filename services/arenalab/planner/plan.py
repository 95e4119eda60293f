"""Choosing a plan: every way that can be carried out, costed; the cheapest wins.

An exact scan always reaches the recall that is wanted. A graph reaches it by the size
of its candidate list, which grows without bound towards a recall of 1, so that a
perfect recall leaves the scan alone.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from arenalab.planner.cost import (
    SCAN_ALL_US,
    SCAN_ONE_US,
    filter_us,
    filtered_graph_us,
    graph_us,
    rescore_us,
    scan_us,
)
from arenalab.planner.facts import Engine, Facts, Strategy, Wanted
from arenalab.planner.selectivity import passing_share, selectivities

MAX_CANDIDATES: Final = 4096
# ef 64 gave a recall@10 of .98 and 128 of .99 on real text: misses fall as 1/ef.
_EF_PER_MISS: Final = 1.28
_MIN_EF: Final = 16
# Hits fetched for each one wanted: bfloat16 codes confuse near duplicates, and
# re-scoring twice the number puts them right.
_OVERFETCH: Final = 2


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One way to carry out a search."""

    engine: Engine
    strategy: Strategy
    ef_search: int  # 0 for a scan
    candidates: int
    steps: tuple[tuple[str, float], ...]  # condition, share that passes; in order
    expected_matches: int
    cost_us: float
    explanation: str = ""


def plan(
    facts: Facts, wanted: Wanted, *, limit: int, recall_target: float
) -> tuple[Plan, list[Plan]]:
    """Returns the cheapest plan, and the others by ascending cost.

    Args:
        facts: Counts of the collection.
        wanted: The filter.
        limit: Hits wanted, in [1, 1000].
        recall_target: Share of the true nearest wanted, in (0, 1].
    """
    # Stable: a scan that costs the same as a graph comes first, and is exact.
    ways = sorted(_ways(facts, wanted, limit, recall_target), key=lambda way: way.cost_us)
    explained = [
        _with_explanation(way, facts, ways[0] if way is not ways[0] else None, ways[1:])
        for way in ways
    ]
    return explained[0], explained[1:]


def ef_for(recall_target: float) -> int | None:
    """Returns the candidate list that reaches a recall; None if no list surely does."""
    if recall_target >= 1.0:
        return None
    ef = math.ceil(_EF_PER_MISS / (1.0 - recall_target) - 1e-9)
    return max(_MIN_EF, ef) if ef <= MAX_CANDIDATES else None


def _ways(facts: Facts, wanted: Wanted, limit: int, recall_target: float) -> Iterator[Plan]:
    shares = selectivities(facts, wanted)
    share = passing_share(facts, wanted)
    matches = facts.spans * share
    steps = tuple(shares.items())
    filtering_us = filter_us(facts.spans, shares.values())
    yield Plan(
        engine=Engine.EXACT,
        strategy=Strategy.SCAN if steps else Strategy.NONE,
        ef_search=0,
        candidates=limit,
        steps=steps,
        expected_matches=round(matches),
        cost_us=filtering_us + scan_us(facts.spans, matches),
    )
    ef = ef_for(recall_target)
    if Engine.HNSW not in facts.engines or ef is None:
        return
    candidates = min(MAX_CANDIDATES, _OVERFETCH * limit)
    ef = max(ef, candidates)
    walking_us = filtered_graph_us(facts.spans, ef, share) if steps else graph_us(facts.spans, ef)
    yield Plan(
        engine=Engine.HNSW,
        strategy=Strategy.SELECTOR if steps else Strategy.NONE,
        ef_search=ef,
        candidates=candidates,
        steps=steps,
        expected_matches=round(matches),
        cost_us=filtering_us + walking_us + rescore_us(candidates),
    )


def _with_explanation(way: Plan, facts: Facts, winner: Plan | None, others: list[Plan]) -> Plan:
    sentences = [f"{_what(way, facts)}: {way.cost_us:,.0f} µs."]
    if winner is not None:
        sentences.append(f"{_name(winner)} costs {winner.cost_us:,.0f} µs.")
    elif others:
        next_best = ", ".join(f"{_name(other)} {other.cost_us:,.0f} µs" for other in others)
        sentences.append(f"Instead of {next_best}.")
    else:
        sentences.append("No other engine that is built reaches the recall.")
    values = dict(vars(way))
    return Plan(**{**values, "explanation": " ".join(sentences)})


def _what(way: Plan, facts: Facts) -> str:
    passing = ""
    if way.steps:
        order = ", ".join(f"{name} {share:.2%}" for name, share in way.steps)
        passing = (
            f" about {way.expected_matches:,} of {facts.spans:,} spans pass ({order},"
            " taken as independent);"
        )
    if way.engine is Engine.EXACT:
        count = way.expected_matches if way.steps else facts.spans
        each = SCAN_ONE_US if way.steps else SCAN_ALL_US
        return f"Exact scan:{passing} {count:,} spans at {each * 1000:.0f} ns"
    return (
        f"HNSW graph over {facts.spans:,} spans:{passing} ef {way.ef_search},"
        f" {way.candidates} candidates re-scored"
    )


def _name(way: Plan) -> str:
    return f"{way.engine.value}/{way.strategy.value}"
