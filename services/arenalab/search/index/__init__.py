"""Vector indexes behind one protocol: exact scan, faiss HNSW, hnswlib."""

from arenalab.search.index.exact import ExactIndex
from arenalab.search.index.protocol import (
    DEFAULT_EF_SEARCH,
    MAX_CANDIDATES,
    BoolArray,
    Engine,
    FloatArray,
    IntArray,
    Nearest,
    VectorIndex,
    rescore,
)

__all__ = [
    "DEFAULT_EF_SEARCH",
    "MAX_CANDIDATES",
    "BoolArray",
    "Engine",
    "ExactIndex",
    "FloatArray",
    "IntArray",
    "Nearest",
    "VectorIndex",
    "rescore",
]
