"""The hits of one version, read: what is kept of each span, and which row its vector is in.

Fifty hits a question, and the same ones for similar questions. What a version holds never changes:
its spans are read once, and known by their ids from then on.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.predictor.neighbourhood import Memory
from arenalab.predictor.wire import memory_of, opening_of

# Spans of a version that are kept as they were read, about a kilobyte each.
KEPT_SPANS: Final = 8_192

_Ids = npt.NDArray[np.bytes_]


class SpanRows:
    """Which row of the embeddings belongs to which span, in 24 bytes a span."""

    def __init__(self, span_ids: Iterable[str]) -> None:
        ids = np.array([_packed(span_id) for span_id in span_ids], dtype="S16")
        self._order = np.argsort(ids, kind="stable")
        self._ids: _Ids = ids[self._order]

    def row(self, span_id: str) -> int:
        """Returns the row of a span, -1 for one that is not there."""
        wanted = _packed(span_id)
        at = bisect_left(self._ids, wanted)
        return int(self._order[at]) if at < len(self._ids) and self._ids[at] == wanted else -1


class ReadHits(NamedTuple):
    """The hits whose spans have an outcome, in the order of search."""

    hits: list[search_pb.Hit]
    memories: list[Memory]
    rows: npt.NDArray[np.intp]  # of the version's embeddings; -1: the vector is not there


class HitReader:
    """Reads the hits of one version, and remembers its spans."""

    def __init__(self, rows: SpanRows, kept_spans: int = KEPT_SPANS) -> None:
        self._rows = rows
        self._kept_spans = kept_spans
        self._kept: dict[str, tuple[Memory | None, int]] = {}

    def read(self, hits: Iterable[search_pb.Hit]) -> ReadHits:
        """Returns what the predictor keeps of the hits of a search of this version."""
        kept: list[search_pb.Hit] = []
        memories: list[Memory] = []
        rows: list[int] = []
        for hit in hits:
            if hit.online:  # its id may be in the version, with another question
                memory, row = memory_of(hit), -1
            else:
                span_id = hit.span.id
                memory, row = self._kept.get(span_id) or self._fresh(span_id, hit)
                # Only a span that names earlier ones has a trajectory: without, it is a fragment.
                if memory is not None and memory.is_fragment and hit.trajectory:
                    memory = memory_of(hit)
            if memory is not None:
                kept.append(hit)
                memories.append(memory)
                rows.append(row)
        return ReadHits(kept, memories, np.array(rows, dtype=np.intp))

    def _fresh(self, span_id: str, hit: search_pb.Hit) -> tuple[Memory | None, int]:
        if len(self._kept) >= self._kept_spans:
            del self._kept[next(iter(self._kept))]  # the one read first
        known = self._kept[span_id] = opening_of(hit.span), self._rows.row(span_id)
        return known


def _packed(span_id: str) -> bytes:
    # Without zero bytes at the end, which what is read from an S16 array lacks too.
    return bytes.fromhex(span_id.replace("-", "")).rstrip(b"\0")
