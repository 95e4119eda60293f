"""What every vector index promises.

An index is built once from unit vectors and never changes: engines that are added to
while they are searched crash or lock, and an immutable one needs neither lock nor copy.
Row i of an index is row i of the vectors it was built from.

Whatever an engine computes with, the similarities it returns come from `rescore`, so
that all engines report the same number for the same hit.
"""

from enum import StrEnum
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
ScoreArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

DEFAULT_EF_SEARCH: Final = 64
MAX_CANDIDATES: Final = 4096


class Engine(StrEnum):
    """A way of finding nearest vectors."""

    EXACT = "exact"
    HNSW = "hnsw"


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
    def size(self) -> int:
        """The number of rows."""

    @property
    def dimension(self) -> int:
        """The length of every vector."""

    @property
    def memory_bytes(self) -> int:
        """Bytes held for vectors and structure, a shared vector array included."""

    def search(
        self,
        query: FloatArray,
        limit: int,
        *,
        allowed: BoolArray | None = None,
        ef_search: int = DEFAULT_EF_SEARCH,
        candidates: int = 0,
    ) -> Nearest:
        """Returns the `limit` nearest rows, or all that are allowed when those are fewer.

        Args:
            query: Unit vector, shape (dimension,).
            limit: How many rows to return, at least 1.
            allowed: Rows that may be returned, shape (size,). None: all.
            ef_search: Size of a graph's candidate list; ignored by a scan.
            candidates: How many rows to re-score in full precision, at least `limit`;
                fewer means `limit`. Ignored by a scan.

        Raises:
            ValueError: An argument is of another shape or range.
        """


def check_vectors(vectors: FloatArray) -> FloatArray:
    """Returns the vectors, or raises ValueError if they are not float32 of shape (n, d)."""
    if vectors.ndim != 2 or vectors.shape[1] == 0:  # noqa: PLR2004 - rows and columns
        raise ValueError(f"vectors must have shape (n, d), got {vectors.shape}")
    if vectors.dtype != np.float32:
        raise ValueError(f"vectors must be float32, got {vectors.dtype}")
    return vectors


def check_search(
    index: VectorIndex, query: FloatArray, limit: int, allowed: BoolArray | None
) -> None:
    """Raises ValueError for arguments that `VectorIndex.search` refuses."""
    if query.shape != (index.dimension,):
        raise ValueError(f"query must have shape ({index.dimension},), got {query.shape}")
    if limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    if allowed is not None and allowed.shape != (index.size,):
        raise ValueError(f"allowed must have shape ({index.size},), got {allowed.shape}")


def rescore(vectors: FloatArray, rows: IntArray, query: FloatArray) -> ScoreArray:
    """Returns the inner products of some rows with the query.

    Summed in float64 row by row: a BLAS product of the same row differs in its last
    bits with the shape of the matrix around it, and two engines would disagree.
    """
    products = vectors[rows].astype(np.float64) * query.astype(np.float64)
    scores: ScoreArray = np.clip(products.sum(axis=1), -1.0, 1.0)
    return scores


def nearest_of(vectors: FloatArray, rows: IntArray, query: FloatArray, limit: int) -> Nearest:
    """Returns the `limit` nearest of `rows` in the order of `Nearest`."""
    scores = rescore(vectors, rows, query)
    order = np.lexsort((rows, -scores))[:limit]
    return Nearest(rows[order], scores[order])
