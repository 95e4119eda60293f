"""Limits in Redis: several gateways share them exactly."""

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from arenalab.gateway.limits.caps import Limit, Unit
from arenalab.gateway.limits.limiter import (
    IDLE_MS,
    Account,
    Demand,
    Entry,
    LimitReachedError,
    LimitsUnavailableError,
    Reading,
    Reservation,
    actual,
    floor_of,
    new_name,
)
from arenalab.gateway.limits.scripts import RESERVE, SETTLE
from arenalab.mesh import ConfigError

if TYPE_CHECKING:
    from redis.asyncio import Redis

_logger = logging.getLogger(__name__)

_LIMITS: Final = tuple(Limit)
_NUMBERS: Final = {limit: number for number, limit in enumerate(_LIMITS)}
_PREFIX: Final = "arenalab:limits"
# Settlements that Redis could not be told, while it was away. Beyond so many the oldest
# are dropped: their reservations run out by themselves.
_MAX_UNTOLD: Final = 10_000
_MAX_CONNECTIONS: Final = 16


class SharedLimiter:
    """Counts in Redis, by scripts that run whole or not at all.

    No call is tried again: one whose answer was lost may have counted. A reservation
    that nobody knows of runs out; a request that was counted twice would not.
    """

    def __init__(
        self, redis: "Redis", hold_s: float, now: Callable[[], float] | None = None
    ) -> None:
        """Wraps a client.

        Args:
            redis: Closed with this limiter.
            hold_s: A reservation that is not settled runs out after so long.
            now: Unix time in seconds; None takes the server's, which all share.
        """
        self._redis = redis
        self._hold_ms = int(hold_s * 1000)
        self._now = now
        self._reserve = redis.register_script(RESERVE)
        self._settle = redis.register_script(SETTLE)
        self._untold: deque[tuple[list[str], list[Any]]] = deque(maxlen=_MAX_UNTOLD)

    async def reserve(self, account: Account, demand: Demand) -> Reservation:
        limits = [
            limit
            for limit in _LIMITS
            if account.caps.of(limit) is not None and demand.of(limit.unit)
        ]
        name = new_name()
        if not limits:
            return Reservation(
                key=account.key,
                name=name,
                entries=(),
                usd_micros=demand.usd_micros,
                readings=(),
            )
        await self._tell_untold()
        clock = "" if self._now is None else str(int(self._now() * 1000))
        head = [clock, name, self._hold_ms, IDLE_MS, account.spent.day]
        body = [value for limit in limits for value in _arguments(account, demand, limit)]
        reply = await self._run(self._reserve, _keys(account.key), [*head, *body])
        return _reservation(account, demand, name, limits, reply)

    async def settle(
        self, reservation: Reservation, *, tokens: int = 0, usd_micros: int = 0
    ) -> None:
        if not reservation.entries:
            return
        arguments: list[Any] = [_member(reservation), 0]
        for entry in reservation.entries:
            used = actual(entry.limit, tokens=tokens, usd_micros=usd_micros)
            arguments += [_NUMBERS[entry.limit], entry.window, entry.amount, used]
        self._untold.append((_keys(reservation.key), arguments))
        try:
            await self._tell_untold()
        except LimitsUnavailableError as error:
            _logger.warning("a settlement waits for Redis: %s", error)

    async def aclose(self) -> None:
        await self._redis.aclose()

    async def _tell_untold(self) -> None:
        while self._untold:
            keys, arguments = self._untold.popleft()
            try:
                await self._run(self._settle, keys, arguments)
            except BaseException:
                arguments[1] = 1  # it may have been counted, and only the answer lost
                self._untold.appendleft((keys, arguments))
                raise

    async def _run(self, script: Any, keys: list[str], arguments: list[Any]) -> Any:
        from redis.exceptions import RedisError

        try:
            return await script(keys=keys, args=arguments)
        except (RedisError, OSError) as error:
            # Its message may have the URL, and that a password.
            raise LimitsUnavailableError(f"Redis: {type(error).__name__}") from error


def connect_redis(url: str, timeout_s: float) -> "Redis":
    """Returns a client that tries nothing twice.

    Raises:
        ConfigError: The URL is malformed, or the redis package is not installed.
    """
    try:
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError as error:
        raise ConfigError("limits in Redis need the extra arenalab[redis]") from error
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            # A script takes tens of microseconds: a few connections serve every request,
            # and a crowd waits for one instead of failing for want of it.
            max_connections=_MAX_CONNECTIONS,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        return Redis.from_pool(pool)
    except ValueError:
        raise ConfigError("GATEWAY_REDIS_URL must be redis://HOST:PORT/NUMBER or alike") from None


def _keys(key: str) -> list[str]:
    return [f"{_PREFIX}:{{{key}}}:used", f"{_PREFIX}:{{{key}}}:held"]


def _arguments(account: Account, demand: Demand, limit: Limit) -> list[Any]:
    # The floor is the day's of `spent`: the script compares that with its own clock.
    window = account.spent.day if limit.period_ms else 0
    return [
        _NUMBERS[limit],
        account.caps.of(limit),
        demand.of(limit.unit),
        floor_of(account.spent, limit, window),
        limit.period_ms or 0,
        int(limit.unit is Unit.USD_MICROS),
    ]


def _reservation(
    account: Account, demand: Demand, name: str, limits: list[Limit], reply: list[int]
) -> Reservation:
    is_granted, grant, now_ms, refused = reply[:4]
    if not is_granted:
        limit = _LIMITS[refused]
        asked = 1 if limit.unit is Unit.USD_MICROS else demand.of(limit.unit)
        raise LimitReachedError(_reading(account, limit, reply[5], now_ms), asked)
    entries, readings = [], []
    for at, limit in enumerate(limits):
        window, used = reply[4 + 2 * at : 6 + 2 * at]
        readings.append(_reading(account, limit, used, now_ms))
        if limit.unit is not Unit.REQUESTS:
            is_money = limit.unit is Unit.USD_MICROS
            entries.append(Entry(limit, window, grant if is_money else demand.tokens))
    return Reservation(
        key=account.key,
        name=name,
        entries=tuple(entries),
        usd_micros=grant if account.caps.set_for(Unit.USD_MICROS) else demand.usd_micros,
        readings=tuple(readings),
    )


def _reading(account: Account, limit: Limit, used: int, now_ms: int) -> Reading:
    cap = account.caps.of(limit)
    assert cap is not None  # noqa: S101 - only such limits are asked about
    return Reading(limit=limit, cap=cap, used=used, reset_s=limit.reset_s(now_ms))


def _member(reservation: Reservation) -> str:
    parts = ",".join(f"{_NUMBERS[e.limit]}:{e.window}:{e.amount}" for e in reservation.entries)
    return f"{reservation.name}|{parts}"
