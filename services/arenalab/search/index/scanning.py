"""The exact scan of vectors in memory: what every engine falls back on.

One query reads bfloat16 codes, half the bytes of the vectors, and compares in full
precision what their rounding leaves in doubt. No BLAS there: its threads, one team for
each search, fight over the cores as soon as two searches run at once (measured: a sixth
of the throughput, and tails of 100 ms). Several queries share one pass over the vectors,
by faiss's BLAS kept to one thread, for there each byte read serves all of them.
"""

from typing import Final

import numpy as np

from arenalab.search.index.codes import SUM_ERROR, Codes
from arenalab.search.index.protocol import FloatArray, Nearest, nearest_of
from arenalab.search.index.selection import IntArray
from arenalab.vectors import load_faiss

# Rows of vectors compared at once, and rows held besides those wanted.
_CHUNK_ROWS: Final = 512
_MORE_DOUBT: Final = 10


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
