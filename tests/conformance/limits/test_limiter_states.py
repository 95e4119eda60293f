"""Any history of reservations, settlements and lost ones, against a naive model."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from arenalab.gateway.limits.caps import Caps, Limit, Unit
from arenalab.gateway.limits.limiter import (
    Account,
    Demand,
    Limiter,
    LimitReachedError,
    Reservation,
)
from arenalab.gateway.limits.local import LocalLimiter
from arenalab.gateway.limits.shared import SharedLimiter, connect_redis
from tests.conformance.limits.conftest import HOLD_S

CAPS = Caps(
    requests_per_minute=6,
    requests_per_day=40,
    tokens_per_minute=100,
    tokens_per_day=400,
    usd_micros_per_day=300,
    usd_micros_total=900,
)
_NAMES = count()


@dataclass
class _Amount:
    """What one request counts under one limit's window."""

    limit: Limit
    window: int
    amount: int


@dataclass
class _Model:
    """Every amount there ever was; what is used is their sum, each time anew."""

    settled: list[_Amount] = field(default_factory=list)
    held: dict[str, tuple[float, list[_Amount]]] = field(default_factory=dict)
    excess: int = 0  # beyond what was reserved, or after it ran out

    def used(self, limit: Limit, now_s: float) -> int:
        window = limit.window(int(now_s * 1000))
        alive = [one for end, amounts in self.held.values() if end > now_s for one in amounts]
        return sum(
            one.amount
            for one in (*self.settled, *alive)
            if one.limit is limit and one.window == window
        )


class LimiterStates(RuleBasedStateMachine):
    """One key under six limits."""

    limiter: Callable[["LimiterStates"], Limiter]
    runner: asyncio.Runner

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 20_000 * 86_400.0
        self.made = type(self).limiter(self)
        self.account = Account(key=f"states-{next(_NAMES)}", caps=CAPS)
        self.model = _Model()
        self.open: list[Reservation] = []

    @rule(seconds=st.sampled_from([0.5, 7.0, 31.0, 60.0, HOLD_S, 40_000.0]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(
        requests=st.integers(0, 2),
        tokens=st.integers(0, 60),
        usd_micros=st.integers(0, 150),
    )
    def reserve(self, requests: int, tokens: int, usd_micros: int) -> None:
        demand = Demand(requests=requests, tokens=tokens, usd_micros=usd_micros)
        left = {limit: self._cap(limit) - self.model.used(limit, self.now_s) for limit in Limit}
        money = [left[limit] for limit in Limit if limit.unit is Unit.USD_MICROS]
        grant = min(usd_micros, *money)
        fits = all(
            min(demand.of(limit.unit), 1 if limit.unit is Unit.USD_MICROS else 2**53) <= left[limit]
            for limit in Limit
            if demand.of(limit.unit)
        )
        reserving = self.made.reserve(self.account, demand)
        if not fits:
            with pytest.raises(LimitReachedError) as caught:
                self.runner.run(reserving)
            full = caught.value.reading
            assert full.used == self._cap(full.limit) - left[full.limit]
            return
        reservation = self.runner.run(reserving)
        self._note(reservation, demand, grant if usd_micros else 0)
        for reading in reservation.readings:
            assert reading.used == self.model.used(reading.limit, self.now_s)
            assert reading.used <= reading.cap + self.model.excess

    def _note(self, reservation: Reservation, demand: Demand, grant: int) -> None:
        assert reservation.usd_micros == grant
        held: list[_Amount] = []
        for limit in Limit:
            amount = grant if limit.unit is Unit.USD_MICROS else demand.of(limit.unit)
            if not amount:
                continue
            one = _Amount(limit, limit.window(int(self.now_s * 1000)), amount)
            (self.model.settled if limit.unit is Unit.REQUESTS else held).append(one)
        self.model.held[reservation.name] = (self.now_s + HOLD_S, held)
        self.open.append(reservation)

    @rule(data=st.data(), tokens=st.integers(0, 80), usd_micros=st.integers(0, 160))
    def settle(self, data: st.DataObject, tokens: int, usd_micros: int) -> None:
        if not self.open:
            return
        reservation = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.runner.run(self.made.settle(reservation, tokens=tokens, usd_micros=usd_micros))
        end, held = self.model.held.pop(reservation.name)
        for one in held:
            used = tokens if one.limit.unit is Unit.TOKENS else usd_micros
            reserved = one.amount if end > self.now_s else 0
            self.model.excess += max(0, used - reserved)
            self.model.settled.append(_Amount(one.limit, one.window, used))

    @rule()
    def lose(self) -> None:
        if self.open:
            self.open.pop()  # its gateway died

    def _cap(self, limit: Limit) -> int:
        cap = CAPS.of(limit)
        assert cap is not None
        return cap


def _check(limiter: Callable[[LimiterStates], Limiter], runner: asyncio.Runner, runs: int) -> None:
    machine = type("Machine", (LimiterStates,), {"limiter": limiter, "runner": runner})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=runs,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.slow
def test_any_history_in_process() -> None:
    with asyncio.Runner() as runner:
        _check(lambda states: LocalLimiter(lambda: states.now_s, HOLD_S), runner, 25)


@pytest.mark.slow
def test_any_history_in_redis(redis_url: str) -> None:
    with asyncio.Runner() as runner:
        redis = connect_redis(redis_url, 5.0)
        try:
            _check(lambda states: SharedLimiter(redis, HOLD_S, lambda: states.now_s), runner, 15)
        finally:
            runner.run(redis.aclose())
