"""What every limiter does: reserve, settle, and never pass a cap."""

import asyncio
from dataclasses import dataclass, replace

import pytest

from arenalab.gateway.limits.caps import DAY_MS, Caps, Limit
from arenalab.gateway.limits.limiter import Account, Demand, LimitReachedError, Reservation
from arenalab.gateway.limits.usage import Spent
from tests.conformance.limits.conftest import HOLD_S, Open

DAY = 20_000
START_S = DAY * DAY_MS / 1000


@dataclass
class Clock:
    now_s: float = START_S

    def __call__(self) -> float:
        return self.now_s


def _used(reservation: Reservation) -> dict[Limit, int]:
    return {reading.limit: reading.used for reading in reservation.readings}


async def test_requests_are_counted_for_good(opened: Open, key: str) -> None:
    [limiter] = await opened(Clock(), 1)
    account = Account(key=key, caps=Caps(requests_per_minute=3, requests_per_day=100))
    for _ in range(2):
        reservation = await limiter.reserve(account, Demand(requests=1))
        await limiter.settle(reservation)
    third = await limiter.reserve(account, Demand(requests=1))
    assert _used(third) == {Limit.REQUESTS_PER_MINUTE: 3, Limit.REQUESTS_PER_DAY: 3}
    with pytest.raises(LimitReachedError) as caught:
        await limiter.reserve(account, Demand(requests=1))
    assert caught.value.reading.limit is Limit.REQUESTS_PER_MINUTE
    assert caught.value.reading.remaining == 0
    assert caught.value.reading.reset_s == 60.0


async def test_what_is_refused_counts_nowhere(opened: Open, key: str) -> None:
    [limiter] = await opened(Clock(), 1)
    account = Account(key=key, caps=Caps(tokens_per_minute=100, tokens_per_day=50))
    with pytest.raises(LimitReachedError) as caught:
        await limiter.reserve(account, Demand(tokens=60))
    assert caught.value.reading.limit is Limit.TOKENS_PER_DAY
    assert caught.value.asked == 60
    fits = await limiter.reserve(account, Demand(tokens=50))
    assert _used(fits) == {Limit.TOKENS_PER_MINUTE: 50, Limit.TOKENS_PER_DAY: 50}


async def test_a_settlement_replaces_the_reservation(opened: Open, key: str) -> None:
    [limiter] = await opened(Clock(), 1)
    account = Account(key=key, caps=Caps(tokens_per_minute=100, usd_micros_total=1000))
    first = await limiter.reserve(account, Demand(tokens=80, usd_micros=700))
    await limiter.settle(first, tokens=30, usd_micros=100)
    second = await limiter.reserve(account, Demand(tokens=1, usd_micros=1))
    assert _used(second) == {Limit.TOKENS_PER_MINUTE: 31, Limit.USD_MICROS_TOTAL: 101}
    await limiter.settle(second)  # cancelled
    third = await limiter.reserve(account, Demand(tokens=1, usd_micros=1))
    assert _used(third) == {Limit.TOKENS_PER_MINUTE: 31, Limit.USD_MICROS_TOTAL: 101}


async def test_more_than_was_reserved_counts_too(opened: Open, key: str) -> None:
    [limiter] = await opened(Clock(), 1)
    account = Account(key=key, caps=Caps(tokens_per_minute=100))
    reservation = await limiter.reserve(account, Demand(tokens=90))
    await limiter.settle(reservation, tokens=130)
    with pytest.raises(LimitReachedError) as caught:
        await limiter.reserve(account, Demand(tokens=1))
    assert caught.value.reading.used == 130
    assert caught.value.reading.remaining == 0


async def test_less_money_is_granted_where_less_is_left(opened: Open, key: str) -> None:
    [limiter] = await opened(Clock(), 1)
    account = Account(key=key, caps=Caps(usd_micros_per_day=500, usd_micros_total=300))
    grants = [(await limiter.reserve(account, Demand(usd_micros=200))).usd_micros for _ in range(2)]
    assert grants == [200, 100]
    with pytest.raises(LimitReachedError) as caught:
        await limiter.reserve(account, Demand(usd_micros=200))
    assert caught.value.reading.limit is Limit.USD_MICROS_TOTAL
    assert caught.value.reading.reset_s is None


async def test_a_new_window_begins_at_nothing(opened: Open, key: str) -> None:
    clock = Clock()
    [limiter] = await opened(clock, 1)
    caps = Caps(tokens_per_minute=10, tokens_per_day=25, usd_micros_total=100)
    account = Account(key=key, caps=caps)
    old = await limiter.reserve(account, Demand(tokens=10, usd_micros=10))
    clock.now_s += 60
    new = await limiter.reserve(account, Demand(tokens=10, usd_micros=10))
    assert _used(new) == {
        Limit.TOKENS_PER_MINUTE: 10,
        Limit.TOKENS_PER_DAY: 20,
        Limit.USD_MICROS_TOTAL: 20,
    }
    # The old reservation is settled in the window that it was made in.
    await limiter.settle(old, tokens=1, usd_micros=1)
    clock.now_s += 60
    last = await limiter.reserve(account, Demand(tokens=4, usd_micros=1))
    assert _used(last) == {
        Limit.TOKENS_PER_MINUTE: 4,
        Limit.TOKENS_PER_DAY: 15,
        Limit.USD_MICROS_TOTAL: 12,
    }


async def test_a_reservation_that_nobody_settles_runs_out(opened: Open, key: str) -> None:
    clock = Clock()
    dead, alive = await opened(clock, 2)
    account = Account(key=key, caps=Caps(usd_micros_total=100))
    lost = await dead.reserve(account, Demand(usd_micros=100))
    clock.now_s += HOLD_S - 0.001
    with pytest.raises(LimitReachedError):
        await alive.reserve(account, Demand(usd_micros=1))
    clock.now_s += 0.001
    next_one = await alive.reserve(account, Demand(usd_micros=10))
    assert _used(next_one) == {Limit.USD_MICROS_TOTAL: 10}
    # It was not dead after all: what it used counts.
    await dead.settle(lost, usd_micros=40)
    after = await alive.reserve(account, Demand(usd_micros=1))
    assert _used(after) == {Limit.USD_MICROS_TOTAL: 51}


async def test_counters_start_from_what_the_store_knows(opened: Open, key: str) -> None:
    clock = Clock()
    [limiter] = await opened(clock, 1)
    account = Account(
        key=key,
        caps=Caps(
            requests_per_minute=100,
            requests_per_day=100,
            tokens_per_day=1000,
            usd_micros_per_day=1000,
            usd_micros_total=1000,
        ),
        spent=Spent(DAY, requests=7, tokens=70, usd_micros=700, usd_micros_total=900),
    )
    first = await limiter.reserve(account, Demand(requests=1, tokens=1, usd_micros=50))
    assert _used(first) == {
        Limit.REQUESTS_PER_MINUTE: 1,
        Limit.REQUESTS_PER_DAY: 8,
        Limit.TOKENS_PER_DAY: 71,
        Limit.USD_MICROS_PER_DAY: 750,
        Limit.USD_MICROS_TOTAL: 950,
    }
    # A counter that is there is not started again, and yesterday's use is not today's.
    clock.now_s += DAY_MS / 1000
    later = replace(account, spent=replace(account.spent, usd_micros_total=999))
    second = await limiter.reserve(later, Demand(requests=1, tokens=1, usd_micros=1))
    assert _used(second) == {
        Limit.REQUESTS_PER_MINUTE: 1,
        Limit.REQUESTS_PER_DAY: 1,
        Limit.TOKENS_PER_DAY: 1,
        Limit.USD_MICROS_PER_DAY: 1,
        Limit.USD_MICROS_TOTAL: 901,
    }


async def test_without_a_limit_nothing_is_counted(opened: Open, key: str) -> None:
    [limiter] = await opened(Clock(), 1)
    demand = Demand(requests=1, tokens=10, usd_micros=20)
    reservation = await limiter.reserve(Account(key=key, caps=Caps()), demand)
    assert reservation.readings == ()
    assert reservation.usd_micros == 20
    await limiter.settle(reservation, tokens=5)


async def test_large_amounts_are_exact(opened: Open, key: str) -> None:
    [limiter] = await opened(Clock(), 1)
    cap = 2**53 - 1
    account = Account(key=key, caps=Caps(usd_micros_total=cap, tokens_per_day=cap))
    await limiter.reserve(account, Demand(tokens=cap - 1, usd_micros=cap - 2))
    last = await limiter.reserve(account, Demand(tokens=1, usd_micros=5))
    assert last.usd_micros == 2
    assert _used(last) == {Limit.TOKENS_PER_DAY: cap, Limit.USD_MICROS_TOTAL: cap}


async def test_requests_side_by_side_never_pass_a_cap(opened: Open, key: str) -> None:
    clients = await opened(Clock(), 4)
    account = Account(
        key=key, caps=Caps(requests_per_minute=90, tokens_per_minute=500, usd_micros_total=777)
    )
    asked = Demand(requests=1, tokens=7, usd_micros=13)
    at_once = [clients[n % 4].reserve(account, asked) for n in range(200)]
    results = await asyncio.gather(*at_once, return_exceptions=True)
    granted = [found for found in results if isinstance(found, Reservation)]
    refused = [found for found in results if isinstance(found, LimitReachedError)]
    assert len(granted) + len(refused) == 200
    # The budget is what is tightest: 59 whole grants of 13, and one of what is left.
    assert sorted(found.usd_micros for found in granted) == [10] + [13] * 59
    halves = [
        clients[n % 4].settle(found, tokens=3, usd_micros=5) for n, found in enumerate(granted)
    ]
    await asyncio.gather(*halves)
    after = await clients[0].reserve(account, Demand(tokens=1, usd_micros=1))
    assert _used(after) == {Limit.TOKENS_PER_MINUTE: 181, Limit.USD_MICROS_TOTAL: 301}
