"""Limits while Redis is away: each gateway counts for itself."""

import logging

from arenalab.gateway.limits.limiter import (
    Account,
    Demand,
    Limiter,
    LimitsUnavailableError,
    Reservation,
)

_logger = logging.getLogger(__name__)


class FallbackLimiter:
    """Counts in the first, and in the second while the first cannot be reached.

    Who chooses this would rather answer than count exactly: while Redis is away, each
    gateway allows the whole of every limit.
    """

    def __init__(self, first: Limiter, second: Limiter) -> None:
        self._first = first
        self._second = second
        self._of_second: set[str] = set()
        self._is_away = False

    async def reserve(self, account: Account, demand: Demand) -> Reservation:
        try:
            reservation = await self._first.reserve(account, demand)
        except LimitsUnavailableError as error:
            self._say(is_away=True, why=str(error))
        else:
            self._say(is_away=False)
            return reservation
        reservation = await self._second.reserve(account, demand)
        if reservation.entries:
            self._of_second.add(reservation.name)
        return reservation

    async def settle(
        self, reservation: Reservation, *, tokens: int = 0, usd_micros: int = 0
    ) -> None:
        is_of_second = reservation.name in self._of_second
        self._of_second.discard(reservation.name)
        counting = self._second if is_of_second else self._first
        await counting.settle(reservation, tokens=tokens, usd_micros=usd_micros)

    async def aclose(self) -> None:
        await self._first.aclose()
        await self._second.aclose()

    def _say(self, *, is_away: bool, why: str = "") -> None:
        if is_away is not self._is_away:
            self._is_away = is_away
            if is_away:
                _logger.warning("limits are counted by each gateway for itself: %s", why)
            else:
                _logger.info("limits are shared again")
