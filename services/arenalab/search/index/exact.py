"""The exact scan: right by construction, and without anything to build.

A scan is bound by memory: it reads every vector once. So it reads bfloat16 codes, half
the bytes, and compares in full precision only what the rounding of the codes leaves in
doubt. No BLAS: its threads, one team for each search, fight over the cores as soon as
two searches run at once (measured: a sixth of the throughput, and tails of 100 ms).
"""

from typing import Any, Final

import numpy as np

from arenalab.search.index.faiss_library import load_faiss
from arenalab.search.index.protocol import (
    DEFAULT_EF_SEARCH,
    BoolArray,
    Engine,
    FloatArray,
    IntArray,
    Nearest,
    check_search,
    check_vectors,
    nearest_of,
)

# A float32 sum of d products of unit vectors is off by less than this for d <= 4096
# (measured: 2e-7 at 384).
_SUM_ERROR: Final = 1e-5
# Rounding to the 8 bits of bfloat16 moves a component by 2^-9 of itself at most, hence
# an inner product of unit vectors by 2^-9 at most.
_CODE_ERROR: Final = 2.0**-9 + _SUM_ERROR

# Below so many vectors all of them fit the nearest cache, and codes save nothing.
_MIN_CODES: Final = 2000
# Copying scattered rows together beats a look at every code below this share of them.
_GATHER_SHARE: Final = 0.1
# Rows fetched by code for each wanted, and besides: what may be in doubt.
_DOUBT: Final = 2
_MORE_DOUBT: Final = 50


class ExactIndex:
    """Scores every allowed row, then re-scores the best."""

    engine = Engine.EXACT

    def __init__(self, vectors: FloatArray) -> None:
        """Keeps the vectors, and codes of them when they are many."""
        self._vectors = check_vectors(vectors)
        self._codes = _codes_of(vectors) if len(vectors) >= _MIN_CODES else None

    @property
    def size(self) -> int:
        return len(self._vectors)

    @property
    def dimension(self) -> int:
        return int(self._vectors.shape[1])

    @property
    def memory_bytes(self) -> int:
        codes = 0 if self._codes is None else self._vectors.nbytes // 2
        return self._vectors.nbytes + codes

    def search(
        self,
        query: FloatArray,
        limit: int,
        *,
        allowed: BoolArray | None = None,
        ef_search: int = DEFAULT_EF_SEARCH,  # noqa: ARG002 - of the protocol
        candidates: int = 0,  # noqa: ARG002 - of the protocol
    ) -> Nearest:
        check_search(self, query, limit, allowed)
        rows = None if allowed is None else np.flatnonzero(allowed)
        return self.scan(query, limit, rows)

    def scan(self, query: FloatArray, limit: int, rows: IntArray | None) -> Nearest:
        """Returns the `limit` nearest of `rows`, ascending; None means all."""
        count = self.size if rows is None else len(rows)
        codes = self._codes if count > _GATHER_SHARE * self.size else None
        best = None if codes is None else _best_by_code(codes, query, limit, rows, count)
        if best is None:
            best = self._best_by_vector(query, limit, rows)
        return nearest_of(self._vectors, best, query, limit)

    def _best_by_vector(self, query: FloatArray, limit: int, rows: IntArray | None) -> IntArray:
        scores = np.vecdot(self._vectors if rows is None else self._vectors[rows], query)
        if len(scores) > limit:
            last = np.partition(scores, len(scores) - limit)[len(scores) - limit]
            best = np.flatnonzero(scores >= last - 2 * _SUM_ERROR)
        else:
            best = np.arange(len(scores))
        return best if rows is None else rows[best]


def _best_by_code(
    codes: Any, query: FloatArray, limit: int, rows: IntArray | None, count: int
) -> IntArray | None:
    """Returns rows with the nearest among them; None if the codes cannot tell."""
    wanted = min(count, _DOUBT * limit + _MORE_DOUBT)
    parameters = None if rows is None else _selecting(rows, codes.ntotal)
    found_scores, found_rows = codes.search(query[None], wanted, params=parameters)
    scores: FloatArray = found_scores[0]
    found: IntArray = found_rows[0].astype(np.int64)
    if wanted == count:
        return found[found >= 0]
    # The best by code are at least this good in truth; what is not returned is at most
    # as good as the last, give or take the rounding.
    least = scores[limit - 1] - 2 * _CODE_ERROR
    return found[scores >= least] if scores[-1] < least else None


def _codes_of(vectors: FloatArray) -> Any:
    faiss = load_faiss()
    codes = faiss.IndexScalarQuantizer(
        vectors.shape[1], faiss.ScalarQuantizer.QT_bf16, faiss.METRIC_INNER_PRODUCT
    )
    codes.is_trained = True  # bfloat16 has no codebook
    codes.add(np.ascontiguousarray(vectors))
    return codes


def _selecting(rows: IntArray, size: int) -> Any:
    faiss = load_faiss()
    allowed = np.zeros(size, bool)
    allowed[rows] = True
    bits = np.packbits(allowed, bitorder="little")
    selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
    parameters = faiss.SearchParameters(sel=selector)
    # Both are read through bare pointers for as long as the search lasts.
    parameters.kept_alive = (selector, bits)
    return parameters
