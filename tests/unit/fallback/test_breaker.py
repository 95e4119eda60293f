import math

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from arenalab.fallback.breaker import Breaker, State, Ticket

FAILURES = 3
PAUSE_S = 5.0
MAX_PAUSE_S = 17.0


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def breaker_with_clock() -> tuple[Breaker, Clock]:
    clock = Clock()
    return Breaker(failures=FAILURES, pause_s=PAUSE_S, max_pause_s=MAX_PAUSE_S, now=clock), clock


def admitted(breaker: Breaker) -> Ticket:
    ticket = breaker.admit()
    assert ticket is not None
    return ticket


def opened() -> tuple[Breaker, Clock]:
    breaker, clock = breaker_with_clock()
    for _ in range(FAILURES):
        breaker.failed(admitted(breaker))
    return breaker, clock


def test_it_opens_after_failures_in_a_row() -> None:
    breaker, _ = opened()
    assert breaker.state is State.OPEN
    assert breaker.admit() is None


def test_one_success_forgives_the_failures_before_it() -> None:
    breaker, _ = breaker_with_clock()
    for _ in range(5):
        for _ in range(FAILURES - 1):
            breaker.failed(admitted(breaker))
        breaker.succeeded(admitted(breaker))
    assert breaker.state is State.CLOSED


def test_after_the_pause_exactly_one_trial_passes() -> None:
    breaker, clock = opened()
    clock.now_s += PAUSE_S
    assert breaker.state is State.HALF_OPEN
    assert breaker.admit() is not None
    assert breaker.admit() is None


def test_a_trial_that_succeeds_closes_it() -> None:
    breaker, clock = opened()
    clock.now_s += PAUSE_S
    breaker.succeeded(admitted(breaker))
    assert breaker.state is State.CLOSED
    assert breaker.pause_s == 0


def test_a_trial_that_fails_doubles_the_pause_up_to_its_cap() -> None:
    breaker, clock = opened()
    pauses = []
    for _ in range(4):
        pauses.append(breaker.pause_s)
        clock.now_s += breaker.pause_s
        breaker.failed(admitted(breaker))
    assert pauses == [5.0, 10.0, 17.0, 17.0]


def test_an_abandoned_trial_makes_room_for_another() -> None:
    breaker, clock = opened()
    clock.now_s += PAUSE_S
    breaker.abandoned(admitted(breaker))
    assert breaker.state is State.HALF_OPEN
    assert breaker.admit() is not None


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "abandoned"])
def test_what_becomes_of_an_older_call_changes_nothing(outcome: str) -> None:
    breaker, clock = breaker_with_clock()
    old = admitted(breaker)
    for _ in range(FAILURES):
        breaker.failed(admitted(breaker))
    clock.now_s += PAUSE_S
    assert breaker.admit() is not None
    getattr(breaker, outcome)(old)
    assert breaker.state is State.HALF_OPEN
    assert breaker.admit() is None


class BreakerMachine(RuleBasedStateMachine):
    """Compares the breaker with the rules of its docstring, told in another way."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker, self.clock = breaker_with_clock()
        self.out: list[Ticket] = []
        self.in_a_row = 0
        self.opened_at = -math.inf
        self.pauses = 0  # that followed each other without a success
        self.current: list[Ticket] = []  # calls let through since the last change

    @property
    def expected(self) -> State:
        if not self.pauses:
            return State.CLOSED
        pause_s = min(PAUSE_S * 2 ** (self.pauses - 1), MAX_PAUSE_S)
        return State.HALF_OPEN if self.clock.now_s - self.opened_at >= pause_s else State.OPEN

    @rule(seconds=st.sampled_from([0.0, 1.0, 4.9, 5.0, 10.0, 17.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now_s += seconds

    @rule()
    def call(self) -> None:
        state = self.expected
        ticket = self.breaker.admit()
        may = state is State.CLOSED or (state is State.HALF_OPEN and not self.current)
        assert (ticket is not None) == may
        if ticket is not None:
            self.out.append(ticket)
            self.current.append(ticket)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), outcome=st.sampled_from(["succeeded", "failed", "abandoned"]))
    def report(self, data: st.DataObject, outcome: str) -> None:
        ticket = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        counts = any(ticket is known for known in self.current)
        self.current = [known for known in self.current if known is not ticket]
        getattr(self.breaker, outcome)(ticket)
        if not counts or outcome == "abandoned":
            return
        if outcome == "succeeded":
            self.in_a_row = 0
            if self.pauses:
                self.pauses = 0
                self.current = []
            return
        self.in_a_row += 1
        if self.pauses or self.in_a_row >= FAILURES:
            self.pauses += 1
            self.opened_at = self.clock.now_s
            self.in_a_row = 0
            self.current = []

    @invariant()
    def is_in_the_state_that_the_rules_say(self) -> None:
        assert self.breaker.state is self.expected


TestBreakerMachine = BreakerMachine.TestCase
