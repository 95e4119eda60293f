from contextlib import suppress

import pytest

from arenalab.gateway.errors import ApiError
from arenalab.gateway.limits.admission import Admission
from arenalab.gateway.limits.caps import DAY_MS, Caps, Limit, Unit
from arenalab.gateway.limits.headers import duration_text, limit_headers, reached
from arenalab.gateway.limits.limiter import LimitReachedError, Reading


def _reading(limit: Limit, cap: int, used: int, reset_s: float | None = 30.5) -> Reading:
    return Reading(limit=limit, cap=cap, used=used, reset_s=reset_s)


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


def test_windows_are_minutes_and_days_of_utc() -> None:
    now_ms = 2 * DAY_MS + 61_500
    assert Limit.REQUESTS_PER_MINUTE.window(now_ms) == 2 * 24 * 60 + 1
    assert Limit.REQUESTS_PER_MINUTE.reset_s(now_ms) == 58.5
    assert Limit.USD_MICROS_PER_DAY.window(now_ms) == 2
    assert Limit.USD_MICROS_PER_DAY.reset_s(now_ms) == 86_400 - 61.5
    assert Limit.USD_MICROS_TOTAL.window(now_ms) == 0
    assert Limit.USD_MICROS_TOTAL.reset_s(now_ms) is None


def test_a_key_has_its_own_limits_before_those_of_all() -> None:
    merged = Caps(requests_per_minute=5).or_else(Caps(requests_per_minute=9, tokens_per_day=7))
    assert merged == Caps(requests_per_minute=5, tokens_per_day=7)
    assert merged.set_for(Unit.TOKENS)
    assert not merged.set_for(Unit.USD_MICROS)


def test_headers_tell_the_limit_with_least_left() -> None:
    readings = [
        _reading(Limit.REQUESTS_PER_MINUTE, 10, 3),
        _reading(Limit.REQUESTS_PER_DAY, 100, 99, 7200.0),
        _reading(Limit.TOKENS_PER_MINUTE, 1000, 1200, 0.5),
        _reading(Limit.USD_MICROS_TOTAL, 5, 5, None),
    ]
    assert dict(limit_headers(readings)) == {
        "x-ratelimit-limit-requests": "100",
        "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-reset-requests": "120m0s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "500ms",
    }


def _told(reading: Reading, asked: int) -> tuple[ApiError, dict[str, str]]:
    error = reached(LimitReachedError(reading, asked))
    assert error.status == 429
    return error, dict(error.headers)


def test_a_limit_of_the_minute_is_worth_waiting_for() -> None:
    error, headers = _told(_reading(Limit.TOKENS_PER_MINUTE, 100, 90), 20)
    assert error.code == "rate_limit_exceeded"
    assert headers["retry-after"] == "31"
    assert headers["retry-after-ms"] == "30500"
    assert "x-should-retry" not in headers
    assert headers["x-ratelimit-remaining-tokens"] == "10"


def test_a_limit_of_the_day_is_not() -> None:
    _, headers = _told(_reading(Limit.REQUESTS_PER_DAY, 100, 100, 40_000.0), 1)
    assert headers["retry-after"] == "40000"
    assert headers["x-should-retry"] == "false"


def test_a_request_that_never_fits_is_told_so() -> None:
    error, headers = _told(_reading(Limit.TOKENS_PER_MINUTE, 100, 0), 101)
    assert "max_completion_tokens" in str(error)
    assert headers["x-should-retry"] == "false"
    assert "retry-after" not in headers


@pytest.mark.parametrize(
    ("limit", "reset_s"), [(Limit.USD_MICROS_PER_DAY, 600.0), (Limit.USD_MICROS_TOTAL, None)]
)
def test_a_spent_budget_is_a_quota(limit: Limit, reset_s: float | None) -> None:
    error, headers = _told(_reading(limit, 2_500_000, 2_500_000, reset_s), 1)
    assert error.code == "insufficient_quota"
    assert "2.5 USD" in str(error)
    assert headers["x-should-retry"] == "false"
    assert ("retry-after" in headers) is (reset_s is not None)
