"""Finding the nearest spans of a snapshot, segment by segment, by a plan.

The filter is exact whatever the plan says. A plan that cannot be carried out (its index
is not built) gives way to a scan, which is always right. An index is asked under a
filter only after a probe: where the filter selects another region of the space than the
query points to, an approximate engine loses most of the true neighbours, however hard
it looks.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from arenalab.planning import Engine, Plan, Probe, Strategy
from arenalab.search.collection.segment import Segment
from arenalab.search.collection.snapshot import Snapshot
from arenalab.search.columns.ids import ID_TYPE, IdArray
from arenalab.search.condition import EVERYTHING
from arenalab.search.finding.choosing import Chooser
from arenalab.search.finding.query import Query
from arenalab.search.index.protocol import (
    MAX_CANDIDATES,
    Effort,
    FloatArray,
    Nearest,
    ScoreArray,
    rescore,
)
from arenalab.search.index.selection import BoolArray, IntArray, Selection
from arenalab.search.ranking import Ranking


@dataclass(frozen=True, slots=True)
class Part:
    """What one segment gave."""

    number: int  # of the segment
    segment: Segment
    selection: Selection | None  # None: all rows
    plan: Plan
    near: Nearest
    took_us: float

    @property
    def exact(self) -> bool:
        """Whether the rows are the true nearest by construction."""
        return self.plan.engine is Engine.EXACT or self.plan.engine is not self.segment.index.engine


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Found:
    """Hits, best first; all arrays have shape (k,)."""

    snapshot: Snapshot
    segments: IntArray  # number of each hit's segment
    rows: IntArray  # row of each hit in it
    similarities: ScoreArray
    scores: ScoreArray
    lexical_scores: ScoreArray
    parts: tuple[Part, ...]  # of the segments that hold a match, in the snapshot's order
    matches: int  # spans that pass the filter
    fetched: int  # hits asked of each segment
    ranking: Ranking | None = None  # that was done

    @property
    def ids(self) -> IdArray:
        """The span ids."""
        if len(self.parts) == 1:
            return self.parts[0].segment.columns.ids[self.rows]
        ids = np.empty(len(self.rows), ID_TYPE)
        for part in self.parts:
            here = self.segments == part.number
            ids[here] = part.segment.columns.ids[self.rows[here]]
        return ids

    @property
    def rowids(self) -> list[int]:
        """The store's rows."""
        return self._of_columns("rowids")

    @property
    def weights(self) -> list[float]:
        """How much each hit counts."""
        return self._of_columns("weights")

    @property
    def online(self) -> list[bool]:
        """Whether each hit was added or replaced since the version was published."""
        return self._of_columns("online")

    def _of_columns(self, name: str) -> list[Any]:
        """Returns what a column holds for each hit."""
        segments = self.snapshot.segments
        if len(self.parts) == 1:
            taken: list[Any] = getattr(self.parts[0].segment.columns, name)[self.rows].tolist()
            return taken
        columns = [getattr(segment.columns, name) for segment in segments]
        return [
            columns[number][row].item()
            for number, row in zip(self.segments.tolist(), self.rows.tolist(), strict=True)
        ]

    @property
    def main(self) -> Part | None:
        """The part that decides engine, plan and certificate: an approximate one, if any."""
        return next((part for part in self.parts if not part.exact), None) or next(
            iter(self.parts), None
        )

    def vectors(self) -> FloatArray:
        """Returns the vectors of the hits, shape (k, d)."""
        return vectors_at(self.snapshot, self.segments, self.rows)

    def similarities_to(self, query: FloatArray) -> list[float]:
        """Returns the similarity of another vector to each hit."""
        scores: list[float] = rescore(self.vectors(), np.arange(len(self.rows)), query).tolist()
        return scores


# Of a search that holds up nobody: it takes less time than to wake another thread and
# to hand the interpreter's lock over and back, some 0.2 ms on two cores.
QUICK_ROWS: Final = 20_000
QUICK_HITS: Final = 100


def is_quick(snapshot: Snapshot, query: Query) -> bool:
    """Returns whether a search is short enough to be done where it arrives.

    Those are searches in memory of few rows: all of a small segment, a walk through a graph
    that need not be searched hard, or what passes a filter whose rows are known (its first
    use reads columns).
    """
    if query.ranking is not None or query.plan is not None or query.limit > QUICK_HITS:
        return False
    rows = 0
    for segment in snapshot.segments:
        compared = _rows_compared(segment, query)
        if compared is None:
            return False
        rows += compared
    return query.recall_target <= _QUICK_RECALL and rows <= QUICK_ROWS


def _rows_compared(segment: Segment, query: Query) -> int | None:
    """Returns how many rows of a scan take as long as a search; None where it is not known."""
    if segment.index.engine not in _IN_MEMORY:
        return None
    if query.wanted == EVERYTHING and not segment.gone:
        return len(segment) if segment.is_scanned else _rows_of_a_walk(segment)
    if not segment.knows(query.wanted):
        return None
    selection = segment.select(query.wanted)
    if selection is not None:
        return _ROWS_OF_A_CHOSEN * selection.count
    return len(segment) if segment.is_scanned else _rows_of_a_walk(segment)


def _rows_of_a_walk(segment: Segment) -> int:
    return int(_ROWS_OF_A_WALK * segment.tuning.effort)


_IN_MEMORY: Final = frozenset({Engine.EXACT, Engine.HNSW})
_ROWS_OF_A_WALK: Final = 10_000
_NS_PER_US: Final = 1e3
_ROWS_OF_A_CHOSEN: Final = 2  # they lie apart
_QUICK_RECALL: Final = 0.99


class Retrieval:
    """Carries out searches over snapshots. Safe to use from several threads."""

    def __init__(self, chooser: Chooser) -> None:
        self._chooser = chooser

    def nearest(self, snapshot: Snapshot, vector: FloatArray, query: Query, fetch: int) -> Found:
        """Returns the `fetch` nearest spans among those that pass the query's filter."""
        parts = []
        matches = 0
        for number, segment in enumerate(snapshot.segments):
            selection = self._selection(segment, query)
            count = len(segment) if selection is None else selection.count
            if not count:
                continue
            matches += count
            parts.append(self._search(number, segment, selection, vector, query, fetch))
        return merged(snapshot, parts, matches, fetch)

    def batch(
        self, snapshot: Snapshot, vectors: FloatArray, query: Query, fetch: int
    ) -> list[Found]:
        """Returns what `nearest` returns for each vector; the filter is evaluated once."""
        by_query: list[list[Part]] = [[] for _ in vectors]
        matches = 0
        for number, segment in enumerate(snapshot.segments):
            selection = self._selection(segment, query)
            count = len(segment) if selection is None else selection.count
            if not count:
                continue
            matches += count
            if selection is not None and not segment.is_scanned:
                # Whether a filter agrees with a query is a matter of that query.
                found = [
                    self._search(number, segment, selection, vector, query, fetch)
                    for vector in vectors
                ]
            else:
                found = self._search_all(number, segment, selection, vectors, query, fetch)
            for parts, part in zip(by_query, found, strict=True):
                parts.append(part)
        return [merged(snapshot, parts, matches, fetch) for parts in by_query]

    def _selection(self, segment: Segment, query: Query) -> Selection | None:
        if query.wanted == EVERYTHING and not segment.gone:
            return None
        order = () if query.plan is None else tuple(step.condition for step in query.plan.steps)
        return segment.select(query.wanted, order)

    def _search(
        self,
        number: int,
        segment: Segment,
        selection: Selection | None,
        vector: FloatArray,
        query: Query,
        fetch: int,
    ) -> Part:
        began_ns = time.perf_counter_ns()
        plan = self._chooser.choose(segment, selection, query, fetch)
        carried_ns, near = began_ns, None
        if selection is not None and plan.probe is not None:
            hits, passing = _probed(plan.probe, segment, selection, vector)
            count = int(passing.sum())
            if plan.probe.is_answered(count, min(fetch, selection.count)):
                near = _passing(hits, passing, fetch)
                self._chooser.probed(segment, selection, query, passing=count, hits=len(passing))
            else:
                plan = self._chooser.again(
                    segment, selection, query, fetch, passing=count, hits=len(passing)
                )
                carried_ns = time.perf_counter_ns()
        if near is None:
            near = _carry_out(plan, segment, selection, vector, fetch)
        ended_ns = time.perf_counter_ns()
        if not segment.is_scanned:
            took_us = (ended_ns - carried_ns) / _NS_PER_US
            self._chooser.observe(segment, selection, query, fetch, plan, took_us)
            if selection is not None and carried_ns == began_ns:
                self._learn(segment, selection, vector, query, plan, fetch)
        return Part(number, segment, selection, plan, near, (ended_ns - began_ns) / _NS_PER_US)

    def _learn(
        self,
        segment: Segment,
        selection: Selection,
        vector: FloatArray,
        query: Query,
        plan: Plan,
        fetch: int,
    ) -> None:
        """Asks the index, after some of the scans, whether it would have served."""
        probe = self._chooser.wants_probe(segment, selection, query, plan, fetch)
        if probe is not None:
            _, passing = _probed(probe, segment, selection, vector)
            self._chooser.probed(
                segment, selection, query, passing=int(passing.sum()), hits=len(passing)
            )

    def _search_all(
        self,
        number: int,
        segment: Segment,
        selection: Selection | None,
        vectors: FloatArray,
        query: Query,
        fetch: int,
    ) -> list[Part]:
        began_ns = time.perf_counter_ns()
        plan = self._chooser.choose(segment, selection, query, fetch)
        if plan.engine is Engine.EXACT and not segment.is_scanned:
            near = [_carry_out(plan, segment, selection, vector, fetch) for vector in vectors]
        else:
            near = segment.index.search_batch(
                vectors, fetch, allowed=selection, effort=_effort(plan)
            )
        each_us = (time.perf_counter_ns() - began_ns) / 1e3 / len(vectors)
        return [Part(number, segment, selection, plan, one, each_us) for one in near]


def vectors_at(snapshot: Snapshot, segments: IntArray, rows: IntArray) -> FloatArray:
    """Returns the vectors of rows of several segments, in the order given."""
    found = np.empty((len(rows), snapshot.record.dimension), np.float32)
    for number in np.unique(segments).tolist():
        here = segments == number
        found[here] = snapshot.segments[number].index.vectors(rows[here])
    return found


def _probed(
    probe: Probe, segment: Segment, selection: Selection, vector: FloatArray
) -> tuple[Nearest, BoolArray]:
    """Returns the nearest rows, whatever they are, and which of them pass."""
    effort = Effort(probe.ef_search, probe.n_probe, probe.hits)
    hits = segment.index.search(vector, min(probe.hits, len(segment)), effort=effort)
    return hits, _which_pass(hits, selection)


def _which_pass(hits: Nearest, selection: Selection) -> BoolArray:
    bitmap = selection.bitmap
    return np.fromiter((row in bitmap for row in hits.rows.tolist()), np.bool_, len(hits.rows))


def _passing(hits: Nearest, passing: BoolArray, fetch: int) -> Nearest:
    return Nearest(hits.rows[passing][:fetch], hits.similarities[passing][:fetch])


def _carry_out(
    plan: Plan,
    segment: Segment,
    selection: Selection | None,
    vector: FloatArray,
    fetch: int,
) -> Nearest:
    index = segment.index
    if plan.engine is Engine.EXACT or plan.engine is not index.engine:
        return index.scan(vector, fetch, None if selection is None else selection.rows)
    if selection is None or plan.strategy is not Strategy.POST:
        return index.search(vector, fetch, allowed=selection, effort=_effort(plan))
    wanted = min(index.size, max(fetch, plan.candidates))
    hits = index.search(vector, wanted, effort=_effort(plan))
    passing = _which_pass(hits, selection)
    if int(passing.sum()) >= min(fetch, selection.count):
        return _passing(hits, passing, fetch)
    return index.scan(vector, fetch, selection.rows)


def _effort(plan: Plan) -> Effort:
    return Effort(plan.ef_search, plan.n_probe, min(plan.candidates, MAX_CANDIDATES))


def merged(snapshot: Snapshot, parts: Sequence[Part], matches: int, fetch: int) -> Found:
    """Returns the hits of all parts by similarity, ties by span id."""
    if not parts:
        numbers = rows = np.empty(0, np.int64)
        similarities = np.empty(0, np.float64)
    elif len(parts) == 1:  # by row is by span id already
        (part,) = parts
        rows, similarities = part.near
        numbers = np.full(len(rows), part.number, np.int64)
    else:
        numbers = np.concatenate([np.full(len(p.near.rows), p.number, np.int64) for p in parts])
        rows = np.concatenate([part.near.rows for part in parts])
        similarities = np.concatenate([part.near.similarities for part in parts])
        ids = np.concatenate([part.segment.columns.ids[part.near.rows] for part in parts])
        order = np.lexsort((ids, -similarities))[:fetch]
        numbers, rows, similarities = numbers[order], rows[order], similarities[order]
    return Found(
        snapshot=snapshot,
        segments=numbers,
        rows=rows,
        similarities=similarities,
        scores=similarities,
        lexical_scores=np.zeros(len(rows)),
        parts=tuple(parts),
        matches=matches,
        fetched=fetch,
    )
