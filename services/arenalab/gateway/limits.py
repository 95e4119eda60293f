"""Bounds on what is taken on: requests at work, and requests per key and minute.

A request over a bound is refused before any work is done for it.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from arenalab.gateway.errors import ApiError

# Keys that are remembered; the one unused for longest is forgotten, which gives
# it a full bucket again.
_MAX_BUCKETS: Final = 10_000


class Admission:
    """Bounds how many requests are at work at once."""

    def __init__(self, max_in_flight: int) -> None:
        self._max = max_in_flight
        self.in_flight = 0

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Holds one slot for the length of the block.

        Raises:
            ApiError: 429; every slot is taken.
        """
        if self.in_flight >= self._max:
            raise ApiError(
                429,
                "rate_limit_exceeded",
                f"the gateway is at its limit of {self._max} requests at once; try again soon",
                retry_after_s=1,
            )
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1


@dataclass(frozen=True, slots=True)
class Budget:
    """What a key has left, as the x-ratelimit headers say it."""

    limit: int
    remaining: int
    reset_s: float  # until the bucket is full again

    def headers(self) -> list[tuple[str, str]]:
        """Returns the x-ratelimit headers."""
        return [
            ("x-ratelimit-limit-requests", str(self.limit)),
            ("x-ratelimit-remaining-requests", str(self.remaining)),
            ("x-ratelimit-reset-requests", duration_text(self.reset_s)),
        ]


class RateLimit:
    """A token bucket per key, which holds one minute's requests."""

    def __init__(self, requests_per_minute: int, now: Callable[[], float]) -> None:
        """Starts with every bucket full; `now` is a monotonic clock in seconds."""
        self._limit = requests_per_minute
        self._rate = requests_per_minute / 60.0
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> Budget | None:
        """Takes one request from the bucket of `key`; None when there is no limit.

        Raises:
            ApiError: 429 with Retry-After; the bucket is empty.
        """
        if not self._limit:
            return None
        now = self._now()
        level, then = self._buckets.pop(key, (float(self._limit), now))
        level = min(float(self._limit), level + (now - then) * self._rate)
        taken = level >= 1.0
        self._buckets[key] = (level - taken, now)
        if len(self._buckets) > _MAX_BUCKETS:
            self._buckets.popitem(last=False)
        budget = Budget(self._limit, int(level - taken), (self._limit - level + taken) / self._rate)
        if taken:
            return budget
        raise ApiError(
            429,
            "rate_limit_exceeded",
            f"this key may ask {self._limit} times a minute",
            retry_after_s=(1.0 - level) / self._rate,
            headers=budget.headers(),
        )


def duration_text(seconds: float) -> str:
    """Returns a duration as the OpenAI API writes it: "12ms", "1s", "6m0s"."""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))}ms"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
