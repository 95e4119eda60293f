"""Rounds of measurements, so that a noisy moment of the machine does not decide."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, Final, NamedTuple

import numpy as np

ROUNDS: Final = 5
Ask = Callable[[int], Awaitable[object]]
Call = Callable[[int], object]


class Took(NamedTuple):
    """What one round took."""

    each_s: list[float]
    all_s: float

    @property
    def per_s(self) -> float:
        """Calls a second, of all clients."""
        return len(self.each_s) / self.all_s


class Spread(NamedTuple):
    """The same figure of several rounds."""

    values: list[float]

    @property
    def median(self) -> float:
        return float(np.median(self.values))


async def asked(ask: Ask, calls: int, clients: int = 1, first: int = 0) -> Took:
    """Awaits `ask` for `calls` numbers from `first` on, by some clients at a time."""
    numbers = iter(range(first, first + calls))  # shared: each number is one client's
    each_s: list[float] = []

    async def client() -> None:
        for number in numbers:
            began_s = time.perf_counter()
            await ask(number)
            each_s.append(time.perf_counter() - began_s)

    began_s = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return Took(each_s, time.perf_counter() - began_s)


def called(call: Call, calls: int, first: int = 0) -> Took:
    """Calls with `calls` numbers from `first` on."""
    each_s = []
    began_s = time.perf_counter()
    for number in range(first, first + calls):
        one_s = time.perf_counter()
        call(number)
        each_s.append(time.perf_counter() - one_s)
    return Took(each_s, time.perf_counter() - began_s)


def ms(each_s: Sequence[float], percentile: float = 50) -> float:
    """Returns a percentile in milliseconds."""
    return float(np.percentile(each_s, percentile)) * 1e3


async def asked_for(ask: Ask, seconds: float, first: int = 0) -> list[float]:
    """Awaits `ask` by one client until the time is over; returns what each call took."""
    each_s: list[float] = []
    end_s = time.perf_counter() + seconds
    for number in count(first):
        began_s = time.perf_counter()
        if began_s >= end_s:
            return each_s
        await ask(number)
        each_s.append(time.perf_counter() - began_s)
    return each_s


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Says on stderr what is being measured and how long it took."""
    began_s = time.perf_counter()
    _say(f"{name} …", end=" ")
    yield
    _say(f"{time.perf_counter() - began_s:.1f} s")


def _say(text: str, **kwargs: Any) -> None:
    import sys

    print(text, file=sys.stderr, flush=True, **kwargs)
