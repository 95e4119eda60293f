"""The day's spending of one process, kept on disk.

The file holds what was spent and what is set aside. Where a cap bounds a provider, a call
to it begins only after its reservation is on disk (fsync), so that killing the process can
make the day's count too high, never too low. Settling does not wait for the disk: until
it is written, the file holds the reservation. Writes go on in a thread, one at a time, and
each takes up all that was changed while the one before it ran. What no call waits for is
gathered for a second: a sync for every answer would slow down the ledger's, which answers
do wait for.

The caps are this process's own: two Fallbacks with one cap each may spend it twice.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from arenalab.durable import replace
from arenalab.fallback.spending import Reservation, Spending
from arenalab.mesh import BudgetSpentError, ConfigError, Reason

_logger = logging.getLogger(__name__)

_GATHER_S: Final = 1.0


class Purse:
    """Sets money aside and settles it, durably."""

    def __init__(
        self, caps: Mapping[str, int], path: Path | None, now: Callable[[], datetime]
    ) -> None:
        """Takes up the day where the file leaves it.

        Args:
            caps: As `Spending` has them.
            path: Of the file; None: nothing is kept.
            now: The time, with its zone.

        Raises:
            ConfigError: The file is there and cannot be read: to take it for an empty one
                would give the day's money out again.
        """
        self._spending = Spending(caps, *(_read(path) if path is not None else ("", {})))
        self._path = path
        self._now = now
        self._is_changed = asyncio.Event()
        self._is_urgent = asyncio.Event()  # a call waits for it, or the end has come
        self._is_closed = False
        self._waiting: list[asyncio.Future[None]] = []

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
            BudgetSpentError: It could not be written down.
        """
        reservation = self._spending.reserve(self._today(), provider, usd_micros)
        self._is_changed.set()
        if self._path is None or not self._spending.is_capped(provider):
            return reservation
        written = asyncio.get_running_loop().create_future()
        self._waiting.append(written)
        self._is_urgent.set()
        try:
            await written
        except BaseException:
            self.settle(reservation, 0)
            raise
        return reservation

    def settle(self, reservation: Reservation, usd_micros: int) -> None:
        """Puts what a call did cost in the place of what was set aside for it."""
        self._spending.settle(reservation, usd_micros)
        self._is_changed.set()

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[None]:
        """Writes changes down for the length of the block, and the last ones at its end."""
        writing = asyncio.create_task(self._write_until_closed())
        try:
            yield
        finally:
            self._is_closed = True
            self._is_changed.set()
            self._is_urgent.set()
            await writing

    async def _write_until_closed(self) -> None:
        is_last = False
        while not is_last:
            await self._is_changed.wait()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_urgent.wait(), _GATHER_S)
            is_last = self._is_closed
            await self._write()

    async def _write(self) -> None:
        self._is_changed.clear()
        self._is_urgent.clear()
        waiting, self._waiting = self._waiting, []
        error: BudgetSpentError | None = None
        day, spent = self._spending.snapshot()
        if self._path is not None and day:
            form = json.dumps({"day": day, "spent_usd_micros": spent}) + "\n"
            try:
                await asyncio.to_thread(replace, self._path, form.encode())
            except OSError as failed:
                _logger.warning("cannot write %s: %s", self._path, failed.strerror)
                error = BudgetSpentError(
                    "spending cannot be written down, so providers with a cap are not asked",
                    Reason.STORAGE_FULL,
                    path="spending",
                )
        for written in waiting:
            if written.done():  # its call was given up
                continue
            if error is None:
                written.set_result(None)
            else:
                written.set_exception(error)

    def _today(self) -> str:
        return self._now().astimezone(UTC).date().isoformat()


def _read(path: Path) -> tuple[str, dict[str, int]]:
    if not path.exists():
        return "", {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        spent = {str(name): int(value) for name, value in found["spent_usd_micros"].items()}
        day = datetime.strptime(found["day"], "%Y-%m-%d").replace(tzinfo=UTC).date().isoformat()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} is damaged: remove it to begin the day's spending at nothing"
        ) from error
    return day, spent
