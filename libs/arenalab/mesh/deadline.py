"""Deadlines: what a call was given bounds what it may spend on the calls it makes."""

import asyncio
from contextvars import ContextVar
from typing import Final

from arenalab.mesh.errors import DeadlineError

# Kept back for the answer's own way home, so that a caller sees our error and
# not its own timeout.
MARGIN_S: Final = 0.005

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def begin(timeout_s: float) -> float:
    """Records that the current call must end in `timeout_s`; returns the loop time of that."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    _deadline.set(deadline)
    return deadline


def remaining_s(wanted_s: float) -> float:
    """Returns the smaller of `wanted_s` and what the current call has left.

    Raises:
        DeadlineError: Nothing is left.
    """
    deadline = _deadline.get()
    if deadline is None:
        return wanted_s
    left = deadline - asyncio.get_running_loop().time() - MARGIN_S
    if left <= 0:
        raise DeadlineError("the call's deadline is spent")
    return min(wanted_s, left)
