"""A cache of several layers: memory first, then what processes share.

Reading goes from the nearest layer to the farthest, and what a far one has is kept in the nearer
ones for the rest of its time. Writing keeps a value in memory at once and in the shared layers in
the background: nobody waits for them.

A cache never says that something is still true. Its keys hold all that a value depends on, so that
a change makes other keys; what is left of the old ones ends by its time or its turn.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from arenalab.caching.flights import Flights
from arenalab.caching.layer import Entry, Layer
from arenalab.caching.memory import MemoryLayer
from arenalab.caching.sealing import Seal
from arenalab.caching.statistics import LayerStatistics

# Writes to shared layers under way at once; beyond it values stay in memory alone.
_MAX_WRITING: Final = 64


@dataclass(frozen=True, slots=True)
class Hit:
    """A value, and the layer that it came from; None: it was computed."""

    value: bytes
    layer: str | None


@dataclass(frozen=True, slots=True)
class Computed:
    """What a computation came to, and whether it may be kept."""

    value: bytes
    is_kept: bool = True


@dataclass(frozen=True, slots=True)
class Shared:
    """A layer that others can write to, and its counts."""

    layer: Layer
    statistics: LayerStatistics


class Cache:
    """One cache. Belongs to one event loop."""

    def __init__(
        self,
        memory: MemoryLayer,
        memory_statistics: LayerStatistics,
        shared: Sequence[Shared],
        seal: Seal,
        *,
        ttl_s: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Keeps its arguments.

        Args:
            memory: The nearest layer.
            memory_statistics: Counts what is found there.
            shared: The others, the nearest first.
            seal: Seals what is written to them.
            ttl_s: How long a value is kept.
            now: Seconds since 1970: shared layers outlive the process.
        """
        self._memory = memory
        self._memory_statistics = memory_statistics
        self._shared = tuple(shared)
        self._seal = seal
        self._ttl_s = ttl_s
        self._now = now
        self._flights: Flights[Computed] = Flights()
        self._writing: set[asyncio.Task[None]] = set()

    @property
    def near(self) -> MemoryLayer:
        """The memory, for other threads: this cache's own methods belong to its event loop."""
        return self._memory

    async def get(self, key: bytes) -> Hit | None:
        """Returns a value; None where no layer has it."""
        value = self.get_near(key)
        if value is not None:
            return Hit(value, self._memory.name)
        return (await self.get_far([key])).get(key)

    async def get_many(self, keys: Sequence[bytes]) -> dict[bytes, Hit]:
        """Returns the values that some layer has; each layer is asked once."""
        near = {key: value for key in keys if (value := self.get_near(key)) is not None}
        found = {key: Hit(value, self._memory.name) for key, value in near.items()}
        return found | await self.get_far([key for key in keys if key not in near])

    def get_near(self, key: bytes) -> bytes | None:
        """Returns a value that memory has, without waiting."""
        value = self._memory.get(key)
        is_hit = value is not None
        self._memory_statistics.looked(hits=is_hit, misses=not is_hit)
        return value

    async def get_far(self, keys: Sequence[bytes]) -> dict[bytes, Hit]:
        """Returns the values that shared layers have, which memory has from now on."""
        found: dict[bytes, Hit] = {}
        missing = list(keys)
        for number, one in enumerate(self._shared):
            if not missing:
                break
            sealed = await one.layer.get_many(missing)
            opened = self._opened(one, sealed)
            one.statistics.looked(hits=len(opened), misses=len(missing) - len(opened))
            self._fill(number, opened, sealed)
            found |= {key: Hit(entry.value, one.layer.name) for key, entry in opened.items()}
            missing = [key for key in missing if key not in opened]
        return found

    def set(self, key: bytes, value: bytes) -> None:
        """Keeps a value."""
        self.set_many({key: value})

    def set_many(self, values: Mapping[bytes, bytes]) -> None:
        """Keeps values; those of shared layers are written in the background."""
        for key, value in values.items():
            self._memory.put(key, value, self._ttl_s)
        self._share(values)

    def share(self, key: bytes, value: bytes) -> None:
        """Writes a value that memory has to the shared layers, in the background."""
        self._share({key: value})

    async def get_or_compute(
        self, key: bytes, compute: Callable[[], Coroutine[Any, Any, Computed]]
    ) -> Hit:
        """Returns a value, computed where no layer has it: once for all that ask meanwhile.

        Raises:
            Exception: What `compute` raises. It is not kept.
        """
        hit = await self.get(key)
        if hit is not None:
            return hit

        async def computed() -> Computed:
            made = await compute()
            if made.is_kept:
                self.set(key, made.value)
            return made

        made, is_joined = await self._flights.run(key, computed)
        return Hit(made.value, self._memory.name if is_joined else None)

    async def prefetch(self, keys: Sequence[bytes]) -> int:
        """Brings what shared layers have into memory; returns how many keys are there then."""
        return len(await self.get_many(keys))

    async def warm_up(self, limit: int) -> int:
        """Brings what was used lately into memory, of layers that know; returns how much."""
        warmed = 0
        for one in self._shared:
            recent = await one.layer.recent(limit)
            warmed += await self.prefetch(recent[::-1])  # the newest last: it is to stay longest
        return warmed

    async def delete(self, keys: Sequence[bytes]) -> None:
        """Forgets keys in every layer."""
        await self.flush()
        await self._memory.delete(keys)
        for one in self._shared:
            await one.layer.delete(keys)

    async def clear(self) -> None:
        """Forgets everything in every layer; what other processes have in memory stays there."""
        await self.flush()
        await self._memory.clear()
        for one in self._shared:
            await one.layer.clear()

    async def flush(self) -> None:
        """Returns when what was kept is in the shared layers."""
        while self._writing:
            await asyncio.gather(*self._writing)

    async def close(self) -> None:
        """Writes what is left, then closes every layer."""
        await self.flush()
        await self._memory.close()
        for one in self._shared:
            await one.layer.close()

    def _opened(self, one: Shared, sealed: Mapping[bytes, bytes]) -> dict[bytes, Entry]:
        """Returns what was sealed for its key and has time left; the rest is as if not there."""
        now_s = self._now()
        opened: dict[bytes, Entry] = {}
        for key, data in sealed.items():
            value = self._seal.open(key, data)
            if value is None:
                one.statistics.failed()
            elif value[1] > now_s:
                # A clock that is ahead elsewhere must not make a value live longer.
                opened[key] = Entry(value[0], min(value[1] - now_s, self._ttl_s))
        return opened

    def _fill(
        self, number: int, opened: Mapping[bytes, Entry], sealed: Mapping[bytes, bytes]
    ) -> None:
        """Keeps what the layer of a number has in the nearer ones, for the rest of its time."""
        for key, entry in opened.items():
            self._memory.put(key, entry.value, entry.ttl_s)
        nearer = [one.layer for one in self._shared[:number]]
        if nearer and opened and len(self._writing) < _MAX_WRITING:
            self._write(
                nearer, {key: Entry(sealed[key], entry.ttl_s) for key, entry in opened.items()}
            )

    def _share(self, values: Mapping[bytes, bytes]) -> None:
        if not self._shared or not values:
            return
        if len(self._writing) >= _MAX_WRITING:
            for one in self._shared:
                one.statistics.failed()
            return
        expires_at_s = self._now() + self._ttl_s
        sealed = {
            key: Entry(self._seal.close(key, value, expires_at_s), self._ttl_s)
            for key, value in values.items()
        }
        self._write([one.layer for one in self._shared], sealed)

    def _write(self, layers: Sequence[Layer], entries: Mapping[bytes, Entry]) -> None:
        async def write() -> None:
            for layer in layers:
                await layer.set_many(entries)

        task = asyncio.create_task(write())
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
