from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.gateway.errors import ApiError
from arenalab.gateway.limits import Admission, RateLimit, duration_text


@given(st.integers(1, 120), st.lists(st.floats(0, 30), max_size=200))
def test_no_key_gets_more_than_its_rate(per_minute: int, pauses: list[float]) -> None:
    now = 0.0
    limit = RateLimit(per_minute, lambda: now)
    taken = 0
    for pause in pauses:
        now += pause
        with suppress(ApiError):
            budget = limit.take("k")
            taken += 1
            assert budget is not None
            assert 0 <= budget.remaining < per_minute
    assert taken <= per_minute + now * per_minute / 60 + 1e-6


def test_waiting_as_told_is_enough() -> None:
    now = 0.0
    limit = RateLimit(30, lambda: now)
    for _ in range(30):
        limit.take("k")
    with pytest.raises(ApiError) as caught:
        limit.take("k")
    now += float(dict(caught.value.headers)["retry-after-ms"]) / 1000
    budget = limit.take("k")
    assert budget is not None
    assert dict(budget.headers())["x-ratelimit-reset-requests"] == "1m0s"


def test_keys_do_not_share_a_rate() -> None:
    limit = RateLimit(1, lambda: 0.0)
    assert limit.take("a") is not None
    assert limit.take("b") is not None


def test_without_a_rate_nothing_is_counted() -> None:
    limit = RateLimit(0, lambda: 0.0)
    assert [limit.take("a") for _ in range(5)] == [None] * 5


def test_a_slot_comes_back_even_after_an_error() -> None:
    admission = Admission(1)
    with admission.slot(), pytest.raises(ApiError, match="limit of 1"), admission.slot():
        pass
    with suppress(ZeroDivisionError), admission.slot():
        raise ZeroDivisionError
    assert admission.in_flight == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.012, "12ms"), (0, "0ms"), (1, "1s"), (59.6, "1m0s"), (360, "6m0s"), (3661, "61m1s")],
)
def test_durations_are_written_as_the_api_does(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
