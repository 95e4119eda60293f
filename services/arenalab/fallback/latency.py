"""How long each model of each provider lately took to its first token.

An exponentially weighted mean: what an answer took counts for a fifth, what came before
for the rest. A failure counts as the longest wait. What has not been measured for a while
is not known any more, so that a model which was slow once is tried again; one call at a
time measures it, and the others go where it is known to be fast.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from arenalab.fallback.recent import Recent

SHARE: Final = 0.2  # of the newest measurement
MAX_AGE_S: Final = 600.0
# How long one call's measuring keeps others from it; longer than most first tokens take.
MEASURING_S: Final = 30.0
MAX_MODELS: Final = 1024

Key = tuple[str, str]  # provider, model


@dataclass(slots=True)
class _Seen:
    first_token_s: float | None = None
    measured_at_s: float = -math.inf
    asked_at_s: float = -math.inf


class Latencies:
    """The recent times to the first token; bounded, because callers name models."""

    def __init__(self, *, failure_s: float, now: Callable[[], float]) -> None:
        """Starts with nothing known.

        Args:
            failure_s: What a failure counts as.
            now: Seconds on a clock that never goes back.
        """
        self._failure_s = failure_s
        self._now = now
        self._seen: Recent[Key, _Seen] = Recent(MAX_MODELS, lambda _: _Seen())

    def expected_s(self, provider: str, model: str) -> float:
        """Returns the time to order by: 0 to be measured now, infinity while that happens."""
        seen = self._seen.peek((provider, model)) or _Seen()
        if self._now() - seen.measured_at_s <= MAX_AGE_S and seen.first_token_s is not None:
            return seen.first_token_s
        if self._now() - seen.asked_at_s > MEASURING_S:
            return 0.0
        return math.inf if seen.first_token_s is None else seen.first_token_s

    def last_s(self, provider: str, model: str) -> float:
        """Returns the mean as it stands; 0 before the first answer."""
        seen = self._seen.peek((provider, model))
        return (seen.first_token_s or 0.0) if seen else 0.0

    def asked(self, provider: str, model: str) -> None:
        """Records that a call is under way, which will show how long it takes."""
        self._seen.get((provider, model)).asked_at_s = self._now()

    def answered(self, provider: str, model: str, first_token_s: float) -> None:
        """Records a first token."""
        seen = self._seen.get((provider, model))
        before = seen.first_token_s
        mean = first_token_s if before is None else before + SHARE * (first_token_s - before)
        seen.first_token_s = mean
        seen.measured_at_s = self._now()

    def failed(self, provider: str, model: str) -> None:
        """Records a failure before the first token."""
        self.answered(provider, model, self._failure_s)

    def given_up(self, provider: str, model: str, after_s: float) -> None:
        """Records that no token had come; it says something only of a wait above the mean."""
        before = self._seen.get((provider, model)).first_token_s
        if before is not None and after_s > before:
            self.answered(provider, model, after_s)
