"""Vectors rounded to bfloat16: half the bytes, and an error that is known.

A scan is bound by memory, so it reads codes. What it returns is not the nearest by code
but every row that the rounding leaves in doubt, to be compared in full precision: the
nearest are certainly among them.

Codes are read by faiss's scanner of lists, over all of them or over chunks of scattered
rows copied together. Measured for rows that are scattered over 100,000 x 384, in
nanoseconds a row: 55 so; 75 to 165 in float32, 95 to 165 widened by NumPy, 520 to 760 by
`reconstruct_batch`, 100 to 220 by a search with a selector.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from arenalab.search.index.protocol import FloatArray
from arenalab.search.index.selection import IntArray
from arenalab.vectors import load_faiss

# Half a unit in the last of bfloat16's 8 bits, at most so much of each component, hence of
# the inner product of two unit vectors. What the rounding really does to some vectors is
# about half of it, and measured by `Codes.of`.
MAX_ROUNDING: Final = 2.0**-8
# A float32 sum of d products of unit vectors is off by less than this for d <= 4096
# (measured: 2e-7 at 384).
SUM_ERROR: Final = 1e-5

# Rows copied together at once: with 384 dimensions their codes fill a third of a usual
# second-level cache.
_CHUNK_ROWS: Final = 512
# Rows held for each wanted, and besides: what may be in doubt.
_DOUBT: Final = 2
_MORE_DOUBT: Final = 50
# Times as many are held when those did not settle it.
_WIDER: Final = 16
# Above this share of all rows, those that are not wanted are cheaper scanned as well.
_SCATTERED_SHARE: Final = 0.25
# Few enough that what they are widened to is taken from small free blocks, and few MB stay
# with the C library afterwards.
_MEASURED_ROWS: Final = 512


class _Best(NamedTuple):
    """Rows by descending score of their codes."""

    rows: IntArray
    scores: FloatArray

    def candidates(self, limit: int, count: int, error: float) -> IntArray | None:
        """Returns the rows that may be among the `limit` nearest of `count`; None if unknown.

        The best by code are at least this good in truth, and what is not held is at
        most as good as the last, give or take the error.
        """
        if len(self.rows) == count:
            return self.rows
        least = self.scores[limit - 1] - 2 * error
        return self.rows[self.scores >= least] if self.scores[-1] < least else None


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
        shape = (flat.ntotal, flat.d)
        # A view of memory that belongs to `flat`.
        raw = load_faiss().rev_swig_ptr(flat.codes.data(), flat.ntotal * 2 * flat.d)
        self._raw: npt.NDArray[np.uint16] = raw.view(np.uint16).reshape(shape)

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
        largest = 0.0
        for start in range(0, len(vectors), _MEASURED_ROWS):
            stop = start + _MEASURED_ROWS
            off = (self._raw[start:stop].astype(np.uint32) << 16).view(np.float32)
            off -= vectors[start:stop]
            largest = max(largest, float(np.vecdot(off, off).max()))
        # A little more, for the sum was rounded too.
        return float(np.sqrt(largest)) * (1 + 1e-5)

    def __len__(self) -> int:
        return len(self._raw)

    @property
    def nbytes(self) -> int:
        """Bytes of the codes."""
        return self._raw.nbytes

    def candidates(
        self, queries: FloatArray, limit: int, rows: IntArray | None
    ) -> list[IntArray | None]:
        """Returns, for each query, rows that hold the `limit` nearest of `rows`, ascending.

        None in place of rows: too many are too close to each other for codes to tell.
        """
        count = len(self) if rows is None else len(rows)
        wanted = min(count, _DOUBT * limit + _MORE_DOUBT)
        found = self._candidates(queries, limit, rows, wanted)
        unknown = [number for number, candidates in enumerate(found) if candidates is None]
        if unknown and wanted * _WIDER < count:
            again = self._candidates(queries[unknown], limit, rows, wanted * _WIDER)
            for number, candidates in zip(unknown, again, strict=True):
                found[number] = candidates
        return found

    def _candidates(
        self, queries: FloatArray, limit: int, rows: IntArray | None, wanted: int
    ) -> list[IntArray | None]:
        error = self.rounding + SUM_ERROR
        if rows is None:
            return [
                best.candidates(limit, len(self), error) for best in self._best(queries, wanted)
            ]
        if len(rows) <= _SCATTERED_SHARE * len(self):
            return [
                best.candidates(limit, len(rows), error)
                for best in self._best_of(queries, wanted, rows)
            ]
        return self._candidates_among_all(queries, limit, rows, wanted)

    def _candidates_among_all(
        self, queries: FloatArray, limit: int, rows: IntArray, wanted: int
    ) -> list[IntArray | None]:
        """Looks at all codes, and leaves out what is not in `rows` afterwards."""
        error = self.rounding + SUM_ERROR
        # Where rows were drawn evenly, so many more hold as many that are wanted.
        more = min(len(self), int(1.5 * wanted * len(self) / len(rows)))
        found: list[IntArray | None] = []
        for number, best in enumerate(self._best(queries, more)):
            at = np.minimum(np.searchsorted(rows, best.rows), len(rows) - 1)
            is_wanted = rows[at] == best.rows
            kept = _Best(best.rows[is_wanted], best.scores[is_wanted])
            candidates = None
            if len(kept.rows) >= limit:
                least = kept.scores[limit - 1] - 2 * error
                if best.scores[-1] < least or more == len(self):
                    candidates = kept.rows[kept.scores >= least]
            if candidates is None:  # the rows lie elsewhere than where the query points
                query = queries[number : number + 1]
                [scattered] = self._best_of(query, wanted, rows)
                candidates = scattered.candidates(limit, len(rows), error)
            found.append(candidates)
        return found

    def _best(self, queries: FloatArray, wanted: int) -> list[_Best]:
        faiss = load_faiss()
        found = []
        for query in queries:
            scores, rows = _heap(wanted)
            with self._scanner(query) as scanner:
                scanner.scan_codes(
                    len(self),
                    faiss.swig_ptr(self._raw.reshape(-1).view(np.uint8)),
                    None,  # the place of a code is its row
                    faiss.swig_ptr(scores),
                    faiss.swig_ptr(rows),
                    wanted,
                )
            found.append(_ordered(scores, rows))
        return found

    def _best_of(self, queries: FloatArray, wanted: int, rows: IntArray) -> list[_Best]:
        # One copy of the rows serves all queries.
        heaps = [_heap(wanted) for _ in queries]
        chunks: Sequence[IntArray] = [
            rows[start : start + _CHUNK_ROWS] for start in range(0, len(rows), _CHUNK_ROWS)
        ]
        copied = np.empty((min(len(rows), _CHUNK_ROWS), self._raw.shape[1]), np.uint16)
        for number, chunk in enumerate(chunks):
            taken = copied[: len(chunk)]
            np.take(self._raw, chunk, axis=0, out=taken, mode="clip")  # others are buffered
            for query, heap in zip(queries, heaps, strict=True):
                self._scan(query, taken, number, heap)
        found = []
        for scores, places in heaps:
            # The number of the chunk is in the upper half of a place.
            rows_found = rows[(places >> 32) * _CHUNK_ROWS + (places & 0xFFFF_FFFF)]
            found.append(_ordered(scores, rows_found))
        return found

    def _scan(
        self,
        query: FloatArray,
        taken: npt.NDArray[np.uint16],
        number: int,
        heap: tuple[FloatArray, IntArray],
    ) -> None:
        faiss = load_faiss()
        scores, places = heap
        with self._scanner(query) as scanner:
            scanner.set_list(number, 0.0)
            scanner.scan_codes(
                len(taken),
                faiss.swig_ptr(taken.reshape(-1).view(np.uint8)),
                None,
                faiss.swig_ptr(scores),
                faiss.swig_ptr(places),
                len(scores),
            )

    @contextmanager
    def _scanner(self, query: FloatArray) -> Iterator[Any]:
        faiss = load_faiss()
        scanner = self._flat.sq.select_InvertedListScanner(
            faiss.METRIC_INNER_PRODUCT,
            None,
            True,  # noqa: FBT003 - tell places, not ids
            None,
            False,  # noqa: FBT003 - codes are of vectors, not of what is left of them
        )
        try:
            scanner.set_query(faiss.swig_ptr(query))
            scanner.set_list(0, 0.0)
            yield scanner
        finally:
            # The bindings never free what this method of faiss returns.
            faiss.InvertedListScanner.__swig_destroy__(scanner)


def _heap(size: int) -> tuple[FloatArray, IntArray]:
    return np.full(size, -np.inf, np.float32), np.full(size, -1, np.int64)


def _ordered(scores: FloatArray, rows: IntArray) -> _Best:
    order = np.argsort(-scores)
    return _Best(rows[order], scores[order])
