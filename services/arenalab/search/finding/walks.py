"""Walks back from spans, remembered until their collection changes.

A walk depends on the state of the collection and on where it begins. Both are in its key, the
state as the revision, which no other collection or tenant has; what is kept are the numbers of
rows, which are never used again. So nothing that is remembered can go stale, and a walk that was
taken costs a look instead of one into the indexes for each of its steps.
"""

import struct
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from arenalab.api.common.v1 import span_pb2
from arenalab.caching import LayerStatistics, MemoryLayer
from arenalab.search.collection.snapshot import Snapshot
from arenalab.search.finding.trajectory import walk_back
from arenalab.search.store.payloads import Payloads

_PLACE: Final = struct.Struct("<qB")
_ROWS: Final = "q"


class Walks:
    """Walks back through `previous_spans`. May be called on any thread."""

    def __init__(
        self,
        payloads: Payloads,
        memory: MemoryLayer,
        statistics: LayerStatistics,
        *,
        ttl_s: float,
        revision: Callable[[Snapshot], bytes],
    ) -> None:
        """Keeps its arguments.

        Args:
            payloads: Reads spans.
            memory: Remembers walks.
            statistics: Counts what is found there.
            ttl_s: How long a walk is remembered.
            revision: Names the state of a collection, and never another one.
        """
        self._payloads = payloads
        self._memory = memory
        self._statistics = statistics
        self._ttl_s = ttl_s
        self._revision = revision

    def back(
        self,
        snapshot: Snapshot,
        rowids: Sequence[int],
        spans: Sequence[span_pb2.Span],
        depth: int,
    ) -> list[list[span_pb2.Span]]:
        """Returns the spans before each span, nearest first, at most `depth`.

        Raises:
            GoneError: A row was removed since the snapshot was made.
        """
        trajectories: list[list[span_pb2.Span]] = [[] for _ in spans]
        walking = [n for n, span in enumerate(spans) if span.context.previous_spans]
        if not depth or not walking:
            return trajectories
        token = self._revision(snapshot)
        keys = {n: token + _PLACE.pack(rowids[n], depth) for n in walking}
        looks = {n: self._memory.get(keys[n]) for n in walking}
        known = {n: packed for n, packed in looks.items() if packed is not None}
        self._statistics.looked(hits=len(known), misses=len(walking) - len(known))
        missing = [n for n in walking if n not in known]
        if missing:
            walked = self._walked(snapshot, [spans[n] for n in missing], depth)
            for n, numbers in zip(missing, walked, strict=True):
                known[n] = array(_ROWS, numbers).tobytes()
                self._memory.put(keys[n], known[n], self._ttl_s)
        passed = {n: array(_ROWS, packed) for n, packed in known.items()}
        read = self._payloads.read({row for rows in passed.values() for row in rows})
        for n, rows in passed.items():
            trajectories[n] = [read[row] for row in rows]
        return trajectories

    def _walked(
        self, snapshot: Snapshot, spans: Sequence[span_pb2.Span], depth: int
    ) -> list[list[int]]:
        """Returns the numbers of the rows that each walk passes."""
        row_of: dict[str, int] = {}

        def lookup(ids: Sequence[str]) -> Mapping[str, span_pb2.Span]:
            places = [place for place in snapshot.places(ids) if place is not None]
            rowids = [snapshot.rowid(place) for place in places if not snapshot.is_hidden(place)]
            found = self._payloads.read(rowids)
            row_of.update({span.id: rowid for rowid, span in found.items()})
            return {span.id: span for span in found.values()}

        return [[row_of[one.id] for one in walk] for walk in walk_back(spans, depth, lookup)]
