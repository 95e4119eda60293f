"""Kinds of vector index, vectors in groups, and what their nearest are by definition."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from arenalab.search.index import (
    Engine,
    FloatArray,
    IntArray,
    Nearest,
    ScoreArray,
    Selection,
    VectorIndex,
)
from arenalab.search.index.builders import FAISS, HNSWLIB, build_index, load_index
from arenalab.search.index.hnswlib import is_installed

DIMENSION: Final = 48
SIZE: Final = 2600
GROUPS: Final = 40


@dataclass(frozen=True)
class Kind:
    """A kind of index, and how a test gets one."""

    engine: Engine
    open: Callable[[FloatArray], AbstractContextManager[VectorIndex]]
    is_exact: bool = False
    # Opens what the index saved to a folder; None: it keeps nothing there.
    load: Callable[[Path, FloatArray], VectorIndex] | None = None


def _in_memory(engine: Engine, library: str = FAISS) -> Kind:
    return Kind(
        engine,
        lambda vectors: nullcontext(build_index(engine, vectors, library=library)),
        is_exact=engine is Engine.EXACT,
        load=lambda folder, vectors: load_index(engine, folder, vectors, library=library),
    )


needs_hnswlib = pytest.mark.skipif(not is_installed(), reason="the extra hnswlib is missing")
KINDS = [
    pytest.param(_in_memory(Engine.EXACT), id="exact"),
    pytest.param(_in_memory(Engine.HNSW), id="faiss-hnsw"),
    pytest.param(_in_memory(Engine.IVF), id="faiss-ivf"),
    pytest.param(_in_memory(Engine.HNSW, HNSWLIB), id="hnswlib", marks=needs_hnswlib),
    pytest.param(Engine.PGVECTOR, id="pgvector", marks=pytest.mark.slow),
    pytest.param(Engine.MILVUS, id="milvus-lite", marks=pytest.mark.slow),
]


def unit(vectors: np.ndarray) -> FloatArray:
    scaled: FloatArray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(
        np.float32
    )
    return scaled


def _groups(size: int) -> tuple[FloatArray, IntArray]:
    """Returns vectors in groups, every tenth a near duplicate of another, and their groups."""
    rng = np.random.default_rng(7)
    centres = rng.standard_normal((GROUPS, DIMENSION))
    group = rng.integers(0, GROUPS, size)
    vectors = centres[group] + 0.7 * rng.standard_normal((size, DIMENSION))
    copied = rng.integers(0, size, size // 10)
    vectors[::10] = vectors[copied] + 1e-3 * rng.standard_normal((size // 10, DIMENSION))
    group[::10] = group[copied]
    return unit(vectors), group.astype(np.int64)


VECTORS, GROUP = _groups(SIZE)
QUERIES = unit(VECTORS[::101] + 0.1 * np.random.default_rng(8).standard_normal((26, DIMENSION)))

Build = Callable[[FloatArray], VectorIndex]


def similarities_of(query: FloatArray, vectors: FloatArray = VECTORS) -> ScoreArray:
    scores: ScoreArray = (vectors.astype(np.float64) * query.astype(np.float64)).sum(axis=1)
    return scores


def by_definition(
    query: FloatArray, limit: int, rows: IntArray | None = None, vectors: FloatArray = VECTORS
) -> list[int]:
    scores = similarities_of(query, vectors)
    every = range(len(vectors)) if rows is None else rows.tolist()
    return sorted(every, key=lambda row: (-scores[row], row))[:limit]


def recall(index: VectorIndex, allowed: Selection | None = None) -> float:
    rows = None if allowed is None else allowed.rows
    found = 0
    wanted = 0
    for query in QUERIES:
        expected = by_definition(query, 10, rows)
        found += len(set(expected) & set(index.search(query, 10, allowed=allowed).rows.tolist()))
        wanted += len(expected)
    return found / wanted


def rows_of(nearest: Nearest) -> list[int]:
    rows: list[int] = nearest.rows.tolist()
    return rows
