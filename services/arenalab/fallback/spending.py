"""What providers may cost a day: money is set aside before a call, and settled after it.

reserve   what the call is expected to cost is set aside, if the day's caps allow it
settle    what it did cost takes the place of that

So calls at work count before they are billed, and many at once pass no cap as long as
none costs more than was set aside for it. A day is a day of UTC, and a call belongs to
the day on which it was let through. Pure: the day is an argument.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

TOTAL: Final = ""  # the cap of all providers together


class CapReachedError(Exception):
    """A cap has no room for what a call is expected to cost."""

    def __init__(self, name: str, cap_usd_micros: int) -> None:
        super().__init__(name)
        self.name = name  # of the provider; TOTAL: of all
        self.cap_usd_micros = cap_usd_micros


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money set aside for one call."""

    day: str  # "2026-11-28"
    provider: str
    usd_micros: int


class Spending:
    """One day's spending by provider, and what is set aside for the calls at work."""

    def __init__(
        self, caps: Mapping[str, int], day: str = "", spent: Mapping[str, int] | None = None
    ) -> None:
        """Takes up a day where it was left.

        Args:
            caps: Millionths of a US dollar a day, by provider; TOTAL's is all providers'.
                A name without one has no cap; a cap of 0 lets only calls through that
                are expected to cost nothing.
            day: Whose spending `spent` is.
            spent: Millionths of a US dollar, by provider.
        """
        self.caps = dict(caps)
        self._day = day
        self._spent = dict(spent or {})
        self._reserved: dict[str, int] = {}

    def reserve(self, day: str, provider: str, usd_micros: int) -> Reservation:
        """Sets money aside.

        Raises:
            CapReachedError: A cap has no room for it; nothing was set aside.
        """
        self._turn_to(day)
        for name in (provider, TOTAL):
            cap = self.caps.get(name)
            if cap is not None and self._bound(name) + usd_micros > cap:
                raise CapReachedError(name, cap)
        self._reserved[provider] = self._reserved.get(provider, 0) + usd_micros
        return Reservation(self._day, provider, usd_micros)

    def settle(self, reservation: Reservation, usd_micros: int) -> None:
        """Puts what a call did cost in the place of what was set aside for it."""
        if reservation.day != self._day:  # a day that is over
            return
        name = reservation.provider
        self._reserved[name] = self._reserved.get(name, 0) - reservation.usd_micros
        self._spent[name] = self._spent.get(name, 0) + usd_micros

    def of(self, day: str, provider: str) -> int:
        """Returns a provider's spending of the day, with what is set aside."""
        self._turn_to(day)
        return self._bound(provider)

    def is_capped(self, provider: str) -> bool:
        """Returns whether a cap bounds this provider's calls."""
        return provider in self.caps or TOTAL in self.caps

    def snapshot(self) -> tuple[str, dict[str, int]]:
        """Returns the day, and by provider what has been spent or is set aside.

        Taken up again after a crash, it counts the calls that were at work as if they had
        cost what was expected: too much rather than too little.
        """
        names = {*self._spent, *self._reserved}
        return self._day, {name: self._bound(name) for name in sorted(names)}

    def _bound(self, name: str) -> int:
        if name == TOTAL:
            return sum(self._spent.values()) + sum(self._reserved.values())
        return self._spent.get(name, 0) + self._reserved.get(name, 0)

    def _turn_to(self, day: str) -> None:
        # Not back: a clock that is set back must not give the day's money out again.
        if day > self._day:
            self._day = day
            self._spent = {}
            self._reserved = {}
