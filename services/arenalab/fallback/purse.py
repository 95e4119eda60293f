"""The day's spending of one process, kept on disk.

The file holds what was spent and what is set aside. Where a cap bounds a provider, a call
to it begins only after its reservation is on disk (fsync), so that killing the process can
make the day's count too high, never too low. Settling does not wait for the disk: until
it is written, the file holds the reservation. Writes go on in a thread, one at a time, and
each takes up all that was changed while the one before it ran.

The caps are this process's own: two Fallbacks with one cap each may spend it twice.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from arenalab.fallback.spending import Reservation, Spending
from arenalab.fallback.whole_file import write_whole
from arenalab.mesh import BudgetSpentError, ConfigError, Reason

_logger = logging.getLogger(__name__)


class Purse:
    """Sets money aside and settles it, durably."""

    def __init__(self, spending: Spending, path: Path | None, now: Callable[[], datetime]) -> None:
        """Starts from a state that was read.

        Args:
            spending: The day so far.
            path: Of the file; None: nothing is kept.
            now: The time, with its zone.
        """
        self._spending = spending
        self._path = path
        self._now = now
        self._changes = 0  # of the state
        self._written = 0  # changes that the file holds
        self._is_dirty = asyncio.Event()
        self._was_written = asyncio.Condition()

    def cap_of(self, provider: str) -> int:
        """Returns a provider's own cap in millionths of a US dollar; 0 means none."""
        return self._spending.caps.get(provider, 0)

    def is_capped(self, provider: str) -> bool:
        """Returns whether a cap bounds this provider's calls."""
        return self._spending.is_capped(provider)

    def spent(self, provider: str) -> int:
        """Returns today's spending of a provider, with what is set aside for calls at work."""
        return self._spending.of(self._today(), provider)

    async def reserve(self, provider: str, usd_micros: int) -> Reservation:
        """Sets money aside; where a cap bounds the provider, it is on disk when this returns.

        Raises:
            CapReachedError: A cap has no room for it.
            BudgetSpentError: The disk did not take it.
        """
        reservation = self._spending.reserve(self._today(), provider, usd_micros)
        wanted = self._change()
        if self._path is not None and self._spending.is_capped(provider):
            try:
                async with self._was_written:
                    await self._was_written.wait_for(lambda: abs(self._written) >= wanted)
            except BaseException:
                self.settle(reservation, 0)
                raise
            if self._written < 0:
                self.settle(reservation, 0)
                raise BudgetSpentError(
                    "spending cannot be written down, so capped providers are not asked",
                    Reason.STORAGE_FULL,
                    path="spending",
                )
        return reservation

    def settle(self, reservation: Reservation, usd_micros: int) -> None:
        """Puts what the call did cost in the place of what was set aside."""
        self._spending.settle(reservation, usd_micros)
        self._change()
