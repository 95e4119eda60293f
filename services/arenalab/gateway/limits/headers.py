"""How a client learns of its limits: headers, and the error of one that is reached."""

from collections.abc import Sequence
from typing import Final

from arenalab.gateway.errors import ApiError
from arenalab.gateway.limits.caps import Limit, Unit
from arenalab.gateway.limits.limiter import LimitReachedError, Reading

# The OpenAI SDK waits for as long as it is told, up to two minutes, and for no longer.
_WORTH_WAITING_S: Final = 120.0
_WORDS: Final = {
    Limit.REQUESTS_PER_MINUTE: "requests a minute",
    Limit.REQUESTS_PER_DAY: "requests a day",
    Limit.TOKENS_PER_MINUTE: "tokens a minute",
    Limit.TOKENS_PER_DAY: "tokens a day",
}


def limit_headers(readings: Sequence[Reading]) -> list[tuple[str, str]]:
    """Returns the x-ratelimit headers, of each unit for the limit with least left."""
    headers = []
    for unit in (Unit.REQUESTS, Unit.TOKENS):
        of_unit = [reading for reading in readings if reading.limit.unit is unit]
        if of_unit:
            tightest = min(of_unit, key=lambda reading: reading.remaining)
            headers += [
                (f"x-ratelimit-limit-{unit}", str(tightest.cap)),
                (f"x-ratelimit-remaining-{unit}", str(tightest.remaining)),
                (f"x-ratelimit-reset-{unit}", duration_text(tightest.reset_s or 0.0)),
            ]
    return headers


def reached(error: LimitReachedError) -> ApiError:
    """Returns what a client is told of a limit that has no room for its request."""
    reading = error.reading
    if reading.limit.unit is Unit.USD_MICROS:
        return _budget_spent(reading)
    words = _WORDS[reading.limit]
    headers = limit_headers([reading])
    if error.asked > reading.cap:
        return ApiError(
            429,
            "rate_limit_exceeded",
            f"this request may need {error.asked} tokens, and this key may use {reading.cap} "
            f"{words}: ask for less, or set max_completion_tokens lower",
            should_retry=False,
            headers=headers,
        )
    return ApiError(
        429,
        "rate_limit_exceeded",
        f"this key may use {reading.cap} {words}; {reading.remaining} are left",
        retry_after_s=reading.reset_s,
        should_retry=None if (reading.reset_s or 0.0) <= _WORTH_WAITING_S else False,
        headers=headers,
    )


def _budget_spent(reading: Reading) -> ApiError:
    when = "" if reading.reset_s is None else " of today (UTC)"
    return ApiError(
        429,
        # The code that clients know for money that is spent.
        "insufficient_quota",
        f"this key's budget{when} of {reading.cap / 1e6:g} USD is spent or held by requests "
        "at work",
        retry_after_s=reading.reset_s,
        should_retry=False,
    )


def duration_text(seconds: float) -> str:
    """Returns a duration as the OpenAI API writes it: "12ms", "1s", "6m0s"."""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))}ms"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
