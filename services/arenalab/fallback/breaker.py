"""A circuit breaker: a provider that keeps failing is left alone for a while.

closed     calls pass; a number of failures in a row opens it
open       no call passes until the pause is over
half open  one trial call passes: it closes the breaker, or opens it for twice as long
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass


class State(enum.Enum):
    """What happens to the next call."""

    CLOSED = enum.auto()
    OPEN = enum.auto()
    HALF_OPEN = enum.auto()


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to make one call. Its outcome counts only while `era` lasts.

    A call may outlive the state in which it was let through; what became of it then
    says nothing about the provider's present.
    """

    era: int


class Breaker:
    """One provider's breaker. Every admitted call reports exactly one outcome."""

    def __init__(
        self, *, failures: int, pause_s: float, max_pause_s: float, now: Callable[[], float]
    ) -> None:
        """Starts closed.

        Args:
            failures: In a row, after which it opens.
            pause_s: How long it stays open the first time.
            max_pause_s: The longest that a pause may grow to.
            now: Seconds on a clock that never goes back.
        """
        self._failures_to_open = failures
        self._first_pause_s = pause_s
        self._max_pause_s = max_pause_s
        self._now = now
        self._era = 0
        self._failures = 0
        self._pause_s = 0.0  # 0 while closed
        self._opened_at = 0.0
        self._trial_is_out = False

    @property
    def state(self) -> State:
        if not self._pause_s:
            return State.CLOSED
        # Not `opened_at + pause_s <= now`: the sum may round to below `opened_at + pause_s`.
        over = self._now() - self._opened_at >= self._pause_s
        return State.HALF_OPEN if over else State.OPEN

    @property
    def pause_s(self) -> float:
        """Length of the present pause; 0 while closed."""
        return self._pause_s

    def admit(self) -> Ticket | None:
        """Returns leave to call, or None when the provider is to be skipped."""
        state = self.state
        if state is State.OPEN or (state is State.HALF_OPEN and self._trial_is_out):
            return None
        self._trial_is_out = state is State.HALF_OPEN
        return Ticket(self._era)

    def succeeded(self, ticket: Ticket) -> None:
        """Records that the provider did its work."""
        if ticket.era != self._era:
            return
        self._failures = 0
        if self._pause_s:
            self._begin_era(pause_s=0.0)

    def failed(self, ticket: Ticket) -> None:
        """Records that the provider did not do its work."""
        if ticket.era != self._era:
            return
        self._failures += 1
        if self._pause_s:
            self._begin_era(pause_s=min(self._pause_s * 2, self._max_pause_s))
        elif self._failures >= self._failures_to_open:
            self._begin_era(pause_s=self._first_pause_s)

    def abandoned(self, ticket: Ticket) -> None:
        """Records that the call was given up before the provider showed what it does."""
        if ticket.era == self._era:
            self._trial_is_out = False

    def _begin_era(self, *, pause_s: float) -> None:
        self._era += 1
        self._failures = 0
        self._trial_is_out = False
        self._pause_s = pause_s
        self._opened_at = self._now()
