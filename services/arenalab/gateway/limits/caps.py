"""What one key may use.

Windows are fixed: minutes and days of UTC. A budget is accounted for by calendar
days, a window is one number that any count of gateways can share exactly, and its end
can be told to the client to the second. The price: around the turn of a window, up to
two windows' worth can pass within one window's length.
"""

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000


class Unit(StrEnum):
    """What is counted."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    USD_MICROS = "usd_micros"


class Limit(StrEnum):
    """One bound, named as the field of `Caps` that sets it."""

    REQUESTS_PER_MINUTE = "requests_per_minute"
    REQUESTS_PER_DAY = "requests_per_day"
    TOKENS_PER_MINUTE = "tokens_per_minute"
    TOKENS_PER_DAY = "tokens_per_day"
    USD_MICROS_PER_DAY = "usd_micros_per_day"
    USD_MICROS_TOTAL = "usd_micros_total"

    @property
    def unit(self) -> Unit:
        return _UNITS[self]

    @property
    def period_ms(self) -> int | None:
        """Length of its windows; None for one that never ends."""
        return _PERIODS_MS[self]

    def window(self, now_ms: int) -> int:
        """Returns the number of the window at a time, in milliseconds since 1970 UTC."""
        return now_ms // self.period_ms if self.period_ms else 0

    def reset_s(self, now_ms: int) -> float | None:
        """Returns the seconds until the window ends; None when it never does."""
        if self.period_ms is None:
            return None
        return (self.period_ms - now_ms % self.period_ms) / 1000


_UNITS: Final = {
    Limit.REQUESTS_PER_MINUTE: Unit.REQUESTS,
    Limit.REQUESTS_PER_DAY: Unit.REQUESTS,
    Limit.TOKENS_PER_MINUTE: Unit.TOKENS,
    Limit.TOKENS_PER_DAY: Unit.TOKENS,
    Limit.USD_MICROS_PER_DAY: Unit.USD_MICROS,
    Limit.USD_MICROS_TOTAL: Unit.USD_MICROS,
}
_PERIODS_MS: Final = {
    Limit.REQUESTS_PER_MINUTE: MINUTE_MS,
    Limit.REQUESTS_PER_DAY: DAY_MS,
    Limit.TOKENS_PER_MINUTE: MINUTE_MS,
    Limit.TOKENS_PER_DAY: DAY_MS,
    Limit.USD_MICROS_PER_DAY: DAY_MS,
    Limit.USD_MICROS_TOTAL: None,
}
# 2**53 - 1: up to here the numbers of Redis's scripts, which are doubles, are exact.
MAX_CAP: Final = 2**53 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """The most that a key may use, each in [1, 2**53). None sets no limit."""

    requests_per_minute: int | None = None
    requests_per_day: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    usd_micros_per_day: int | None = None
    usd_micros_total: int | None = None

    def of(self, limit: Limit) -> int | None:
        """Returns one of them."""
        cap: int | None = getattr(self, limit.value)
        return cap

    def set_for(self, *units: Unit) -> bool:
        """Returns whether there is a limit on any of these units."""
        return any(self.of(limit) is not None for limit in Limit if limit.unit in units)

    def or_else(self, other: "Caps") -> "Caps":
        """Returns these caps, with those of `other` where there is none."""
        merged = {}
        for one in fields(self):
            own = getattr(self, one.name)
            merged[one.name] = getattr(other, one.name) if own is None else own
        return Caps(**merged)
