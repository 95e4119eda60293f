"""Keeps the keys in memory the same as in the store, off the path of requests."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from arenalab.gateway.errors import ApiError
from arenalab.gateway.keys.pepper import Pepper
from arenalab.gateway.keys.record import Principal
from arenalab.gateway.keys.ring import KeyRing, Refusal
from arenalab.gateway.limits.caps import DAY_MS
from arenalab.gateway.limits.usage import UsageBook
from arenalab.mesh import MeshError

if TYPE_CHECKING:
    from arenalab.gateway.keys.store import KeyStore

_logger = logging.getLogger(__name__)


class StaticKeys:
    """Keys that never change: those of the settings."""

    def __init__(self, ring: KeyRing, wall_clock: Callable[[], float] = time.time) -> None:
        self.ring = ring
        self._wall_clock = wall_clock

    def find(self, key: str) -> Principal | Refusal:
        """Returns the holder of a key, or why it does not work."""
        return self.ring.find(key, datetime.fromtimestamp(self._wall_clock(), UTC))


class WatchedKeys(StaticKeys):
    """The keys of a store, and those of the settings.

    A change in the store is seen after `poll_s` at most. While the store does not answer,
    the keys that were seen last go on working, but not for longer than `max_age_s`: the
    time within which a revoked key surely works no more.
    """

    def __init__(
        self,
        store: "KeyStore",
        pepper: Pepper,
        usage: UsageBook,
        *,
        clear: Sequence[tuple[bytes, Principal]],
        clear_pepper: Pepper,
        poll_s: float,
        max_age_s: float,
        wall_clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Knows the keys in clear only, until it is first refreshed."""
        super().__init__(KeyRing((), pepper, clear, clear_pepper), wall_clock)
        self._store = store
        self._pepper = pepper
        self._usage = usage
        self._clear = clear
        self._clear_pepper = clear_pepper
        self._poll_s = poll_s
        self._max_age_s = max_age_s
        self._monotonic = monotonic
        self._revision: int | None = None
        self._seen_s = float("-inf")
        self._is_away = False

    def find(self, key: str) -> Principal | Refusal:
        """Returns the holder of a key, or why it does not work.

        Raises:
            ApiError: 503; the store has not answered for too long.
        """
        if self._monotonic() - self._seen_s > self._max_age_s:
            raise ApiError(
                503, "keys_unavailable", "API keys cannot be checked now", retry_after_s=1
            )
        return super().find(key)

    async def refresh(self) -> None:
        """Reads the keys if they changed, and writes what was used.

        Raises:
            NotReadyError: The store does not answer.
        """
        began_s = self._monotonic()
        revision = await asyncio.to_thread(self._store.revision)
        if revision != self._revision:
            # Read after the number: keys that changed in between are read again.
            records = await asyncio.to_thread(self._store.records)
            self.ring = KeyRing(records, self._pepper, self._clear, self._clear_pepper)
            self._revision = revision
        self._seen_s = began_s
        await self._usage.flush(self._store, int(self._wall_clock() * 1000) // DAY_MS)

    @asynccontextmanager
    async def watching(self) -> AsyncGenerator[None]:
        """Refreshes every `poll_s` seconds for the length of the block, and at its end.

        Raises:
            NotReadyError: The store does not answer at first.
        """
        await self.refresh()
        stopping = asyncio.Event()
        task = asyncio.create_task(self._poll(stopping))
        try:
            yield
        finally:
            stopping.set()
            await task
            await self._try_refresh()  # what was used last

    async def _poll(self, stopping: asyncio.Event) -> None:
        while True:
            try:
                await asyncio.wait_for(stopping.wait(), self._poll_s)
            except TimeoutError:
                await self._try_refresh()
            else:
                return

    async def _try_refresh(self) -> None:
        try:
            await self.refresh()
        except MeshError as error:
            if not self._is_away:  # once, not every second
                _logger.warning("the keys may be old: %s", error)
            self._is_away = True
        else:
            self._is_away = False
