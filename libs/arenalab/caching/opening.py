"""Caches built from settings."""

import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from arenalab.caching.disk import DiskLayer
from arenalab.caching.memory import MemoryLayer
from arenalab.caching.redis_layer import DEFAULT_TIMEOUT_S, RedisLayer
from arenalab.caching.sealing import Seal
from arenalab.caching.statistics import LayerStatistics
from arenalab.caching.tiered import Cache, Shared
from arenalab.durable import create
from arenalab.mesh import ConfigError, Metrics

_SECRET_BYTES: Final = 32


@dataclass(frozen=True, kw_only=True)
class CacheSettings:
    """Which layers there are. Without `redis_url` and `disk_path` memory is the only one."""

    memory_bytes: int
    redis_url: str = field(default="", repr=False)  # it may hold a password
    redis_timeout_s: float = DEFAULT_TIMEOUT_S
    disk_path: Path | None = None  # a folder
    disk_bytes: int = 256 * 2**20
    # Seals what lies in shared layers; processes that share Redis have the same one.
    secret: str = field(default="", repr=False)
    secret_path: Path | None = None  # where one is made, for an empty `secret`

    def __post_init__(self) -> None:
        if self.memory_bytes < 0:
            raise ConfigError("the cache's memory must be >= 0 bytes")
        if self.disk_bytes < 1:
            raise ConfigError("the cache's disk must be >= 1 byte")
        if not self.redis_timeout_s > 0:
            raise ConfigError("the cache's Redis timeout must be > 0")

    @property
    def is_shared(self) -> bool:
        """Whether there is a layer that others can write to."""
        return bool(self.redis_url) or self.disk_path is not None

    @property
    def is_on(self) -> bool:
        """Whether there is any layer."""
        return self.memory_bytes > 0 or self.is_shared


@asynccontextmanager
async def open_cache(
    name: str,
    settings: CacheSettings,
    metrics: Metrics,
    *,
    ttl_s: float,
    now: Callable[[], float] = time.time,
) -> AsyncGenerator[Cache]:
    """Opens a cache for the length of the `async with` block.

    Args:
        name: What metrics call it; keys of caches with different names are never the same.
        settings: Its layers.
        metrics: Where it is counted.
        ttl_s: How long a value is kept.
        now: Seconds since 1970.

    Raises:
        ConfigError: A layer cannot be had, or the secret not be read or made.
    """
    if not ttl_s > 0:
        raise ConfigError(f"a cache's time to live must be > 0 s, got {ttl_s}")
    counts = LayerStatistics(metrics, name, MemoryLayer.name)
    shared = []
    if settings.redis_url:
        statistics = LayerStatistics(metrics, name, RedisLayer.name)
        layer = RedisLayer(
            settings.redis_url,
            f"arenalab:{name}:",
            statistics,
            timeout_s=settings.redis_timeout_s,
        )
        shared.append(Shared(layer, statistics))
    if settings.disk_path is not None:
        statistics = LayerStatistics(metrics, name, DiskLayer.name)
        path = settings.disk_path / f"{name}.sqlite"
        shared.append(Shared(DiskLayer(path, settings.disk_bytes, statistics, now), statistics))
    cache = Cache(
        MemoryLayer(settings.memory_bytes, counts),
        counts,
        shared,
        Seal(_secret(settings)),
        ttl_s=ttl_s,
        now=now,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(cache.close)
        yield cache


def _secret(settings: CacheSettings) -> bytes:
    """Returns the secret of the settings, of its file, or one that ends with the process."""
    if settings.secret:
        return settings.secret.encode()
    if settings.secret_path is None or not settings.is_shared:
        return os.urandom(_SECRET_BYTES)
    try:
        return _kept_secret(settings.secret_path)
    except OSError as error:
        raise ConfigError(f"the cache's secret {settings.secret_path}: {error.strerror}") from error


def _kept_secret(path: Path) -> bytes:
    if not path.exists():
        create(path, os.urandom(_SECRET_BYTES), mode=0o600)
    secret = path.read_bytes()
    if len(secret) < _SECRET_BYTES:
        raise ConfigError(f"the cache's secret {path} is too short; remove it")
    return secret
