"""Vector indexes behind one protocol; `builders` makes them, `policy` chooses."""

from arenalab.planning import Engine
from arenalab.search.index.exact import ExactIndex
from arenalab.search.index.files import IndexFileError
from arenalab.search.index.protocol import (
    DEFAULT_EF_SEARCH,
    DEFAULT_EFFORT,
    MAX_CANDIDATES,
    MAX_PROBES,
    BuildStoppedError,
    Effort,
    FloatArray,
    Nearest,
    ScoreArray,
    VectorIndex,
    nearest_of,
    rescore,
)
from arenalab.search.index.selection import BoolArray, IntArray, Selection

__all__ = [
    "DEFAULT_EFFORT",
    "DEFAULT_EF_SEARCH",
    "MAX_CANDIDATES",
    "MAX_PROBES",
    "BoolArray",
    "BuildStoppedError",
    "Effort",
    "Engine",
    "ExactIndex",
    "FloatArray",
    "IndexFileError",
    "IntArray",
    "Nearest",
    "ScoreArray",
    "Selection",
    "VectorIndex",
    "nearest_of",
    "rescore",
]
