"""Redis, or a server that speaks its protocol: what several processes share.

An answer never waits long for it and never fails by it: each operation has a small time limit,
and after one that fails the server is left alone for a moment, in which nothing is found.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from arenalab.caching.layer import Entry
from arenalab.caching.statistics import LayerStatistics
from arenalab.mesh import ConfigError

if TYPE_CHECKING:
    from redis.asyncio import Redis

_logger = logging.getLogger(__name__)

DEFAULT_TIMEOUT_S: Final = 0.1
PAUSE_S: Final = 1.0
_DELETED_AT_ONCE: Final = 500


class RedisLayer:
    """Bytes by key on a server. Belongs to one event loop."""

    name: Final = "redis"

    def __init__(
        self,
        url: str,
        prefix: str,
        statistics: LayerStatistics,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connects with the first operation.

        Args:
            url: "redis://", "rediss://" or "unix://", as the client reads it.
            prefix: Of every key, so that caches that share a server share no key.
            statistics: Counts its failures.
            timeout_s: For one operation, connecting included.
            clock: Seconds that never go back.

        Raises:
            ConfigError: The extra is not installed, or the URL is none.
        """
        self._client = _client(url, timeout_s)
        self._prefix = prefix.encode()
        self._statistics = statistics
        self._timeout_s = timeout_s
        self._clock = clock
        self._paused_until = 0.0

    async def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        async with self._operation() as is_open:
            if is_open and keys:
                values = await self._client.mget([self._prefix + key for key in keys])
                pairs = zip(keys, values, strict=True)
                found = {key: value for key, value in pairs if isinstance(value, bytes)}
        return found

    async def set_many(self, entries: Mapping[bytes, Entry]) -> None:
        async with self._operation() as is_open:
            if is_open and entries:
                pipeline = self._client.pipeline(transaction=False)
                for key, entry in entries.items():
                    ttl_ms = int(entry.ttl_s * 1e3)
                    if ttl_ms > 0:
                        pipeline.set(self._prefix + key, entry.value, px=ttl_ms)
                await pipeline.execute()

    async def delete(self, keys: Sequence[bytes]) -> None:
        async with self._operation() as is_open:
            if is_open and keys:
                await self._client.unlink(*(self._prefix + key for key in keys))

    async def clear(self) -> None:
        try:
            some: list[bytes] = []
            async for key in self._client.scan_iter(match=_escaped(self._prefix) + b"*", count=500):
                some.append(key)
                if len(some) >= _DELETED_AT_ONCE:
                    await self._client.unlink(*some)
                    some = []
            if some:
                await self._client.unlink(*some)
        except _failures() as error:
            self._failed(error)

    async def recent(self, limit: int) -> list[bytes]:  # noqa: ARG002 - the server cannot say
        return []

    async def close(self) -> None:
        await self._client.aclose()

    @asynccontextmanager
    async def _operation(self) -> AsyncIterator[bool]:
        """Yields whether the server is asked; a failure ends the block quietly."""
        if self._clock() < self._paused_until:
            yield False
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                yield True
        except _failures() as error:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        self._statistics.failed()
        self._paused_until = self._clock() + PAUSE_S
        # Not its text: that may hold the server's address with a password.
        _logger.warning("the cache server fails (%s): not asked for %s s", type(error), PAUSE_S)


def _client(url: str, timeout_s: float) -> "Redis":
    try:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError as error:
        raise ConfigError("a cache in Redis needs the extra redis: arenalab[redis]") from error
    try:
        return Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),  # a miss costs less than a second try
        )
    except ValueError as error:  # not its text: that may hold a password
        raise ConfigError("the cache's Redis URL is none that the client can read") from error


def _failures() -> tuple[type[BaseException], ...]:
    from redis.exceptions import RedisError

    return (RedisError, OSError, TimeoutError)


def _escaped(prefix: bytes) -> bytes:
    """Returns a prefix in which the characters of patterns stand for themselves."""
    return b"".join(
        b"\\" + bytes((one,)) if one in b"*?[]\\^-" else bytes((one,)) for one in prefix
    )
