"""Limits in the memory of one process: exact for it, unknown to others."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from arenalab.gateway.limits.caps import Limit, Unit
from arenalab.gateway.limits.limiter import (
    Account,
    Demand,
    Entry,
    LimitReachedError,
    Reading,
    Reservation,
    actual,
    floor_of,
    new_name,
)


@dataclass(slots=True)
class _Counter:
    window: int
    used: int


@dataclass(slots=True)
class _Book:
    """The counters of one key."""

    counters: dict[Limit, _Counter] = field(default_factory=dict)
    held: dict[str, tuple[Entry, ...]] = field(default_factory=dict)
    runs_out: list[tuple[int, str]] = field(default_factory=list)  # a heap by time


class LocalLimiter:
    """Counts in memory. No method awaits, which makes each atomic on its event loop.

    It keeps a few numbers for each key that ever called; keys are few.
    """

    def __init__(self, now: Callable[[], float], hold_s: float) -> None:
        """Starts with nothing counted.

        Args:
            now: Unix time in seconds.
            hold_s: A reservation that is not settled runs out after so long.
        """
        self._now = now
        self._hold_ms = int(hold_s * 1000)
        self._books: dict[str, _Book] = {}

    async def reserve(self, account: Account, demand: Demand) -> Reservation:
        now_ms = int(self._now() * 1000)
        book = self._books.setdefault(account.key, _Book())
        _release(book, now_ms)
        grant = demand.usd_micros
        counted: list[tuple[Limit, int, _Counter]] = []
        for limit in Limit:
            cap, asked = account.caps.of(limit), demand.of(limit.unit)
            if cap is None or not asked:
                continue
            counter = _counter(book, account, limit, now_ms)
            if limit.unit is Unit.USD_MICROS:
                grant = min(grant, cap - counter.used)
                asked = 1
            if counter.used + asked > cap:
                raise LimitReachedError(_reading(limit, cap, counter, now_ms), asked)
            counted.append((limit, cap, counter))
        entries = []
        for limit, _, counter in counted:
            amount = grant if limit.unit is Unit.USD_MICROS else demand.of(limit.unit)
            counter.used += amount
            if limit.unit is not Unit.REQUESTS:
                entries.append(Entry(limit, counter.window, amount))
        name = new_name()
        if entries:
            book.held[name] = tuple(entries)
            heapq.heappush(book.runs_out, (now_ms + self._hold_ms, name))
        return Reservation(
            key=account.key,
            name=name,
            entries=tuple(entries),
            usd_micros=grant,
            readings=tuple(_reading(limit, cap, c, now_ms) for limit, cap, c in counted),
        )

    async def settle(
        self, reservation: Reservation, *, tokens: int = 0, usd_micros: int = 0
    ) -> None:
        book = self._books.get(reservation.key)
        if book is None:
            return
        is_held = book.held.pop(reservation.name, None) is not None
        for entry in reservation.entries:
            used = actual(entry.limit, tokens=tokens, usd_micros=usd_micros)
            _add(book, entry, used - (entry.amount if is_held else 0))

    async def aclose(self) -> None:
        return


def _counter(book: _Book, account: Account, limit: Limit, now_ms: int) -> _Counter:
    window = limit.window(now_ms)
    counter = book.counters.get(limit)
    if counter is None or counter.window != window:
        counter = _Counter(window, floor_of(account.spent, limit, window))
        book.counters[limit] = counter
    return counter


def _release(book: _Book, now_ms: int) -> None:
    while book.runs_out and book.runs_out[0][0] <= now_ms:
        _, name = heapq.heappop(book.runs_out)
        for entry in book.held.pop(name, ()):
            _add(book, entry, -entry.amount)


def _add(book: _Book, entry: Entry, amount: int) -> None:
    counter = book.counters.get(entry.limit)
    if counter is not None and counter.window == entry.window:
        counter.used += amount


def _reading(limit: Limit, cap: int, counter: _Counter, now_ms: int) -> Reading:
    return Reading(limit=limit, cap=cap, used=counter.used, reset_s=limit.reset_s(now_ms))
