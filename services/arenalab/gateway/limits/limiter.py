"""Reserve, then settle: how a key's limits hold while requests run side by side.

A request reserves the most that it may use before any work is done for it, and settles
for what it used. What is settled and what is reserved together never pass a cap, so
however many requests come at once, none begins that would not fit. Only an answer that
uses more than was reserved for it passes a cap, by that difference; it is counted, and
the next requests wait for it.
"""

import uuid
from dataclasses import dataclass
from typing import Final, Protocol

from arenalab.gateway.limits.caps import DAY_MS, Caps, Limit, Unit
from arenalab.gateway.limits.usage import NOTHING, Spent

# Of counters that nobody touched, in Redis: longer than any window, and the store
# remembers what outlives a window.
IDLE_MS: Final = 2 * DAY_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The most that one request may use."""

    requests: int = 0  # counted at once, for good
    tokens: int = 0
    # Less is granted when less is left, but at least one: the grant bounds the cost.
    usd_micros: int = 0

    def of(self, unit: Unit) -> int:
        """Returns the amount of one unit."""
        amount: int = getattr(self, unit.value)
        return amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whose limits a request is counted under."""

    key: str
    caps: Caps
    spent: Spent = NOTHING  # before its counters began


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one limit says."""

    limit: Limit
    cap: int
    used: int  # settled and reserved
    reset_s: float | None  # until its window ends; None: never

    @property
    def remaining(self) -> int:
        return max(0, self.cap - self.used)


@dataclass(frozen=True, slots=True)
class Entry:
    """What a reservation holds of one limit's window."""

    limit: Limit
    window: int
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What a request may use, until it is settled or runs out."""

    key: str
    name: str
    entries: tuple[Entry, ...]  # empty: nothing to settle
    usd_micros: int  # granted; 0 where no money was asked for
    readings: tuple[Reading, ...]  # of the limits that it was counted under


class LimitReachedError(Exception):
    """A limit has no room for a request. Nothing was counted."""

    def __init__(self, reading: Reading, asked: int) -> None:
        super().__init__(f"{reading.limit}: {reading.used} of {reading.cap}, asked {asked}")
        self.reading = reading
        self.asked = asked


class LimitsUnavailableError(Exception):
    """The counters cannot be reached."""


class Limiter(Protocol):
    """Counts. All methods are atomic; several clients may call at once."""

    async def reserve(self, account: Account, demand: Demand) -> Reservation:
        """Reserves what a request may use.

        Raises:
            LimitReachedError: A limit has no room for it.
            LimitsUnavailableError: The counters cannot be reached.
        """
        ...

    async def settle(
        self, reservation: Reservation, *, tokens: int = 0, usd_micros: int = 0
    ) -> None:
        """Replaces a reservation by what was used: nothing cancels it.

        Once it has run out, what was used is counted all the same. Never raises: counters
        that cannot be reached are told later.
        """
        ...

    async def aclose(self) -> None:
        """Ends every connection."""
        ...


def new_name() -> str:
    """Returns a name for a reservation."""
    return uuid.uuid4().hex


def floor_of(spent: Spent, limit: Limit, window: int) -> int:
    """Returns what a counter of a limit starts from in a window."""
    if limit is Limit.USD_MICROS_TOTAL:
        return spent.usd_micros_total
    if limit.period_ms != DAY_MS or window != spent.day:
        return 0
    used: int = getattr(spent, limit.unit.value)
    return used


def actual(limit: Limit, *, tokens: int, usd_micros: int) -> int:
    """Returns what a settlement counts under a limit."""
    return tokens if limit.unit is Unit.TOKENS else usd_micros
