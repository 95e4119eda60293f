"""Searches whose hits are ordered by more than the similarity of vectors."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from arenalab.search.index.protocol import FloatArray
from arenalab.search.query import Query
from arenalab.search.ranking import Candidates, Ranking, rank, useful_candidates
from arenalab.search.retrieval import Found, Retrieval, vectors_at
from arenalab.search.snapshot import Snapshot

ReadTexts = Callable[[Sequence[int]], list[str]]


class Ranked:
    """Retrieval, then ranking where a query asks for it."""

    def __init__(
        self, retrieval: Retrieval, read_texts: ReadTexts, now_s: Callable[[], float]
    ) -> None:
        """Keeps its arguments.

        Args:
            retrieval: Finds the candidates.
            read_texts: Returns what spans are about, by the store's rows.
            now_s: Seconds since the epoch.
        """
        self._retrieval = retrieval
        self._read_texts = read_texts
        self._now_s = now_s

    def nearest(
        self, snapshot: Snapshot, vector: FloatArray, query: Query, text: str = ""
    ) -> Found:
        """Returns the best spans for a vector, and for its text where words count."""
        if query.ranking is None:
            return self._retrieval.nearest(snapshot, vector, query, query.limit)
        raise NotImplementedError

    def batch(self, snapshot: Snapshot, vectors: FloatArray, query: Query) -> list[Found]:
        """Returns the spans nearest to each of several vectors."""
        return self._retrieval.batch(snapshot, vectors, query, query.limit)
