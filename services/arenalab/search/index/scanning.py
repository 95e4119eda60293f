"""The exact scan of vectors in memory: what every engine falls back on.

One query reads bfloat16 codes, half the bytes of the vectors, and compares in full
precision the rows that their bounds leave in doubt; few or scattered rows are compared in
full precision at once. No BLAS there: its threads, one team for each search, fight over
the cores as soon as two searches run at once (measured: a sixth of the throughput, and
tails of 100 ms). Several queries share one pass over the vectors, by faiss's BLAS kept to
one thread, for there each byte read serves all of them.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from arenalab.search.index.codes import SUM_ERROR, Bounds, Codes
from arenalab.search.index.products import all_products, best_products, products
from arenalab.search.index.protocol import (
    FloatArray,
    Nearest,
    nearest_each,
    nearest_of,
)
from arenalab.search.index.selection import IntArray
from arenalab.vectors import faiss_on_one_thread

# Up to this share of all rows, chosen ones are compared in full precision: above it a pass
# over the codes, of which the other rows are skipped, reads less memory.
_SCATTERED_SHARE: Final = 0.3
# Bounds held for each wanted row, and besides: what may be in doubt.
_DOUBT: Final = 2
_MORE_DOUBT: Final = 50
# Times as many are held when those did not settle it.
_WIDER: Final = 16
# Rows held besides those wanted where all were compared in full precision.
_MORE_TIES: Final = 10


def scan(
    vectors: FloatArray,
    codes: Codes | None,
    queries: FloatArray,
    limit: int,
    rows: IntArray | None,
) -> list[Nearest]:
    """Returns the true `limit` nearest of `rows`, ascending, for each query; None means all.

    Args:
        vectors: In full precision, C-contiguous.
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
    if codes is None or (rows is not None and count <= _SCATTERED_SHARE * len(vectors)):
        return [_compared(vectors, query, limit, rows) for query in queries]
    return _by_codes(vectors, codes, queries, limit, rows)


def _by_codes(
    vectors: FloatArray, codes: Codes, queries: FloatArray, limit: int, rows: IntArray | None
) -> list[Nearest]:
    count = len(vectors) if rows is None else len(rows)
    bits = None if rows is None else _bits(rows, len(vectors))
    wanted = min(count, _DOUBT * limit + _MORE_DOUBT)
    bounds = codes.bounds(queries, wanted, bits)
    found = []
    for number, query in enumerate(queries):
        near = _settled(vectors, query, limit, _of(bounds, number), count)
        if near is None and wanted * _WIDER < count:
            wider = codes.bounds(query[None], wanted * _WIDER, bits)
            near = _settled(vectors, query, limit, _of(wider, 0), count)
        # None: more are too close to each other for codes to tell.
        found.append(_compared(vectors, query, limit, rows) if near is None else near)
    return found


def _settled(
    vectors: FloatArray, query: FloatArray, limit: int, bounds: Bounds, count: int
) -> Nearest | None:
    """Returns the nearest of `count` rows if the bounds tell them; None if a row may be missing."""
    first = bounds.rows[: _DOUBT * limit]
    scores = products(vectors, first, query)
    least = np.partition(scores, len(scores) - limit)[len(scores) - limit] - SUM_ERROR
    if len(bounds.rows) < count and bounds.scores[-1] >= least:
        return None
    more = bounds.rows[len(first) :][bounds.scores[len(first) :] >= least]
    if len(more):
        first = np.concatenate([first, more])
        scores = np.concatenate([scores, products(vectors, more, query)])
    return nearest_by(vectors, query, limit, first, scores)


def _of(bounds: Bounds, number: int) -> Bounds:
    return Bounds(bounds.scores[number], bounds.rows[number])


def _compared(vectors: FloatArray, query: FloatArray, limit: int, rows: IntArray | None) -> Nearest:
    """Returns the nearest of more rows than `limit`, all compared in full precision."""
    if rows is None:
        return nearest_by(vectors, query, limit, None, all_products(vectors, query))
    wanted = min(len(rows), limit + _MORE_TIES)
    scores, best = best_products(vectors, rows, query, wanted)
    # The last digits are compared once more, of those that may be among the nearest.
    held = int(np.searchsorted(-scores, 2 * SUM_ERROR - scores[limit - 1], "right"))
    if held == wanted < len(rows):  # more are equally near than are held
        return nearest_by(vectors, query, limit, rows, products(vectors, rows, query))
    return nearest_of(vectors, best[:held], query, limit)


def nearest_by(
    vectors: FloatArray, query: FloatArray, limit: int, rows: IntArray | None, scores: FloatArray
) -> Nearest:
    """Returns the nearest of rows whose products are known but for their last digits."""
    last = np.partition(scores, len(scores) - limit)[len(scores) - limit]
    best = np.flatnonzero(scores >= last - 2 * SUM_ERROR)
    return nearest_of(vectors, best if rows is None else rows[best], query, limit)


def _bits(rows: IntArray, size: int) -> npt.NDArray[np.uint8]:
    mask = np.zeros(size, np.bool_)
    mask[rows] = True
    return np.packbits(mask, bitorder="little")


def scan_batch(vectors: FloatArray, queries: FloatArray, limit: int) -> list[Nearest]:
    """Returns the true `limit` nearest of all rows for each query, in one pass over them.

    Args:
        vectors: More of them than `limit`.
        queries: Unit vectors, shape (q, d).
        limit: At least 1.
    """
    faiss = faiss_on_one_thread()
    wanted = min(len(vectors), limit + _MORE_TIES)
    queries = np.ascontiguousarray(queries, np.float32)
    scores, rows = faiss.knn(
        queries, np.ascontiguousarray(vectors), wanted, metric=faiss.METRIC_INNER_PRODUCT
    )
    found = nearest_each(vectors, rows, queries, limit)
    if wanted < len(vectors):
        # More may be equally near than are held.
        tied = scores[:, -1] >= scores[:, limit - 1] - 2 * SUM_ERROR
        for number in np.flatnonzero(tied).tolist():
            found[number] = _compared(vectors, queries[number], limit, None)
    return found
