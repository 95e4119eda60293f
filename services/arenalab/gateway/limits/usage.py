"""What keys have used, as the key store remembers it.

Counters live in memory or in Redis, and both forget. What was used is therefore also
added to the key store, off the path of requests; a counter that is not there starts
from what the store knows. Without it, a restart would hand out every budget again.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Used:
    """An amount of each unit."""

    requests: int = 0
    tokens: int = 0
    usd_micros: int = 0

    def plus(self, other: "Used") -> "Used":
        """Returns the sum."""
        return Used(
            self.requests + other.requests,
            self.tokens + other.tokens,
            self.usd_micros + other.usd_micros,
        )


@dataclass(frozen=True, slots=True)
class Spent:
    """What one key has used before its counters began."""

    day: int = 0  # since 1970 UTC; the next three are of this day
    requests: int = 0
    tokens: int = 0
    usd_micros: int = 0
    usd_micros_total: int = 0

    def plus(self, day: int, used: Used) -> "Spent":
        """Returns the same with `used`, which was used on `day`, added."""
        total = self.usd_micros_total + used.usd_micros
        if day < self.day:
            return Spent(self.day, self.requests, self.tokens, self.usd_micros, total)
        before = self if day == self.day else Spent()
        return Spent(
            day,
            before.requests + used.requests,
            before.tokens + used.tokens,
            before.usd_micros + used.usd_micros,
            total,
        )


NOTHING = Spent()


class UsageStore(Protocol):
    """Where usage is kept."""

    def add_usage(self, used: Mapping[tuple[str, int], Used]) -> None: ...

    def spent(self, day: int) -> dict[str, Spent]: ...


class UsageBook:
    """What this process adds to the store, and what the store had. Of one event loop."""

    def __init__(self) -> None:
        self._spent: dict[str, Spent] = {}  # of the store
        # By key and day; those that are being written, and those since.
        self._writing: dict[str, dict[int, Used]] = {}
        self._pending: dict[str, dict[int, Used]] = {}

    def add(self, key_id: str, day: int, used: Used) -> None:
        """Notes what a key has used on a day; "" is no key of the store."""
        if key_id:
            days = self._pending.setdefault(key_id, {})
            days[day] = days.get(day, Used()).plus(used)

    def spent(self, key_id: str, day: int) -> Spent:
        """Returns what the key has used, as far as this process knows."""
        known = self._spent.get(key_id, NOTHING)
        for noted in (self._writing, self._pending):
            for when, used in noted.get(key_id, {}).items():
                known = known.plus(when, used)
        return known.plus(day, Used())

    async def flush(self, store: UsageStore, day: int) -> None:
        """Writes what was noted, and reads what all gateways wrote until `day`.

        Raises what the store raises; what was noted is then kept.
        """
        self._writing, self._pending = self._pending, {}
        try:
            spent = await asyncio.to_thread(_write, store, self._writing, day)
        except BaseException:
            failed, self._writing = self._writing, {}
            for key_id, days in failed.items():
                for when, used in days.items():
                    self.add(key_id, when, used)
            raise
        self._spent, self._writing = spent, {}


def _write(
    store: UsageStore, noted: Mapping[str, Mapping[int, Used]], day: int
) -> dict[str, Spent]:
    store.add_usage(
        {(key_id, when): used for key_id, days in noted.items() for when, used in days.items()}
    )
    return store.spent(day)
