"""The process's own memory: the least recently used goes first, and whatever has expired.

Keys are digests, so that a bound on bytes counts them beside the values.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from cachetools import TLRUCache

from arenalab.caching.layer import Entry
from arenalab.caching.statistics import LayerStatistics

# Of key, entry and the cache's own links, beside the value.
OVERHEAD_BYTES: Final = 400


class MemoryLayer:
    """Bytes by key, bounded by their size. Its methods may be called on any thread."""

    name: Final = "memory"

    def __init__(
        self,
        max_bytes: int,
        statistics: LayerStatistics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Starts empty.

        Args:
            max_bytes: Of values, keys and overhead together; 0 keeps nothing.
            statistics: Counts what it does.
            clock: Seconds that never go back.
        """
        self._statistics = statistics
        self._lock = threading.Lock()
        self._kept = _Kept(max_bytes, clock, statistics)

    @property
    def size_bytes(self) -> int:
        """What it holds now, expired values included until they are met."""
        return int(self._kept.currsize)

    def get(self, key: bytes) -> bytes | None:
        """Returns a value; None for one that is not there or has expired."""
        with self._lock:
            entry = self._kept.get(key)
        return None if entry is None else entry.value

    def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """Keeps a value; one that is larger than the whole bound is left out."""
        if ttl_s <= 0:
            return
        with self._lock:
            try:
                self._kept[key] = Entry(value, ttl_s)
            except ValueError:  # larger than the bound
                self._kept.pop(key, None)
            self._statistics.hold(self._kept.currsize)

    async def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return {key: value for key in keys if (value := self.get(key)) is not None}

    async def set_many(self, entries: Mapping[bytes, Entry]) -> None:
        for key, entry in entries.items():
            self.put(key, entry.value, entry.ttl_s)

    async def delete(self, keys: Sequence[bytes]) -> None:
        with self._lock:
            for key in keys:
                self._kept.pop(key, None)
            self._statistics.hold(self._kept.currsize)

    async def clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self._statistics.hold(0)

    async def recent(self, limit: int) -> list[bytes]:  # noqa: ARG002 - nothing is nearer
        return []

    async def close(self) -> None:
        await self.clear()


class _Kept(TLRUCache[bytes, Entry]):
    """Counts what had to go for others before its time."""

    def __init__(
        self, max_bytes: int, clock: Callable[[], float], statistics: LayerStatistics
    ) -> None:
        super().__init__(
            max_bytes,
            ttu=lambda _key, entry, now: now + entry.ttl_s,
            timer=clock,
            getsizeof=lambda entry: len(entry.value) + OVERHEAD_BYTES,
        )
        self._statistics = statistics

    def popitem(self) -> tuple[bytes, Entry]:
        self._statistics.evicted(1)
        return super().popitem()
