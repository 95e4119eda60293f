"""What every vector index promises.

An index is built once from unit vectors and never changes: engines that are added to
while they are searched crash or lock, and an immutable one needs neither lock nor copy.
Row i of an index is row i of the vectors it was built from. Spans that come later go to
a segment of their own; spans that go are left out by `allowed`.

Whatever an engine computes with, the similarities it returns come from `rescore`, so
that all engines report the same number for the same hit.
"""

from pathlib import Path
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from arenalab.planning import Engine
from arenalab.search.index.selection import IntArray, Selection

FloatArray = npt.NDArray[np.float32]
ScoreArray = npt.NDArray[np.float64]

DEFAULT_EF_SEARCH: Final = 128
MAX_CANDIDATES: Final = 4096
MAX_PROBES: Final = 65_536


class Effort(NamedTuple):
    """How hard an engine looks; 0 leaves a field to the engine."""

    ef_search: int = 0  # a graph's candidate list, at most MAX_CANDIDATES
    n_probe: int = 0  # inverted lists scanned, at most MAX_PROBES
    candidates: int = 0  # rows re-scored in full precision; fewer than the limit means the limit


DEFAULT_EFFORT: Final = Effort()

# What a computation in float32 may leave of a unit vector, and more.
_MAX_LENGTH_ERROR: Final = 1e-3
_CHECKED_ROWS: Final = 8192


class BuildStoppedError(Exception):
    """A build was told to stop before its end."""


class Nearest(NamedTuple):
    """Rows by descending similarity, ties by ascending row."""

    rows: IntArray  # shape (k,)
    similarities: ScoreArray  # shape (k,), in [-1, 1]


class VectorIndex(Protocol):
    """Finds the rows whose unit vectors have the largest inner product with a query."""

    @property
    def engine(self) -> Engine:
        """How this index searches."""

    @property
    def library(self) -> str:
        """What it is made with, such as "faiss"."""

    @property
    def size(self) -> int:
        """The number of rows."""

    @property
    def dimension(self) -> int:
        """The length of every vector."""

    @property
    def memory_bytes(self) -> int:
        """Bytes held in memory for codes and structure.

        Vectors in full precision count where they are held in memory, not where they
        are mapped from a file.
        """

    def search(
        self,
        query: FloatArray,
        limit: int,
        *,
        allowed: Selection | None = None,
        effort: Effort = DEFAULT_EFFORT,
    ) -> Nearest:
        """Returns the `limit` nearest rows, or all that are allowed when those are fewer.

        An approximate engine may miss some of the nearest; it never returns fewer rows
        than it could, nor one that is not allowed.

        Args:
            query: Unit vector, shape (dimension,).
            limit: How many rows to return, at least 1.
            allowed: Rows that may be returned. None: all.
            effort: How hard to look.

        Raises:
            ValueError: An argument is of another shape or range, or the query no unit vector.
            NotReadyError: A server that the engine asks cannot be reached.
        """

    def search_batch(
        self,
        queries: FloatArray,
        limit: int,
        *,
        allowed: Selection | None = None,
        effort: Effort = DEFAULT_EFFORT,
    ) -> list[Nearest]:
        """Returns what `search` returns for each query, shape (q, dimension), in one call."""

    def scan(self, query: FloatArray, limit: int, rows: IntArray | None) -> Nearest:
        """Returns the true `limit` nearest of some rows, ascending; None means all.

        Raises:
            NotReadyError: As `search`.
        """

    def vectors(self, rows: IntArray) -> FloatArray:
        """Returns the vectors of rows in full precision, shape (len(rows), dimension)."""

    def save(self, folder: Path) -> None:
        """Writes what `load` of the engine needs beside the vectors, each file synced."""


def check_form(vectors: FloatArray) -> FloatArray:
    """Returns the vectors, or raises ValueError if they are not float32 of shape (n, d).

    A map of a file comes back as a plain array over the same map: rows are taken from
    it without the cost of making each piece a map again. What is not C-contiguous is copied.
    """
    if vectors.ndim != 2 or vectors.shape[1] == 0:  # noqa: PLR2004 - rows and columns
        raise ValueError(f"vectors must have shape (n, d), got {vectors.shape}")
    if vectors.dtype != np.float32:
        raise ValueError(f"vectors must be float32, got {vectors.dtype}")
    return np.ascontiguousarray(vectors)


def check_vectors(vectors: FloatArray) -> FloatArray:
    """Returns the vectors as `check_form`; raises ValueError too for one that is no unit vector.

    That is one of zeros, one with a NaN, or one of another length than 1: similarities
    would not be cosines, and the error bounds of codes would not hold.
    """
    vectors = check_form(vectors)
    for start in range(0, len(vectors), _CHECKED_ROWS):
        chunk = vectors[start : start + _CHECKED_ROWS]
        # Written so that a NaN counts as wrong.
        wrong = ~(np.abs(np.vecdot(chunk, chunk) - 1) <= 2 * _MAX_LENGTH_ERROR)
        if wrong.any():
            row = int(np.argmax(wrong))
            length = float(np.sqrt(np.vecdot(chunk[row], chunk[row])))
            raise ValueError(f"vectors must have length 1, row {start + row} has {length:.6g}")
    return vectors


class Sized(Protocol):
    """What a search is checked against."""

    @property
    def size(self) -> int:
        """The number of rows."""

    @property
    def dimension(self) -> int:
        """The length of every vector."""


def check_search(index: Sized, query: FloatArray, limit: int, allowed: Selection | None) -> None:
    """Raises ValueError for arguments that `VectorIndex.search` refuses."""
    if query.shape != (index.dimension,):
        raise ValueError(f"query must have shape ({index.dimension},), got {query.shape}")
    # Written so that a NaN counts as wrong, here and below.
    is_unit = abs(float(query @ query) - 1) <= 2 * _MAX_LENGTH_ERROR
    _check_rest(index, limit, allowed, is_unit=is_unit)


def check_batch(index: Sized, queries: FloatArray, limit: int, allowed: Selection | None) -> None:
    """Raises ValueError for arguments that `VectorIndex.search_batch` refuses."""
    if queries.ndim != 2 or queries.shape[1] != index.dimension:  # noqa: PLR2004 - rows and columns
        raise ValueError(f"queries must have shape (q, {index.dimension}), got {queries.shape}")
    is_unit = bool((np.abs(np.vecdot(queries, queries) - 1) <= 2 * _MAX_LENGTH_ERROR).all())
    _check_rest(index, limit, allowed, is_unit=is_unit)


def _check_rest(index: Sized, limit: int, allowed: Selection | None, *, is_unit: bool) -> None:
    if limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    if allowed is not None and allowed.size != index.size:
        raise ValueError(f"allowed must be of {index.size} rows, got {allowed.size}")
    if not is_unit:
        raise ValueError("query must have length 1")


def rescore(vectors: FloatArray, rows: IntArray, query: FloatArray) -> ScoreArray:
    """Returns the inner products of some rows with the query.

    Summed in float64 row by row: a matrix product of the same row differs in its last
    bits with the shape of the matrix around it, and two engines would disagree.
    """
    scores: ScoreArray = np.vecdot(
        vectors.take(rows, 0).astype(np.float64), query.astype(np.float64)
    )
    # A third of the time of np.clip, which every search pays.
    return np.minimum(np.maximum(scores, -1.0), 1.0)


def nearest_of(vectors: FloatArray, rows: IntArray, query: FloatArray, limit: int) -> Nearest:
    """Returns the `limit` nearest of `rows` in the order of `Nearest`."""
    scores = rescore(vectors, rows, query)
    order = np.lexsort((rows, -scores))[:limit]
    return Nearest(rows[order], scores[order])


def nearest_each(
    vectors: FloatArray, found: IntArray, queries: FloatArray, limit: int
) -> list[Nearest]:
    """Returns the `limit` nearest of what was found for each query.

    Args:
        vectors: In full precision.
        found: Rows, shape (q, w); -1 where there are no more.
        queries: Shape (q, dimension).
        limit: At least 1.
    """
    is_row = found >= 0
    taken = vectors.take(np.where(is_row, found, 0).ravel(), 0).astype(np.float64)
    products = np.vecdot(taken.reshape(*found.shape, -1), queries.astype(np.float64)[:, None])
    scores = np.where(is_row, np.minimum(np.maximum(products, -1.0), 1.0), -np.inf)
    order = np.lexsort((found, -scores), axis=1)[:, :limit]
    rows = np.take_along_axis(found, order, 1)
    scores = np.take_along_axis(scores, order, 1)
    counts = np.minimum(is_row.sum(axis=1), limit).tolist()
    return [
        Nearest(rows[query, :count], scores[query, :count]) for query, count in enumerate(counts)
    ]
