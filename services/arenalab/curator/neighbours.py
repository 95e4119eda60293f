"""The nearest neighbours of every vector among all the others."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from arenalab.vectors import load_faiss

Vectors: TypeAlias = NDArray[np.float32]

# Up to here every pair is compared: 50,000 take two minutes on two cores.
MAX_EXACT: Final = 50_000
# Similarities held at once: 32 MB.
_MAX_BLOCK: Final = 8 << 20
_PROBED_CELLS: Final = 16
_TRAINING_PER_CELL: Final = 40  # faiss asks for 39 and more


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Row i: the neighbours of vector i, nearest first. -1 where there are no more."""

    rows: NDArray[np.int64]  # (n, k)
    similarities: Vectors  # (n, k), cosine; -1 beside row -1


def nearest(
    vectors: Vectors,
    count: int,
    *,
    max_exact: int = MAX_EXACT,
    report: Callable[[int], None] = lambda _done: None,
) -> Neighbours:
    """Returns the `count` nearest of each vector, itself left out.

    Exact up to `max_exact` vectors, beyond it approximate (an inverted file, which
    is deterministic, as a graph built by several threads is not).

    Args:
        vectors: Unit vectors, shape (n, d).
        count: How many for each, at least 1.
        max_exact: See above.
        report: Called with the number of vectors done so far.
    """
    size = len(vectors)
    rows = np.full((size, count), -1, dtype=np.int64)
    similarities = np.full((size, count), -1.0, dtype=np.float32)
    find = _exact(vectors, count) if size <= max_exact else _approximate(vectors, count)
    step = max(1, min(1024, _MAX_BLOCK // max(size, 1)))
    for start in range(0, size, step):
        stop = min(start + step, size)
        rows[start:stop], similarities[start:stop] = find(start, stop)
        report(stop)
    return Neighbours(rows, similarities)


_Find: TypeAlias = Callable[[int, int], tuple[NDArray[np.int64], Vectors]]


def _exact(vectors: Vectors, count: int) -> _Find:
    kept = min(count, max(len(vectors) - 1, 0))

    def find(start: int, stop: int) -> tuple[NDArray[np.int64], Vectors]:
        block = vectors[start:stop] @ vectors.T
        own = np.arange(stop - start)
        block[own, own + start] = -np.inf
        found = np.argpartition(block, -kept, axis=1)[:, -kept:] if kept else block[:, :0]
        return _ordered(
            found.astype(np.int64), np.take_along_axis(block, found.astype(np.int64), 1), count
        )

    return find


def _approximate(vectors: Vectors, count: int) -> _Find:
    faiss = load_faiss()
    cells = int(4 * len(vectors) ** 0.5)
    index = faiss.IndexIVFFlat(
        faiss.IndexFlatIP(vectors.shape[1]), vectors.shape[1], cells, faiss.METRIC_INNER_PRODUCT
    )
    index.cp.seed = 1
    index.cp.max_points_per_centroid = _TRAINING_PER_CELL
    index.train(vectors)
    index.add(vectors)
    index.nprobe = _PROBED_CELLS

    def find(start: int, stop: int) -> tuple[NDArray[np.int64], Vectors]:
        found, rows = index.search(vectors[start:stop], count + 1)
        is_own = rows == np.arange(start, stop)[:, None]
        found = np.where(is_own | (rows < 0), np.float32(-1), found)
        return _ordered(np.where(is_own, -1, rows), found, count)

    return find


def _ordered(
    rows: NDArray[np.int64], similarities: Vectors, count: int
) -> tuple[NDArray[np.int64], Vectors]:
    """Returns the best `count` by similarity, ties by row, filled up with -1."""
    # Missing ones (-1) come last: no similarity is below -1.
    order = np.lexsort((rows, -similarities), axis=1)[:, :count]
    short = ((0, 0), (0, count - order.shape[1]))
    return (
        np.pad(np.take_along_axis(rows, order, 1), short, constant_values=-1),
        np.pad(np.take_along_axis(similarities, order, 1), short, constant_values=-1.0),
    )
