"""The exact scan: right by construction, and without anything to build.

One query reads bfloat16 codes, half the bytes of the vectors, and compares in full
precision what their rounding leaves in doubt. No BLAS there: its threads, one team for
each search, fight over the cores as soon as two searches run at once (measured: a sixth
of the throughput, and tails of 100 ms). Several queries share one pass over the vectors,
by faiss's BLAS kept to one thread, for there each byte read serves all of them.
"""

from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from arenalab.planning import Engine
from arenalab.search.index.codes import SUM_ERROR, Codes
from arenalab.search.index.files import IndexFile, held_bytes
from arenalab.search.index.protocol import (
    DEFAULT_EFFORT,
    Effort,
    FloatArray,
    Nearest,
    check_batch,
    check_form,
    check_search,
    check_vectors,
    nearest_of,
)
from arenalab.search.index.selection import IntArray, Selection
from arenalab.vectors import BLAS_WORK, load_faiss

# Below so many vectors all of them fit the nearest caches, and codes save nothing.
_MIN_CODES: Final = 2000
# Rows of vectors compared at once, and rows held besides those wanted.
_CHUNK_ROWS: Final = 512
_MORE_DOUBT: Final = 10

_FILE: Final = IndexFile(Engine.EXACT, "faiss")


class ExactIndex:
    """Compares every row that is allowed."""

    engine = Engine.EXACT
    library = "faiss"

    def __init__(self, vectors: FloatArray, codes: Any = None) -> None:
        """Keeps the vectors, and codes of them when they are many.

        Args:
            vectors: Unit vectors, shape (n, d); may be mapped from a file.
            codes: Their bfloat16 codes, a faiss IndexScalarQuantizer; None: made here.

        Raises:
            ValueError: They are not unit vectors in float32.
        """
        if codes is not None:
            self._vectors = check_form(vectors)
            self._codes: Codes | None = Codes(codes)
            return
        self._vectors = check_vectors(vectors)
        self._codes = Codes.of(self._vectors) if len(vectors) >= _MIN_CODES else None

    @classmethod
    def load(cls, folder: Path, vectors: FloatArray) -> Self:
        """Returns the index of a folder that `save` wrote; its codes are made again.

        Raises:
            IndexFileError: The folder is of other vectors, or damaged.
        """
        _FILE.read(folder, vectors)
        return cls(vectors)

    @property
    def all_vectors(self) -> FloatArray:
        """The vectors that it was made from, not a copy: shape (size, dimension)."""
        return self._vectors

    @property
    def size(self) -> int:
        return len(self._vectors)

    @property
    def dimension(self) -> int:
        return int(self._vectors.shape[1])

    @property
    def memory_bytes(self) -> int:
        codes = 0 if self._codes is None else self._codes.nbytes
        return held_bytes(self._vectors) + codes

    def search(
        self,
        query: FloatArray,
        limit: int,
        *,
        allowed: Selection | None = None,
        effort: Effort = DEFAULT_EFFORT,  # noqa: ARG002 - of the protocol
    ) -> Nearest:
        check_search(self, query, limit, allowed)
        return self.scan(query, limit, None if allowed is None else allowed.rows)

    def search_batch(
        self,
        queries: FloatArray,
        limit: int,
        *,
        allowed: Selection | None = None,
        effort: Effort = DEFAULT_EFFORT,  # noqa: ARG002 - of the protocol
    ) -> list[Nearest]:
        check_batch(self, queries, limit, allowed)
        if allowed is None and queries.size >= BLAS_WORK and limit < self.size:
            return scan_batch(self._vectors, queries, limit)
        rows = None if allowed is None else allowed.rows
        return scan(self._vectors, self._codes, queries, limit, rows)

    def scan(self, query: FloatArray, limit: int, rows: IntArray | None) -> Nearest:
        return scan(self._vectors, self._codes, query[None], limit, rows)[0]

    def vectors(self, rows: IntArray) -> FloatArray:
        return self._vectors[rows]

    def save(self, folder: Path) -> None:
        _FILE.write(folder, self._vectors)


def scan(
    vectors: FloatArray,
    codes: Codes | None,
    queries: FloatArray,
    limit: int,
    rows: IntArray | None,
) -> list[Nearest]:
    """Returns the true `limit` nearest of `rows`, ascending, for each query; None means all.

    Args:
        vectors: In full precision.
        codes: Of the vectors; None: there are none.
        queries: Unit vectors, shape (q, d).
        limit: At least 1.
        rows: Which rows to compare.
    """
    queries = np.ascontiguousarray(queries, np.float32)
    count = len(vectors) if rows is None else len(rows)
    if count <= limit:
        every = np.arange(len(vectors)) if rows is None else rows
        return [nearest_of(vectors, every, query, limit) for query in queries]
    found: list[IntArray | None]
    found = [None] * len(queries) if codes is None else codes.candidates(queries, limit, rows)
    return [
        nearest_of(
            vectors,
            _candidates(vectors, query, limit, rows) if candidates is None else candidates,
            query,
            limit,
        )
        for query, candidates in zip(queries, found, strict=True)
    ]


def _candidates(
    vectors: FloatArray, query: FloatArray, limit: int, rows: IntArray | None
) -> IntArray:
    """Returns rows with the `limit` nearest among them, by their vectors."""
    if rows is None:
        scores = np.vecdot(vectors, query)
    else:
        scores = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), _CHUNK_ROWS):
            chunk = slice(start, start + _CHUNK_ROWS)
            scores[chunk] = np.vecdot(vectors[rows[chunk]], query)
    last = np.partition(scores, len(scores) - limit)[len(scores) - limit]
    best = np.flatnonzero(scores >= last - 2 * SUM_ERROR)
    return best if rows is None else rows[best]


def scan_batch(vectors: FloatArray, queries: FloatArray, limit: int) -> list[Nearest]:
    """Returns the true `limit` nearest of all rows for each query, in one pass over them.

    Args:
        vectors: More of them than `limit`.
        queries: Unit vectors, shape (q, d).
        limit: At least 1.
    """
    faiss = load_faiss()
    faiss.omp_set_num_threads(1)  # of the calling thread only
    wanted = min(len(vectors), limit + _MORE_DOUBT)
    queries = np.ascontiguousarray(queries, np.float32)
    scores, rows = faiss.knn(
        queries, np.ascontiguousarray(vectors), wanted, metric=faiss.METRIC_INNER_PRODUCT
    )
    found = []
    for query, its_scores, its_rows in zip(queries, scores, rows, strict=True):
        least = its_scores[limit - 1] - 2 * SUM_ERROR
        if wanted == len(vectors) or its_scores[-1] < least:
            candidates = its_rows[its_scores >= least]
        else:  # more are equally near than are held
            candidates = _candidates(vectors, query, limit, None)
        found.append(nearest_of(vectors, candidates, query, limit))
    return found
