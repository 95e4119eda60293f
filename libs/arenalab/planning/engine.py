"""The ways of searching that a plan can choose."""

from enum import StrEnum


class Engine(StrEnum):
    """A way of finding nearest vectors."""

    EXACT = "exact"
    HNSW = "hnsw"
    IVF = "ivf"
    MILVUS = "milvus"
    PGVECTOR = "pgvector"


class Strategy(StrEnum):
    """How a filter and an engine work together."""

    NONE = "none"  # there is no filter
    SCAN = "scan"  # filter first, then compare all that is left
    SELECTOR = "selector"  # hand the allowed rows to the engine
    POST = "post"  # search for more than is wanted, drop what does not pass
