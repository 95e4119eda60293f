"""Finding the nearest spans of a snapshot by a plan.

The filter is exact whatever the plan says; a plan that cannot be carried out (its graph
is not built) gives way to a scan, which is always right. A graph search under a filter
is probed first: where the filter selects another region of the space than the query
points to, a graph loses most of the true neighbours whatever its candidate list.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from arenalab.search.filters import Filter, passing_rows
from arenalab.search.index import (
    DEFAULT_EF_SEARCH,
    Engine,
    FloatArray,
    IntArray,
    Nearest,
    VectorIndex,
    rescore,
)
from arenalab.search.segment import Segment
from arenalab.search.snapshot import Snapshot

# Candidates below which scanning them costs less than a filtered graph search, per
# square root of the segment's size. Measured at 100,000 and 1,000,000 vectors.
SCAN_PER_ROOT: Final = 28
# The share of a probe's hits that must pass for the graph to be trusted.
_LOCAL_SHARE: Final = 0.05
_PROBE_HITS: Final = 64


class Strategy(StrEnum):
    """How a filter and a graph work together."""

    NONE = "none"
    SCAN = "scan"
    SELECTOR = "selector"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How to search; None leaves a choice to the search."""

    engine: Engine | None = None
    strategy: Strategy | None = None
    ef_search: int = 0  # 0: DEFAULT_EF_SEARCH
    candidates: int = 0  # 0: the limit
    order: tuple[str, ...] = ()  # fields of Filter


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Found:
    """The nearest spans: similarity descending, ties by span id."""

    span_ids: list[bytes]
    rowids: list[int]
    similarities: list[float]
    vectors: FloatArray  # shape (k, d)
    engine: Engine
    exact: bool
    matches: int  # spans that pass the filter

    def similarities_to(self, query: FloatArray) -> list[float]:
        """Returns the similarity of another vector to each hit."""
        scores: list[float] = rescore(self.vectors, np.arange(len(self.vectors)), query).tolist()
        return scores


def retrieve(
    snapshot: Snapshot, query: FloatArray, limit: int, wanted: Filter, plan: Plan
) -> Found:
    """Returns the `limit` spans nearest to the query among those that pass the filter."""
    parts = []
    engine, matches = Engine.EXACT, 0
    for segment in snapshot.segments:
        rows = passing_rows(segment.columns, wanted, plan.order)
        count = len(segment) if rows is None else len(rows)
        matches += count
        if not count:
            continue
        graph = _usable_graph(segment, rows, query, plan)
        if graph is None:
            parts.append((segment, segment.exact.scan(query, limit, rows)))
        else:
            engine = graph.engine
            parts.append((segment, _walk(graph, query, limit, rows, plan)))
    return _merged(parts, limit, query, engine, matches)


def _usable_graph(
    segment: Segment, rows: IntArray | None, query: FloatArray, plan: Plan
) -> VectorIndex | None:
    graph = segment.graph
    if graph is None or plan.engine is Engine.EXACT or plan.strategy is Strategy.SCAN:
        return None
    if rows is None:
        return graph
    if plan.strategy is not Strategy.SELECTOR and len(rows) < SCAN_PER_ROOT * math.sqrt(
        len(segment)
    ):
        return None
    hits = graph.search(query, min(_PROBE_HITS, len(segment))).rows
    return graph if np.isin(hits, rows).mean() >= _LOCAL_SHARE else None


def _walk(
    graph: VectorIndex, query: FloatArray, limit: int, rows: IntArray | None, plan: Plan
) -> Nearest:
    allowed = None
    if rows is not None:
        allowed = np.zeros(graph.size, bool)
        allowed[rows] = True
    return graph.search(
        query,
        limit,
        allowed=allowed,
        ef_search=plan.ef_search or DEFAULT_EF_SEARCH,
        candidates=plan.candidates,
    )


def _merged(
    parts: Sequence[tuple[Segment, Nearest]],
    limit: int,
    query: FloatArray,
    engine: Engine,
    matches: int,
) -> Found:
    if not parts:
        empty = np.empty((0, len(query)), np.float32)
        return Found(
            span_ids=[], rowids=[], similarities=[], vectors=empty,
            engine=engine, exact=True, matches=0,
        )  # fmt: skip
    ids = np.concatenate([segment.columns.ids[near.rows] for segment, near in parts])
    rowids = np.concatenate([segment.columns.rowids[near.rows] for segment, near in parts])
    scores = np.concatenate([near.similarities for _, near in parts])
    vectors = np.concatenate([segment.vectors[near.rows] for segment, near in parts])
    order = np.lexsort((ids, -scores))[:limit]
    return Found(
        span_ids=ids[order].tolist(),
        rowids=rowids[order].tolist(),
        similarities=scores[order].tolist(),
        vectors=vectors[order],
        engine=engine,
        exact=engine is Engine.EXACT,
        matches=matches,
    )
