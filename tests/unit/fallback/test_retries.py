from hypothesis import given
from hypothesis import strategies as st

from arenalab.fallback.retries import FLOOR, SHARE, RetryBudget


@given(st.lists(st.booleans(), max_size=300))
def test_retries_never_exceed_a_tenth_of_the_calls_beyond_the_floor(wants: list[bool]) -> None:
    budget = RetryBudget()
    retries = 0
    for calls, wants_retry in enumerate(wants, start=1):
        budget.called()
        retries += wants_retry and budget.take()
        assert retries <= FLOOR + SHARE * calls


def test_a_quiet_service_may_retry_at_once() -> None:
    budget = RetryBudget()
    assert [budget.take() for _ in range(FLOOR + 1)] == [True] * FLOOR + [False]


def test_ten_calls_earn_one_retry() -> None:
    budget = RetryBudget()
    while budget.take():
        pass
    for _ in range(9):
        budget.called()
    assert not budget.take()
    budget.called()
    assert budget.take()


def test_a_long_calm_saves_up_no_more_than_the_floor() -> None:
    budget = RetryBudget()
    for _ in range(1000):
        budget.called()
    assert sum(budget.take() for _ in range(100)) == FLOOR
