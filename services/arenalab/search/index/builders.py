"""Makes and loads indexes by the name of their engine: the one place that knows classes."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from arenalab.planning import Engine
from arenalab.search.index.distinct import MAX_EQUAL, DistinctIndex
from arenalab.search.index.equal_rows import EqualRows
from arenalab.search.index.exact import ExactIndex
from arenalab.search.index.hnsw import HnswIndex
from arenalab.search.index.hnswlib import HnswlibIndex
from arenalab.search.index.ivf import IvfIndex
from arenalab.search.index.protocol import (
    FloatArray,
    VectorIndex,
    check_form,
    check_vectors,
)

FAISS: Final = "faiss"
HNSWLIB: Final = "hnswlib"
# Of graphs; everything else in memory is made with faiss.
LIBRARIES: Final = (FAISS, HNSWLIB)

_Kind: TypeAlias = type[HnswIndex | IvfIndex | HnswlibIndex]
_KINDS: Final[dict[tuple[Engine, str], _Kind]] = {
    (Engine.HNSW, FAISS): HnswIndex,
    (Engine.HNSW, HNSWLIB): HnswlibIndex,
    (Engine.IVF, FAISS): IvfIndex,
}


def build_index(
    engine: Engine,
    vectors: FloatArray,
    *,
    threads: int = 1,
    stopped: Callable[[], bool] = lambda: False,
    library: str = FAISS,
) -> VectorIndex:
    """Returns a new index over unit vectors.

    Where one of them occurs too often for an approximate engine, it gets each of them once.

    Args:
        engine: EXACT, HNSW or IVF.
        vectors: Shape (n, d); may be mapped from a file.
        threads: How many to build with.
        stopped: Asked about twice a second.
        library: What to make a graph with, one of LIBRARIES.

    Raises:
        ValueError: No such engine is built here, or the vectors are not unit vectors.
        ImportError: The library is an extra that is not installed.
        BuildStoppedError: `stopped` returned true.
    """
    if engine is Engine.EXACT:
        return ExactIndex(vectors)
    build = partial(_kind(engine, library).build, threads=threads, stopped=stopped)
    rows = EqualRows.of(check_form(vectors), stopped)
    if rows.sizes.max(initial=0) > MAX_EQUAL:
        # First, for an error of the inner index would name another row.
        return DistinctIndex.build(check_vectors(vectors), rows, build)
    return build(vectors)


def load_index(
    engine: Engine, folder: Path, vectors: FloatArray | None, *, library: str = FAISS
) -> VectorIndex:
    """Returns the index that `save` wrote into a folder.

    Args:
        engine: What was saved.
        folder: Where to.
        vectors: What the index was built from; None where only a server has them.
        library: Of the index that was saved.

    Raises:
        IndexFileError: The folder is of other vectors, or damaged.
        ValueError: No such engine is loaded here.
        ImportError: The library is an extra that is not installed.
    """
    if vectors is None:
        raise ValueError(f"{engine.value} needs the vectors that it was built from")
    if engine is Engine.EXACT:
        return ExactIndex.load(folder, vectors)
    load = _kind(engine, library).load
    if DistinctIndex.is_in(folder):
        return DistinctIndex.load(folder, vectors, load)
    return load(folder, vectors)


def _kind(engine: Engine, library: str) -> _Kind:
    kind = _KINDS.get((engine, library if engine is Engine.HNSW else FAISS))
    if kind is None:
        raise ValueError(f"no {engine.value} index is made here with {library!r}")
    return kind
