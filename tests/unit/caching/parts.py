"""Clocks, and layers in memory, for tests of caches."""

from collections.abc import Mapping, Sequence

from arenalab.caching import Entry, LayerStatistics, MemoryLayer
from arenalab.caching.sealing import Seal
from arenalab.caching.tiered import Cache, Shared
from arenalab.mesh import Metrics

TTL_S = 100.0


class Clock:
    """Time that passes when a test says so."""

    def __init__(self, now_s: float = 1_000_000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


class Shelf(MemoryLayer):
    """A shared layer that outlives a cache, and can be out of order."""

    def __init__(self, clock: Clock, max_bytes: int = 1 << 20) -> None:
        super().__init__(max_bytes, statistics("shelf"), clock)
        self.asked: list[list[bytes]] = []
        self.is_broken = False

    async def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        self.asked.append(list(keys))
        return {} if self.is_broken else await super().get_many(keys)

    async def set_many(self, entries: Mapping[bytes, Entry]) -> None:
        if not self.is_broken:
            await super().set_many(entries)

    async def close(self) -> None:
        """Keeps what it has: the cache above it ended."""


def statistics(layer: str, metrics: Metrics | None = None) -> LayerStatistics:
    return LayerStatistics(metrics or Metrics(), "test", layer)


def cache_over(
    *shelves: Shelf, clock: Clock, max_bytes: int = 1 << 20, secret: bytes = b"secret"
) -> Cache:
    counts = statistics("memory")
    return Cache(
        MemoryLayer(max_bytes, counts, clock),
        counts,
        [Shared(one, statistics(f"shelf {number}")) for number, one in enumerate(shelves)],
        Seal(secret),
        ttl_s=TTL_S,
        now=clock,
    )
