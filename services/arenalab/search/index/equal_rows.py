"""Which vectors are the same, byte for byte: numbered without a copy or a sort of them."""

from collections.abc import Callable
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from arenalab.search.index.protocol import BuildStoppedError, FloatArray
from arenalab.search.index.selection import IntArray

NumberArray = npt.NDArray[np.uint32]

_HashArray = npt.NDArray[np.uint64]

# Their words and products stay in a processor's cache.
_CHUNK_ROWS: Final = 512


class EqualRows:
    """Rows by the number of the vector they hold; numbers ascend with the first row of each."""

    def __init__(self, numbers: NumberArray) -> None:
        """Groups rows by number.

        Args:
            numbers: One a row, shape (n,).

        Raises:
            ValueError: They do not begin with 0, or one comes before a smaller one was there.
        """
        highest = np.maximum.accumulate(numbers)
        before = np.concatenate([[-1], highest[:-1].astype(np.int64)])
        if not (numbers <= before + 1).all():
            raise ValueError("numbers do not ascend with the first row of each")
        self.numbers = numbers
        # Rows by number, ascending within each.
        self._order = np.argsort(numbers, kind="stable").astype(np.uint32)
        self.sizes = np.bincount(numbers).astype(np.uint32)
        self._starts = np.concatenate([[0], np.cumsum(self.sizes, dtype=np.int64)])

    @classmethod
    def of(cls, vectors: FloatArray, stopped: Callable[[], bool] = lambda: False) -> Self:
        """Returns the groups of equal vectors, shape (n, d).

        Raises:
            BuildStoppedError: `stopped` returned true.
        """
        first = _first_equal(vectors, _hashes(vectors, stopped))
        is_first = first == np.arange(len(first))
        return cls((np.cumsum(is_first)[first] - 1).astype(np.uint32))

    @property
    def count(self) -> int:
        """How many vectors are distinct."""
        return len(self.sizes)

    @property
    def nbytes(self) -> int:
        """Bytes held in memory."""
        return self.numbers.nbytes + self._order.nbytes + self.sizes.nbytes + self._starts.nbytes

    @property
    def firsts(self) -> IntArray:
        """The first row of each vector, ascending."""
        firsts: IntArray = self._order[self._starts[:-1]].astype(np.int64)
        return firsts

    def firsts_of(self, numbers: IntArray) -> IntArray:
        """Returns the first row of each of some vectors."""
        firsts: IntArray = self._order[self._starts[numbers]].astype(np.int64)
        return firsts

    def rows_of(self, number: int) -> NumberArray:
        """Returns the rows of a vector, ascending."""
        return self._order[self._starts[number] : self._starts[number + 1]]


def _hashes(vectors: FloatArray, stopped: Callable[[], bool]) -> _HashArray:
    """Returns 64 bits a row: the same of equal rows, hardly ever the same of others.

    Sums of the words of a row, each times a random number, modulo 2**64.
    """
    factors = np.random.default_rng(0).integers(0, 2**64, vectors.shape[1], np.uint64)
    hashes = np.empty(len(vectors), np.uint64)
    for start in range(0, len(vectors), _CHUNK_ROWS):
        if stopped():
            raise BuildStoppedError
        chunk = np.ascontiguousarray(vectors[start : start + _CHUNK_ROWS])
        words = chunk.view(np.uint32).astype(np.uint64)
        words *= factors
        words.sum(axis=1, out=hashes[start : start + _CHUNK_ROWS])
    return hashes


def _first_equal(vectors: FloatArray, hashes: _HashArray) -> IntArray:
    """Returns, for each row, the first that is equal to it."""
    order = np.argsort(hashes, kind="stable")
    is_new = np.ones(len(order), np.bool_)
    is_new[1:] = hashes[order[1:]] != hashes[order[:-1]]
    first = np.empty(len(order), np.int64)
    first[order] = order[is_new][np.cumsum(is_new) - 1]
    # A hash proves nothing.
    copies = np.flatnonzero(first != np.arange(len(first)))
    mixed: set[int] = set()
    for start in range(0, len(copies), _CHUNK_ROWS):
        chunk = copies[start : start + _CHUNK_ROWS]
        differs = vectors[chunk].view(np.uint32) != vectors[first[chunk]].view(np.uint32)
        mixed.update(first[chunk[differs.any(axis=1)]].tolist())
    if mixed:
        seen: dict[bytes, int] = {}
        for row in np.flatnonzero(np.isin(first, list(mixed))).tolist():
            first[row] = seen.setdefault(vectors[row].tobytes(), row)
    return first
