"""hnswlib behind the same protocol: an extra, because its package compiles from source."""

import errno
import os
import threading
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from arenalab.planning import Engine
from arenalab.search.index.files import IndexFile, IndexFileError, held_bytes
from arenalab.search.index.hnsw import EF_CONSTRUCTION, LINKS
from arenalab.search.index.protocol import (
    DEFAULT_EF_SEARCH,
    BuildStoppedError,
    Effort,
    FloatArray,
    Nearest,
    check_vectors,
    nearest_each,
)
from arenalab.search.index.searching import InMemory
from arenalab.search.index.selection import Selection

# Rows that each thread adds between two looks at `stopped`.
_CHUNK_ROWS: Final = 1024
# Makes a build on one thread the same each time.
_SEED: Final = 100

_FILE: Final = IndexFile(Engine.HNSW, "hnswlib")


def is_installed() -> bool:
    """Returns whether the extra `hnswlib` is there."""
    return find_spec("hnswlib") is not None


class HnswlibIndex(InMemory):
    """A float32 graph. A filtered search scans: hnswlib's filters call back into Python."""

    engine = Engine.HNSW
    library = "hnswlib"

    def __init__(self, vectors: FloatArray, graph: Any) -> None:
        super().__init__(vectors)
        self._graph = graph
        # `set_ef` is state that all threads share, so it belongs to one search at a time.
        self._lock = threading.Lock()

    @classmethod
    def build(
        cls,
        vectors: FloatArray,
        *,
        threads: int = 1,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Self:
        """Builds the graph; arguments and errors as of `HnswIndex.build`.

        Raises:
            ImportError: The extra `hnswlib` is not installed.
        """
        import hnswlib

        vectors = check_vectors(vectors)
        graph = hnswlib.Index(space="ip", dim=vectors.shape[1])
        graph.init_index(
            max_elements=max(1, len(vectors)),
            ef_construction=EF_CONSTRUCTION,
            M=LINKS,
            random_seed=_SEED,
        )
        rows = _CHUNK_ROWS * threads
        for start in range(0, len(vectors), rows):
            if stopped():
                raise BuildStoppedError
            chunk = vectors[start : start + rows]
            graph.add_items(chunk, np.arange(start, start + len(chunk)), num_threads=threads)
        return cls(vectors, graph)

    @classmethod
    def load(cls, folder: Path, vectors: FloatArray) -> Self:
        """Returns the index of a folder that `save` wrote.

        Raises:
            ImportError: The extra `hnswlib` is not installed.
            IndexFileError: The folder is of other vectors, or damaged.
        """
        import hnswlib

        _FILE.read(folder, vectors)
        graph = hnswlib.Index(space="ip", dim=vectors.shape[1])
        try:
            graph.load_index(str(_FILE.content(folder)), max_elements=max(1, len(vectors)))
        except RuntimeError as error:
            raise IndexFileError(f"the graph cannot be read: {error}") from error
        if graph.get_current_count() != len(vectors):
            raise IndexFileError("the file holds another index than it should")
        return cls(np.asarray(vectors), graph)

    @property
    def memory_bytes(self) -> int:
        # The graph holds its own copy of the vectors beside links and labels.
        return held_bytes(self._vectors) + int(self._graph.index_file_size())

    def save(self, folder: Path) -> None:
        _FILE.write(folder, self._vectors, self._write)

    def _write(self, path: str) -> None:
        try:
            self._graph.save_index(path)
        except RuntimeError as error:
            raise OSError(errno.EIO, str(error), path) from error
        # hnswlib does not notice when a write fails half way.
        if Path(path).stat().st_size != self._graph.index_file_size():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def _search(
        self, queries: FloatArray, limit: int, allowed: Selection | None, effort: Effort
    ) -> list[Nearest]:
        wanted = min(self.size, max(limit, effort.candidates))
        if allowed is not None or wanted == self.size:
            return self._scanned(queries, limit, allowed)
        with self._lock:
            self._graph.set_ef(max(effort.ef_search or DEFAULT_EF_SEARCH, wanted))
            try:
                found, _ = self._graph.knn_query(queries, k=wanted, num_threads=1)
            except RuntimeError:  # fewer than `wanted` can be reached from the entry
                return self._scanned(queries, limit, None)
        return nearest_each(self._vectors, found.astype(np.int64), queries, limit)
