"""Vectors rounded to bfloat16: half the bytes, and an error that is known.

A scan of many rows is bound by memory, so it reads codes. What it returns is not the
nearest by code but bounds: no row is nearer than its bound, so that the nearest are found
by comparing in full precision only the rows whose bound is good enough.

Few or scattered rows are better compared in full precision at once (see products.py).
"""

from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from arenalab.search.index.protocol import FloatArray
from arenalab.search.index.selection import IntArray
from arenalab.vectors import faiss_on_one_thread, load_faiss

# Half a unit in the last of bfloat16's 8 bits, at most so much of each component, hence of
# the inner product of two unit vectors. What the rounding really does to some vectors is
# about half of it, and measured by `Codes.of`.
MAX_ROUNDING: Final = 2.0**-8
# A float32 sum of d products of unit vectors is off by less than this for d <= 4096
# (measured: 2e-7 at 384).
SUM_ERROR: Final = 1e-5

# Few enough that what they are widened to is taken from small free blocks, and few MB stay
# with the C library afterwards.
_MEASURED_ROWS: Final = 512


class Bounds(NamedTuple):
    """Rows of each query by descending bound; a row that is not there has none above the last.

    Where fewer rows exist than were wanted, the rest are -1 with a bound of -inf.
    """

    scores: FloatArray  # shape (q, w): no similarity is above its bound
    rows: IntArray  # shape (q, w)


class Codes:
    """The codes of some vectors, which may belong to an index that keeps them too."""

    def __init__(self, flat: Any, rounding: float = MAX_ROUNDING, owner: Any = None) -> None:
        """Keeps its arguments.

        Args:
            flat: A faiss IndexScalarQuantizer of bfloat16 under inner product.
            rounding: The largest distance between a unit vector and its code.
            owner: What frees `flat`, to be kept for as long.
        """
        self._flat = flat
        self._owner = owner
        self.rounding = rounding

    @classmethod
    def of(cls, vectors: FloatArray) -> Self:
        """Returns the codes of unit vectors."""
        faiss = load_faiss()
        flat = faiss.IndexScalarQuantizer(
            vectors.shape[1], faiss.ScalarQuantizer.QT_bf16, faiss.METRIC_INNER_PRODUCT
        )
        flat.is_trained = True  # bfloat16 has no codebook
        # Room for all at once: growing by doubling leaves twice as much behind, in holes
        # that the C library keeps.
        flat.codes.resize(len(vectors) * flat.code_size)
        flat.codes.resize(0)
        for start in range(0, len(vectors), _MEASURED_ROWS):
            flat.add(np.ascontiguousarray(vectors[start : start + _MEASURED_ROWS]))
        codes = cls(flat)
        codes.rounding = codes.measured_rounding(vectors)
        return codes

    def measured_rounding(self, vectors: FloatArray) -> float:
        """Returns the largest distance between a vector and its code."""
        raw = self._raw()
        largest = 0.0
        for start in range(0, len(vectors), _MEASURED_ROWS):
            stop = start + _MEASURED_ROWS
            off = (raw[start:stop].astype(np.uint32) << 16).view(np.float32)
            off -= vectors[start:stop]
            largest = max(largest, float(np.vecdot(off, off).max()))
        # A little more, for the sum was rounded too.
        return float(np.sqrt(largest)) * (1 + 1e-5)

    def __len__(self) -> int:
        return int(self._flat.ntotal)

    @property
    def nbytes(self) -> int:
        """Bytes of the codes."""
        return int(self._flat.ntotal * self._flat.code_size)

    def bounds(
        self, queries: FloatArray, wanted: int, bits: npt.NDArray[np.uint8] | None
    ) -> Bounds:
        """Returns the rows of the `wanted` highest bounds for each query.

        Args:
            queries: Unit vectors, shape (q, d), C-contiguous.
            wanted: Rows to return, at least 1.
            bits: Which rows count, eight a byte, the lowest bit first; None: all.
        """
        faiss = faiss_on_one_thread()
        parameters = None
        if bits is not None:  # read through a bare pointer for as long as the search lasts
            selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
            parameters = faiss.SearchParameters(sel=selector)
        scores, rows = self._flat.search(queries, wanted, params=parameters)
        scores[rows < 0] = -np.inf
        scores += np.float32(self.rounding + SUM_ERROR)
        return Bounds(scores, rows)

    def _raw(self) -> npt.NDArray[np.uint16]:
        # A view of memory that belongs to `flat`.
        flat = self._flat
        raw: npt.NDArray[np.uint16]
        raw = load_faiss().rev_swig_ptr(flat.codes.data(), flat.ntotal * flat.code_size).view("u2")
        return raw.reshape(flat.ntotal, flat.d)
