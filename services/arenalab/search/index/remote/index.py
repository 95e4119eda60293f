"""A segment on a server as a VectorIndex.

Which rows may be returned is known here, exactly, and not on the server, where rows that
were removed since are still there. So a few allowed rows are named to it; else it gets
the condition that they pass, and is asked for more than is wanted. What comes back is
checked, and where too little is left more is asked for, at last all that is allowed.
"""

from math import ceil
from pathlib import Path
from typing import Final

import numpy as np

from arenalab.planning import Engine
from arenalab.search.condition import Filter
from arenalab.search.index.protocol import (
    DEFAULT_EF_SEARCH,
    MAX_CANDIDATES,
    Effort,
    FloatArray,
    Nearest,
    check_search,
    nearest_of,
)
from arenalab.search.index.remote.naming import Marker, SegmentName
from arenalab.search.index.remote.protocol import Candidates, RemoteSegment
from arenalab.search.index.searching import Searching
from arenalab.search.index.selection import IntArray, Selection

# Rows fetched with their vectors, 1.5 kB each: what costs more than it can save.
_MAX_FETCHED: Final = 1000
# Re-scored besides the limit: a graph over codes confuses what is nearly the same.
_MORE_CANDIDATES: Final = 16
# Fetched beyond what is wanted, for rows that were removed here but not on the server.
_SPARE_SHARE: Final = 0.25
_SPARE_ROWS: Final = 8
_WIDER: Final = 4
# Rows that pass, for each wanted, that a graph's list is long enough for besides itself.
_FILTERED_EF: Final = 2


class RemoteIndex(Searching):
    """Searches one segment of a server."""

    def __init__(self, segment: RemoteSegment) -> None:
        self._segment = segment

    @property
    def engine(self) -> Engine:
        return self._segment.engine

    @property
    def library(self) -> str:
        return self._segment.library

    @property
    def name(self) -> SegmentName:
        """What the server was asked to keep it as."""
        return self._segment.name

    @property
    def size(self) -> int:
        return self._segment.size

    @property
    def dimension(self) -> int:
        return self._segment.dimension

    @property
    def memory_bytes(self) -> int:
        return 0  # all of it is the server's

    def scan(self, query: FloatArray, limit: int, rows: IntArray | None) -> Nearest:
        check_search(self, query, limit, None)
        if not self.size or (rows is not None and not len(rows)):
            return _nothing()
        return self._segment.exact(query, limit, rows)

    def vectors(self, rows: IntArray) -> FloatArray:
        return self._segment.vectors(rows)

    def save(self, folder: Path) -> None:
        """Writes which segment it is; the server keeps the rest."""
        Marker(self.engine, self.name, self.size, self.dimension).write(folder)

    def _search(
        self, queries: FloatArray, limit: int, allowed: Selection | None, effort: Effort
    ) -> list[Nearest]:
        reachable = self.size if allowed is None else allowed.count
        limit = min(limit, reachable)
        if not limit:
            return [_nothing() for _ in queries]
        candidates = min(effort.candidates or limit + _MORE_CANDIDATES, MAX_CANDIDATES)
        wanted = min(reachable, max(limit, candidates))
        found: dict[int, Nearest] = {}
        if allowed is not None and allowed.count <= self._segment.max_listed:
            listed = self._segment.among(queries, wanted, allowed.rows)
            for number, one in enumerate(listed):
                self._keep(found, number, queries[number], one, limit, allowed)
        else:
            self._walk(found, queries, limit, wanted, allowed, effort.ef_search)
        rows = None if allowed is None else allowed.rows
        return [
            found[number] if number in found else self._segment.exact(query, limit, rows)
            for number, query in enumerate(queries)
        ]

    def _walk(
        self,
        found: dict[int, Nearest],
        queries: FloatArray,
        limit: int,
        wanted: int,
        allowed: Selection | None,
        ef_search: int,
    ) -> None:
        """Asks the graph, for more and more, until it is cheaper to compare everything."""
        condition = None if allowed is None else allowed.condition
        count = self._to_fetch(wanted, allowed, condition)
        most = MAX_CANDIDATES if allowed is None else _MAX_FETCHED
        # A filter thins out a graph's list, and the end of a list is the worst of it.
        longer = 1
        if allowed is not None:
            longer += ceil(_FILTERED_EF * wanted / (allowed.share * count))
        missing = list(range(len(queries)))
        while missing and count <= most:
            near = self._segment.near(
                queries[missing],
                min(count, self.size),
                ef_search=min(MAX_CANDIDATES, max(ef_search or DEFAULT_EF_SEARCH, longer * count)),
                condition=condition,
            )
            missing = [
                number
                for number, candidates in zip(missing, near, strict=True)
                if not self._keep(found, number, queries[number], candidates, limit, allowed)
            ]
            count *= _WIDER

    @staticmethod
    def _to_fetch(wanted: int, allowed: Selection | None, condition: Filter | None) -> int:
        if allowed is None:
            return wanted
        is_pushed = condition is not None and any(True for _ in condition.conditions())
        expected = wanted if is_pushed else wanted / allowed.share
        return ceil(expected * (1 + _SPARE_SHARE)) + _SPARE_ROWS

    def _keep(
        self,
        found: dict[int, Nearest],
        number: int,
        query: FloatArray,
        candidates: Candidates,
        limit: int,
        allowed: Selection | None,
    ) -> bool:
        """Adds an answer that has all rows it must; returns whether no more need be fetched."""
        # In ascending rows, so that those of equal similarity come in that order.
        order = np.argsort(candidates.rows)
        rows = candidates.rows[order]
        places = np.arange(len(rows))
        ranked = nearest_of(candidates.vectors[order], places, query, len(rows))
        kept = ranked if allowed is None else _allowed(ranked, rows, allowed)
        if len(kept.rows) < limit:
            return False
        found[number] = Nearest(rows[kept.rows[:limit]], kept.similarities[:limit])
        # What was not fetched is no nearer than the last that was, give or take the codes.
        last = float(ranked.similarities[-1]) + 2 * self._segment.code_error
        is_all = len(rows) == self.size
        return is_all or self._segment.code_error == 0 or kept.similarities[limit - 1] >= last


def _allowed(ranked: Nearest, rows: IntArray, allowed: Selection) -> Nearest:
    passed = allowed.mask[rows[ranked.rows]]
    return Nearest(ranked.rows[passed], ranked.similarities[passed])


def _nothing() -> Nearest:
    return Nearest(np.empty(0, np.int64), np.empty(0, np.float64))
