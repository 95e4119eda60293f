"""hnswlib behind the same protocol: an extra, because its package compiles from source."""

import threading
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final, Self

import numpy as np

from arenalab.search.index.exact import ExactIndex
from arenalab.search.index.hnsw import EF_CONSTRUCTION, LINKS, BuildStoppedError
from arenalab.search.index.protocol import (
    DEFAULT_EF_SEARCH,
    BoolArray,
    Engine,
    FloatArray,
    Nearest,
    check_search,
    check_vectors,
    nearest_of,
)

_CHUNK_ROWS: Final = 1024


def is_installed() -> bool:
    """Returns whether the extra `hnswlib` is there."""
    return find_spec("hnswlib") is not None


class HnswlibIndex:
    """A float32 graph. A filtered search scans: hnswlib's filters call back into Python."""

    engine = Engine.HNSW

    def __init__(self, vectors: FloatArray, graph: Any) -> None:
        self._vectors = vectors
        self._graph = graph
        self._exact = ExactIndex(vectors)
        # `set_ef` is state that all threads share, so it belongs to one search at a time.
        self._lock = threading.Lock()

    @classmethod
    def build(cls, vectors: FloatArray, stopped: Callable[[], bool] = lambda: False) -> Self:
        """Builds on one thread, so that the graph is always the same one.

        Raises:
            ImportError: The extra `hnswlib` is not installed.
            BuildStoppedError: `stopped` returned true.
        """
        import hnswlib

        check_vectors(vectors)
        graph = hnswlib.Index(space="ip", dim=vectors.shape[1])
        graph.init_index(
            max_elements=max(1, len(vectors)),
            ef_construction=EF_CONSTRUCTION,
            M=LINKS,
            random_seed=100,
        )
        graph.set_num_threads(1)
        for start in range(0, len(vectors), _CHUNK_ROWS):
            if stopped():
                raise BuildStoppedError
            chunk = vectors[start : start + _CHUNK_ROWS]
            graph.add_items(chunk, np.arange(start, start + len(chunk)), num_threads=1)
        return cls(vectors, graph)

    @property
    def size(self) -> int:
        return len(self._vectors)

    @property
    def dimension(self) -> int:
        return int(self._vectors.shape[1])

    @property
    def memory_bytes(self) -> int:
        # The graph holds its own copy of the vectors.
        links = 4 * (2 * LINKS + LINKS / (LINKS - 1))
        return 2 * self._vectors.nbytes + int(self.size * links)

    def search(
        self,
        query: FloatArray,
        limit: int,
        *,
        allowed: BoolArray | None = None,
        ef_search: int = DEFAULT_EF_SEARCH,
        candidates: int = 0,
    ) -> Nearest:
        check_search(self, query, limit, allowed)
        wanted = min(self.size, max(limit, candidates))
        if allowed is not None or not wanted:
            return self._exact.search(query, limit, allowed=allowed)
        with self._lock:
            self._graph.set_ef(max(ef_search, wanted))
            try:
                rows, _ = self._graph.knn_query(query[None], k=wanted, num_threads=1)
            except RuntimeError:  # fewer than `wanted` can be reached from the entry
                return self._exact.search(query, limit)
        return nearest_of(self._vectors, rows[0].astype(np.int64), query, limit)
