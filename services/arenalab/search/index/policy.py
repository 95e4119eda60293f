"""Which engine a size and its limits ask for.

Measured by tests/bench/search/engines.py with 384 dimensions on two cores shared with
other work, each engine at its default effort, so the ratios count more than the times.
Memory is beside the vectors in full precision, which stay in a file.

| engine       | bytes a vector | 10,000: p50, recall@10 | 100,000: p50, recall@10, CPU-s to build |
|--------------|----------------|------------------------|-----------------------------------------|
| exact        | 768            | 0.18 ms, 1             | 2.4 ms, 1, 0.1                          |
| hnsw         | 912            | 0.13 ms, .999          | 0.18 ms, .995, 20                       |
| ivf          | 402            | 0.14 ms, .997          | 0.53 ms, .996, 7                        |
| hnsw hnswlib | 1,684          | 0.14 ms, 1             | 0.17 ms, .995, 23                       |

- **exact** up to about 20,000 vectors: at most 0.4 ms, nothing to build, always right.
- **hnsw** above: the fastest at every size that was measured.
- **ivf** where a graph would not keep to the memory budget, or not be built in the time:
  less than half the memory. There is no size from which it is the faster one.
- **hnswlib** never by itself: it compiles from source, holds float32 vectors of its own,
  answers one search at a time, and scans wherever there is a filter.
"""

import math
from typing import Final

from arenalab.planning import Engine

EXACT_LIMIT: Final = 20_000

_FAISS: Final = "faiss"
# Links on the ground floor and above, their offsets and levels; hnswlib's links and labels.
_GRAPH_BYTES: Final = 145
_HNSWLIB_BYTES: Final = 149
_ID_BYTES: Final = 8
_CENTROIDS: Final = 4.0  # times the root of the size, each of bfloat16 codes

# CPU time a vector at 384 dimensions. A walk through a graph grows with the logarithm of
# its size: about 100 us a vector at 20,000 vectors, 170 to 200 at 100,000, and a fifth more
# since rows are linked in a random order and links lead to all of them. Lists compare each
# vector with all centroids, of which there are as many as the root of the size.
_MEASURED_DIMENSION: Final = 384
_GRAPH_US_PER_DOUBLING: Final = 42.0
_GRAPH_FREE_DOUBLINGS: Final = 11.2
_LISTS_US_PER_ROOT: Final = 0.22


def choose(
    size: int,
    dimension: int,
    *,
    exact_limit: int = EXACT_LIMIT,
    memory_budget_bytes: int | None = None,
    build_seconds: float | None = None,
    library: str = _FAISS,
    threads: int = 1,
) -> Engine:
    """Returns the engine for an index; the module says why.

    Args:
        size: How many vectors.
        dimension: Of each.
        exact_limit: Up to how many vectors are scanned.
        memory_budget_bytes: For codes and structure, vectors in full precision staying in a
            file. None: no limit. Where not even IVF keeps to it, it is IVF all the same.
        build_seconds: How long a build may take. None: as long as it takes.
        library: What a graph would be made with.
        threads: How many build.
    """
    if size <= exact_limit:
        return Engine.EXACT
    if memory_budget_bytes is not None:
        needed = size * bytes_per_vector(Engine.HNSW, dimension, size, library)
        if needed > memory_budget_bytes:
            return Engine.IVF
    if build_seconds is not None:
        needed_s = build_cpu_seconds(Engine.HNSW, dimension, size) / threads
        if needed_s > build_seconds:
            return Engine.IVF
    return Engine.HNSW


def bytes_per_vector(engine: Engine, dimension: int, size: int, library: str = _FAISS) -> float:
    """Returns the bytes in memory for each of `size` vectors, those mapped from a file aside.

    Raises:
        ValueError: The engine keeps nothing in memory here.
    """
    if engine is Engine.EXACT:
        return 2.0 * dimension
    if engine is Engine.HNSW:
        if library == _FAISS:
            return 2.0 * dimension + _GRAPH_BYTES
        return 4.0 * dimension + _HNSWLIB_BYTES
    if engine is Engine.IVF:
        centroids = _CENTROIDS / math.sqrt(max(size, 1)) * 2 * dimension
        return dimension + _ID_BYTES + centroids
    raise ValueError(f"{engine.value} keeps nothing in memory here")


def build_cpu_seconds(engine: Engine, dimension: int, size: int) -> float:
    """Returns about how much CPU time a build takes; threads share it evenly.

    Raises:
        ValueError: The engine is not built here.
    """
    if engine is Engine.EXACT or not size:
        return 0.0
    if engine is Engine.HNSW:
        us = _GRAPH_US_PER_DOUBLING * max(1.0, math.log2(size) - _GRAPH_FREE_DOUBLINGS)
    elif engine is Engine.IVF:
        us = _LISTS_US_PER_ROOT * math.sqrt(size)
    else:
        raise ValueError(f"{engine.value} is not built here")
    return size * us * 1e-6 * dimension / _MEASURED_DIMENSION
