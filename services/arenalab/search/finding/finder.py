"""Searches from vector or text to spans, each done in one go on one thread.

Embedding, planning, index and payloads follow each other on the same thread: handing
the work to another between them would cost more than the index does.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from arenalab.api.common.v1 import span_pb2
from arenalab.search.collection.snapshot import Snapshot
from arenalab.search.embedding import Embedding
from arenalab.search.finding.query import Query, TextQuery
from arenalab.search.finding.ranked import Ranked
from arenalab.search.finding.retrieval import Found
from arenalab.search.finding.walks import Walks
from arenalab.search.index.protocol import FloatArray
from arenalab.search.store.payloads import GoneError, Payloads

_T = TypeVar("_T")

# How often a search begins again because its version was replaced and removed meanwhile.
_ATTEMPTS: Final = 200
# How long it waits for a change that is stored to be shown.
_SHOWN_S: Final = 0.005


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Answer:
    """What was found for a text; the lists are in the order of `found`."""

    found: Found
    spans: list[span_pb2.Span]  # shared: not to be changed
    trajectories: list[list[span_pb2.Span]]
    extra_similarities: list[float]
    vector: FloatArray  # of the text
    started_ns: int  # of time.time_ns, as are the two below
    embedded_ns: int
    searched_ns: int


class Finder:
    """Carries out searches."""

    def __init__(
        self, embedding: Embedding, payloads: Payloads, ranked: Ranked, walks: Walks
    ) -> None:
        self._embedding = embedding
        self._walks = walks
        self._payloads = payloads
        self._ranked = ranked

    def nearest(self, snapshot: Snapshot, vector: FloatArray, query: Query) -> Found:
        """Returns the spans nearest to a vector."""
        return self._ranked.nearest(snapshot, vector, query)

    def batch(self, snapshot: Snapshot, vectors: FloatArray, query: Query) -> list[Found]:
        """Returns the spans nearest to each of several vectors."""
        return self._ranked.batch(snapshot, vectors, query)

    async def find(self, query: TextQuery, current: Callable[[], Snapshot]) -> Answer:
        """Returns the answer of a query over the collection as it is when a worker begins.

        Args:
            query: What is looked for.
            current: Returns the collection's snapshot.

        Raises:
            MeshError: EMPTY_TEXT, OVERLOADED, or what `current` raises.
        """
        return await self._embedding.run(
            query.scope, query.text, lambda: self._find(query, current)
        )

    def spans(
        self, ids: Sequence[str], current: Callable[[], Snapshot], *, skip_missing: bool = False
    ) -> list[span_pb2.Span]:
        """Returns the spans of ids.

        Raises:
            KeyError: With the first id that is not there, unless such are left out.
        """

        def read(snapshot: Snapshot) -> list[span_pb2.Span]:
            rowids = snapshot.rowids(ids)
            for span_id, rowid in zip(ids, rowids, strict=True):
                if rowid is None and not skip_missing:
                    raise KeyError(span_id)
            known = [rowid for rowid in rowids if rowid is not None]
            spans = self._payloads.read(known)
            return [spans[rowid] for rowid in known]

        return _retried(read, current)

    def _find(self, query: TextQuery, current: Callable[[], Snapshot]) -> Answer:
        started_ns = time.time_ns()
        vector = self._embedding.vector(query.scope, query.text)
        extra = None
        if query.extra_text:
            extra = self._embedding.vector(query.scope, query.extra_text, "extra_text")
        embedded_ns = time.time_ns()

        def look(snapshot: Snapshot) -> Answer:
            found = self._ranked.nearest(snapshot, vector, query.query, query.text)
            searched_ns = time.time_ns()
            rowids = found.rowids
            payloads = self._payloads.read(rowids)
            spans = [payloads[rowid] for rowid in rowids]
            return Answer(
                found=found,
                spans=spans,
                trajectories=self._walks.back(snapshot, rowids, spans, query.depth),
                extra_similarities=(
                    [0.0] * len(spans) if extra is None else found.similarities_to(extra)
                ),
                vector=vector,
                started_ns=started_ns,
                embedded_ns=embedded_ns,
                searched_ns=searched_ns,
            )

        return _retried(look, current)


def _retried(work: Callable[[Snapshot], _T], current: Callable[[], Snapshot]) -> _T:
    """Returns what work makes of a snapshot whose spans are all there.

    A span that was changed or removed is gone from the store a moment before the snapshot
    without it is shown.
    """
    for _ in range(_ATTEMPTS):
        snapshot = current()
        try:
            return work(snapshot)
        except GoneError:
            if current() is snapshot:
                time.sleep(_SHOWN_S)
    return work(current())
