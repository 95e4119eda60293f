"""How Search is run: read once, at start, from the environment."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from arenalab.caching import CacheSettings
from arenalab.mesh import ConfigError, address_of, ports
from arenalab.search.collection.upkeep import DEFAULT_DELTA_LIMIT
from arenalab.search.embedder.factory import DEFAULT_SPEC
from arenalab.search.index.builders import LIBRARIES

AUTO: Final = "auto"
REMOTE_INDEXES: Final = ("milvus", "pgvector")
INDEXES: Final = (AUTO, "hnsw", "ivf", *REMOTE_INDEXES)
_AT_LEAST_0: Final = (
    "exact_limit", "delta_limit", "queue_limit", "memory_budget_mb", "cache_memory_mb",
)  # fmt: skip
_ABOVE_0: Final = ("cache_ttl_s", "cache_trajectory_ttl_s", "cache_redis_timeout_s")


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Settings of one Search process. The variable of `x` is `SEARCH_X`."""

    address: str = address_of(ports.SEARCH)
    store_path: Path = Path("search/spans.sqlite")
    datasets_dir: Path = Path("datasets")  # the dataset store, written by curator
    dataset_public_key: Path | None = None  # of the one key that may sign; None: any
    embedder: str = DEFAULT_SPEC  # see `open_embedder`
    exact_limit: int = 20_000  # spans above which a segment gets an index
    index: str = AUTO  # "auto", "hnsw", "ivf", "milvus" or "pgvector"
    index_uri: str = field(default="", repr=False)  # of a Milvus or PostgreSQL server
    index_namespace: str = "arenalab"  # sets apart the stores that share that server
    graph: str = "faiss"  # what builds graphs: "faiss", or "hnswlib" where that extra is
    memory_budget_mb: int = 0  # for the vectors and index of one segment; 0: none
    build_budget_s: float = 0.0  # for one index; 0: none
    build_threads: int | None = None  # None: one a core
    delta_limit: int = DEFAULT_DELTA_LIMIT  # added spans above which they are merged
    workers: int | None = None  # searches at the same time; None: one a core, and at most that
    queue_limit: int = 256  # searches that may wait; one more is refused
    shadow_rate: float = 0.005  # share of approximate searches that are repeated exactly
    shard_map: Path | None = None  # who serves what, in JSON
    shard: str = ""  # the part of the map that is served here
    # Vectors of questions, kept for those who ask the same again; 0: none are.
    cache_memory_mb: int = 8
    cache_ttl_s: float = 604_800.0
    cache_trajectory_ttl_s: float = 3600.0  # of walks back through previous spans
    cache_redis_url: str = field(default="", repr=False)  # shared by processes; empty: none
    cache_redis_timeout_s: float = 0.1  # for one look; then it is a miss
    cache_disk_path: Path | None = None  # a folder; it outlives the process
    cache_disk_mb: int = 256
    # What seals values in Redis and on disk: the same in all processes that share them. Empty:
    # one that lies beside the store.
    cache_key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        self._check_least()
        if not self.build_budget_s >= 0:
            raise ConfigError("SEARCH_BUILD_BUDGET_S must be >= 0")
        if not 0 <= self.shadow_rate <= 1:
            raise ConfigError(f"SEARCH_SHADOW_RATE must be in [0, 1], got {self.shadow_rate}")
        if self.graph not in LIBRARIES:
            raise ConfigError(f"SEARCH_GRAPH must be one of {LIBRARIES}, got {self.graph!r}")
        if self.index not in INDEXES:
            raise ConfigError(f"SEARCH_INDEX must be one of {INDEXES}, got {self.index!r}")
        if self.index in REMOTE_INDEXES and not self.index_uri:
            raise ConfigError(f"SEARCH_INDEX_URI must be set for SEARCH_INDEX={self.index}")

    def _check_least(self) -> None:
        for name in _AT_LEAST_0:
            if getattr(self, name) < 0:
                raise ConfigError(f"SEARCH_{name.upper()} must be >= 0")
        for name in _ABOVE_0:
            if not getattr(self, name) > 0:
                raise ConfigError(f"SEARCH_{name.upper()} must be > 0")
        for name in ("workers", "build_threads", "cache_disk_mb"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ConfigError(f"SEARCH_{name.upper()} must be >= 1, got {value}")

    @property
    def cache_settings(self) -> CacheSettings:
        """The layers of the cache of vectors."""
        return CacheSettings(
            memory_bytes=self.cache_memory_mb * 2**20,
            redis_url=self.cache_redis_url,
            redis_timeout_s=self.cache_redis_timeout_s,
            disk_path=self.cache_disk_path,
            disk_bytes=self.cache_disk_mb * 2**20,
            secret=self.cache_key,
            secret_path=self.store_path.with_name("cache.key"),
        )

    def workers_of(self, cores: int = os.cpu_count() or 1) -> int:
        """Returns how many searches run at the same time on so many cores."""
        return min(self.workers or cores, cores)

    def build_threads_of(self, cores: int = os.cpu_count() or 1) -> int:
        """Returns how many threads build an index on so many cores."""
        return min(self.build_threads or cores, cores)
