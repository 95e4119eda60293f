"""How Predictor is run: read once, at start, from the environment."""

from dataclasses import dataclass, field
from pathlib import Path

from arenalab.caching import CacheSettings
from arenalab.mesh import ConfigError, address_of, ports


@dataclass(frozen=True, kw_only=True)
class PredictorConfig:
    """Settings of one Predictor process. The variable of `x` is `PREDICTOR_X`."""

    address: str = address_of(ports.PREDICTOR)
    home: Path = Path("predictor")  # calibrations by labelled traffic
    datasets_dir: Path = Path("datasets")  # the dataset store, read only
    search_address: str = address_of(ports.SEARCH)
    planner_address: str = address_of(ports.PLANNER)
    creatures_path: Path | None = None  # creatures.toml
    search_timeout_s: float = 5.0
    planner_timeout_s: float = 1.0  # without a plan, search has its own default
    max_calibrating: int = 8  # questions in flight in one Calibrate call
    # What a question costs that a provider answers, for the savings that GetRiskCoverage states:
    # 500 tokens read and 250 written, at 2 and 8 US dollars a million.
    fallback_cost_usd_micros: int = 3_000
    # Age at which a calibration is renewed from audited labels, once there are 50 new ones; 0:
    # only on demand.
    recalibrate_every_s: float = 86_400.0
    # Outputs kept for the same question on the same data; 0, and nothing shared: none is kept.
    cache_memory_mb: int = 32
    cache_ttl_s: float = 1800.0  # of outputs
    cache_trajectory_ttl_s: float = 3600.0  # of the spans that a conversation came from
    cache_redis_url: str = field(default="", repr=False)  # shared by processes; empty: none
    cache_redis_timeout_s: float = 0.1  # for one look; then it is a miss
    cache_disk_path: Path | None = None  # a folder; it outlives the process
    cache_disk_mb: int = 256
    # What seals values in Redis and on disk: the same in all processes that share them. Empty:
    # one that this home keeps.
    cache_key: str = field(default="", repr=False)
    cache_warm_up: int = 1000  # outputs that the start brings from disk into memory, at most

    def __post_init__(self) -> None:
        for name in ("search_timeout_s", "planner_timeout_s"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"PREDICTOR_{name.upper()} must be > 0")
        if self.max_calibrating < 1:
            raise ConfigError("PREDICTOR_MAX_CALIBRATING must be >= 1")
        if self.fallback_cost_usd_micros < 0:
            raise ConfigError("PREDICTOR_FALLBACK_COST_USD_MICROS must be >= 0")
        if not self.recalibrate_every_s >= 0:
            raise ConfigError("PREDICTOR_RECALIBRATE_EVERY_S must be >= 0")
        for name in ("cache_ttl_s", "cache_trajectory_ttl_s", "cache_redis_timeout_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"PREDICTOR_{name.upper()} must be > 0")
        for name, least in (("cache_memory_mb", 0), ("cache_disk_mb", 1), ("cache_warm_up", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"PREDICTOR_{name.upper()} must be >= {least}")

    def cache_settings(self, memory_mb: int) -> CacheSettings:
        """Returns the layers of a cache with so much memory."""
        return CacheSettings(
            memory_bytes=memory_mb * 2**20,
            redis_url=self.cache_redis_url,
            redis_timeout_s=self.cache_redis_timeout_s,
            disk_path=self.cache_disk_path,
            disk_bytes=self.cache_disk_mb * 2**20,
            secret=self.cache_key,
            secret_path=self.home / "cache.key",
        )
