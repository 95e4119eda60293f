"""Telling streams that a log has a newer checkpoint."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from arenalab.mesh import BudgetSpentError


class Changes:
    """What one stream waits for. Changes that come while it is busy count as one."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    async def next(self) -> None:
        """Returns when something changed since the last return."""
        await self._changed.wait()
        self._changed.clear()

    def tell(self) -> None:
        """Says that something changed."""
        self._changed.set()


class Watchers:
    """Every stream that watches checkpoints, on one event loop."""

    def __init__(self, limit: int) -> None:
        """Starts without any.

        Args:
            limit: How many may watch at once.
        """
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._watching: set[Changes] = set()

    @contextmanager
    def watching(self) -> Iterator[Changes]:
        """Registers a stream for the length of the block.

        Raises:
            BudgetSpentError: OVERLOADED; too many watch already.
        """
        if len(self._watching) >= self._limit:
            raise BudgetSpentError(f"{self._limit} streams watch already", queue="watchers")
        changes = Changes()
        self._watching.add(changes)
        try:
            yield changes
        finally:
            self._watching.discard(changes)

    def tell(self) -> None:
        """Says, from any thread, that some log has a newer checkpoint."""
        if self._watching:
            with suppress(RuntimeError):  # the loop is closed: nobody watches any more
                self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        for changes in self._watching:
            changes.tell()
