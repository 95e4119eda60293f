import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from arenalab.fallback.spending import TOTAL, CapReachedError, Reservation, Spending

DAY, NEXT = "2026-11-28", "2026-11-29"
CAPS = {"a": 50, TOTAL: 80}


def test_what_is_set_aside_counts_until_it_is_settled() -> None:
    spending = Spending({"a": 10})
    reservation = spending.reserve(DAY, "a", 8)
    with pytest.raises(CapReachedError) as caught:
        spending.reserve(DAY, "a", 3)
    assert (caught.value.name, caught.value.cap_usd_micros) == ("a", 10)
    spending.settle(reservation, 2)
    assert spending.of(DAY, "a") == 2
    spending.reserve(DAY, "a", 8)


def test_a_cap_of_all_providers_bounds_each() -> None:
    spending = Spending({TOTAL: 10})
    spending.reserve(DAY, "a", 6)
    with pytest.raises(CapReachedError) as caught:
        spending.reserve(DAY, "b", 5)
    assert caught.value.name == TOTAL
    assert spending.is_capped("b")


def test_without_a_cap_money_is_only_counted() -> None:
    spending = Spending({})
    spending.settle(spending.reserve(DAY, "a", 10**12), 5)
    assert spending.of(DAY, "a") == 5
    assert not spending.is_capped("a")


def test_a_cap_of_nothing_lets_free_calls_through() -> None:
    spending = Spending({"a": 0})
    spending.reserve(DAY, "a", 0)
    with pytest.raises(CapReachedError):
        spending.reserve(DAY, "a", 1)


def test_a_day_begins_at_nothing_and_a_call_belongs_to_its_own() -> None:
    spending = Spending({"a": 10})
    late = spending.reserve(DAY, "a", 10)
    assert spending.of(NEXT, "a") == 0
    spending.reserve(NEXT, "a", 10)
    spending.settle(late, 10)
    assert spending.of(NEXT, "a") == 10


def test_a_clock_that_is_set_back_gives_no_money_out_again() -> None:
    spending = Spending({"a": 10})
    spending.reserve(NEXT, "a", 10)
    with pytest.raises(CapReachedError):
        spending.reserve(DAY, "a", 1)


@given(st.lists(st.integers(0, 40), max_size=8))
def test_taken_up_again_it_is_never_below_what_was_settled(costs: list[int]) -> None:
    before = Spending({})
    at_work = [before.reserve(DAY, "a", 40) for _ in costs]
    day, spent = before.snapshot()
    for reservation, cost in zip(at_work, costs, strict=True):
        before.settle(reservation, cost)
    after = Spending(CAPS, day, spent)
    assert after.of(DAY, "a") >= before.of(DAY, "a") == sum(costs)


class SpendingMachine(RuleBasedStateMachine):
    """Calls come and go, none dearer than foretold: no cap is passed, whatever the order."""

    def __init__(self) -> None:
        super().__init__()
        self.spending = Spending(CAPS)
        self.at_work: list[Reservation] = []
        self.spent = {"a": 0, "b": 0}

    @rule(provider=st.sampled_from(["a", "b"]), usd_micros=st.integers(0, 60))
    def call(self, provider: str, usd_micros: int) -> None:
        held = {name: self.spent[name] + self._reserved(name) for name in self.spent}
        fits = (
            held[provider] + usd_micros <= CAPS.get(provider, 10**9)
            and sum(held.values()) + usd_micros <= CAPS[TOTAL]
        )
        try:
            self.at_work.append(self.spending.reserve(DAY, provider, usd_micros))
        except CapReachedError:
            assert not fits
        else:
            assert fits

    @precondition(lambda self: self.at_work)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        reservation = self.at_work.pop(data.draw(st.integers(0, len(self.at_work) - 1)))
        cost = data.draw(st.integers(0, reservation.usd_micros))
        self.spending.settle(reservation, cost)
        self.spent[reservation.provider] += cost

    @rule()
    def crash(self) -> None:
        day, spent = self.spending.snapshot()
        for reservation in self.at_work:  # counted as if they had cost what was expected
            self.spent[reservation.provider] += reservation.usd_micros
        self.at_work = []
        self.spending = Spending(CAPS, day, spent)

    @invariant()
    def no_cap_is_passed(self) -> None:
        assert self.spent["a"] <= CAPS["a"]
        assert sum(self.spent.values()) <= CAPS[TOTAL]
        for name, spent in self.spent.items():
            assert self.spending.of(DAY, name) == spent + self._reserved(name)

    def _reserved(self, name: str) -> int:
        return sum(r.usd_micros for r in self.at_work if r.provider == name)


TestSpendingMachine = SpendingMachine.TestCase
TestSpendingMachine.settings = settings(max_examples=40, stateful_step_count=30)
