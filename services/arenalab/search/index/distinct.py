"""An approximate index over each vector once, however many rows hold it.

Equal vectors spoil a graph: one that occurs more often than a node has links takes all of
them for its own copies, and a candidate list fills with them, so that what lies beyond is
not reached. Measured with faiss's graph over 7,000 to 10,000 vectors of 384 dimensions at
default effort, 2,000 to 6,000 of them copies: recall@10 of the others is 1 with groups of
up to 16 equal ones, .97 to 1 with 32, .85 to .99 with 64, .77 to .99 with 100 and .71 to 1
with 1,000.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from arenalab.durable import sync_folder
from arenalab.planning import Engine
from arenalab.search.index.equal_rows import EqualRows
from arenalab.search.index.files import IndexFileError, replace_file
from arenalab.search.index.protocol import Effort, FloatArray, Nearest, VectorIndex, check_form
from arenalab.search.index.searching import Searching
from arenalab.search.index.selection import IntArray, Selection

# From so many equal rows on an index is better off with one of them.
MAX_EQUAL: Final = 8

_INNER: Final = "distinct"
_NUMBERS: Final = "numbers.npy"
_VECTORS: Final = "distinct.npy"
_CHUNK_ROWS: Final = 8192
# Below this share of the distinct vectors, those of a selection are sorted, not marked.
_SORTED_SHARE: Final = 0.02


class DistinctIndex(Searching):
    """An index of the distinct vectors, and which rows hold each."""

    def __init__(self, inner: VectorIndex, rows: EqualRows) -> None:
        """Keeps its arguments.

        Args:
            inner: Over the distinct vectors, by number.
            rows: Which rows hold each number.
        """
        self._inner = inner
        self._rows = rows
        # Selections live as long as their filters are remembered, and are searched often.
        self._translated: WeakKeyDictionary[Selection, Selection] = WeakKeyDictionary()

    @classmethod
    def build(
        cls, vectors: FloatArray, rows: EqualRows, build: Callable[[FloatArray], VectorIndex]
    ) -> Self:
        """Returns an index over unit vectors.

        Args:
            vectors: Shape (n, d); not kept: the distinct ones are copied.
            rows: Which of them are equal.
            build: Builds the inner index.
        """
        return cls(build(vectors[rows.firsts]), rows)

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Returns whether `save` wrote to a folder."""
        return (folder / _INNER).is_dir()

    @classmethod
    def load(
        cls, folder: Path, vectors: FloatArray, load: Callable[[Path, FloatArray], VectorIndex]
    ) -> Self:
        """Returns the index of a folder that `save` wrote.

        Args:
            folder: Where to.
            vectors: What the index was built from.
            load: Loads the inner index.

        Raises:
            IndexFileError: The folder is of other vectors, or damaged.
        """
        check_form(vectors)
        numbers = _read(folder / _NUMBERS, np.uint32, is_mapped=False)
        _check("size", numbers.shape, (len(vectors),))
        try:
            rows = EqualRows(numbers)
        except ValueError as error:
            raise IndexFileError(f"{_NUMBERS}: {error}") from error
        distinct = _read(folder / _VECTORS, np.float32, is_mapped=True)
        _check("shape", distinct.shape, (rows.count, vectors.shape[1]))
        return cls(load(folder / _INNER, distinct), rows)

    @property
    def engine(self) -> Engine:
        return self._inner.engine

    @property
    def library(self) -> str:
        return self._inner.library

    @property
    def size(self) -> int:
        return len(self._rows.numbers)

    @property
    def dimension(self) -> int:
        return self._inner.dimension

    @property
    def memory_bytes(self) -> int:
        return self._inner.memory_bytes + self._rows.nbytes

    def scan(self, query: FloatArray, limit: int, rows: IntArray | None) -> Nearest:
        if rows is None:
            return self._expanded(self._inner.scan(query, limit, None), limit, None)
        numbers = self._numbers_of(rows)
        found = self._inner.scan(query, limit, numbers)
        return self._expanded(found, limit, Selection.of_rows(rows, self.size))

    def vectors(self, rows: IntArray) -> FloatArray:
        return self._inner.vectors(self._rows.numbers[rows].astype(np.int64))

    def save(self, folder: Path) -> None:
        # The distinct vectors again, to be mapped: in memory they would cost as much as all
        # else, and the file of all vectors has them scattered.
        inner = folder / _INNER
        inner.mkdir(exist_ok=True)
        self._inner.save(inner)
        replace_file(folder / _VECTORS, self._write_vectors)
        replace_file(folder / _NUMBERS, self._write_numbers)
        sync_folder(folder)

    def _search(
        self, queries: FloatArray, limit: int, allowed: Selection | None, effort: Effort
    ) -> list[Nearest]:
        inner = None if allowed is None else self._translation_of(allowed)
        # Each of the nearest vectors holds a row that is allowed, so `limit` of them suffice.
        nearest = self._inner.search_batch(queries, limit, allowed=inner, effort=effort)
        return [self._expanded(found, limit, allowed) for found in nearest]

    def _translation_of(self, allowed: Selection) -> Selection:
        """Returns the vectors of which a row is allowed."""
        found = self._translated.get(allowed)
        if found is None:
            found = Selection.of_rows(self._numbers_of(allowed.rows), self._rows.count)
            self._translated[allowed] = found
        return found

    def _numbers_of(self, rows: IntArray) -> IntArray:
        """Returns the numbers of rows, ascending, each once."""
        numbers = self._rows.numbers[rows]
        if len(rows) < _SORTED_SHARE * self._rows.count:
            return np.unique(numbers).astype(np.int64)
        is_there = np.zeros(self._rows.count, np.bool_)
        is_there[numbers] = True
        return np.flatnonzero(is_there)

    def _expanded(self, found: Nearest, limit: int, allowed: Selection | None) -> Nearest:
        """Returns the first `limit` rows of the vectors that were found."""
        if (self._rows.sizes[found.rows] == 1).all():  # numbers ascend with their rows
            return Nearest(self._rows.firsts_of(found.rows), found.similarities)
        parts: list[IntArray] = []
        kept: list[int] = []  # how many rows of each vector
        count = 0
        last = np.inf
        for place, number in enumerate(found.rows.tolist()):
            similarity = float(found.similarities[place])
            # One that is as near may have earlier rows.
            if count >= limit and similarity < last:
                break
            part = self._allowed_of(number, allowed)[:limit]
            parts.append(part)
            kept.append(len(part))
            count += len(part)
            last = similarity
        rows = np.concatenate(parts)
        similarities = np.repeat(found.similarities[: len(kept)], kept)
        order = np.lexsort((rows, -similarities))[:limit]
        return Nearest(rows[order], similarities[order])

    def _allowed_of(self, number: int, allowed: Selection | None) -> IntArray:
        """Returns the rows of a vector that are allowed, ascending."""
        rows = self._rows.rows_of(number).astype(np.int64)
        if allowed is None:
            return rows
        if allowed.count < len(rows):
            rows = allowed.rows
            kept: IntArray = rows[self._rows.numbers[rows] == number]
        else:
            kept = rows[allowed.mask[rows]]
        return kept

    def _write_vectors(self, path: str) -> None:
        shape = (self._rows.count, self.dimension)
        with Path(path).open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, shape[0], _CHUNK_ROWS):
                numbers = np.arange(start, min(shape[0], start + _CHUNK_ROWS))
                file.write(np.ascontiguousarray(self._inner.vectors(numbers)).data)

    def _write_numbers(self, path: str) -> None:
        with Path(path).open("wb") as file:
            np.save(file, self._rows.numbers)


def _read(path: Path, dtype: npt.DTypeLike, *, is_mapped: bool) -> npt.NDArray[Any]:
    """Returns the array of a file.

    Raises:
        IndexFileError: The file holds another kind of array, or none.
    """
    try:
        found = np.load(path, mmap_mode="r" if is_mapped else None)
    except (OSError, ValueError, EOFError) as error:
        raise IndexFileError(f"{path.name} cannot be read: {error}") from error
    if found.dtype != dtype:
        raise IndexFileError(f"{path.name} holds {found.dtype}, expected {np.dtype(dtype)}")
    array: npt.NDArray[Any] = found
    return array


def _check(name: str, found: object, expected: object) -> None:
    if found != expected:
        raise IndexFileError(f"{name} of the index is {found!r}, expected {expected!r}")
