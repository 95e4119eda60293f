"""Group commit: callers queue entries, one thread seals whatever has gathered.

While one batch waits for its fsync the next one gathers, so the batch grows with the
load and a lone caller waits for nobody.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Final

from arenalab.ledger.entry import Entry
from arenalab.mesh import BudgetSpentError, MeshError, NotReadyError
from arenalab.proof import Receipt

_logger = logging.getLogger(__name__)

MAX_BATCH_ENTRIES: Final = 512
MAX_BATCH_BYTES: Final = 8 * 1024 * 1024
# An entry may be a megabyte: a bound on their number alone would bound nothing.
MAX_QUEUED_BYTES: Final = 64 * 1024 * 1024

Commit = Callable[[Sequence[Entry]], Sequence[Receipt | MeshError]]
_Waiter = Future[Receipt] | asyncio.Future[Receipt]
_Waiting = tuple[Entry, _Waiter]


class Committer:
    """The only caller of `commit`, on a thread of its own."""

    def __init__(
        self,
        commit: Commit,
        max_queued: int,
        on_batch: Callable[[int], None] = lambda _: None,
        *,
        batch_entries: int = MAX_BATCH_ENTRIES,
        batch_wait_s: float = 0.0,
    ) -> None:
        """Starts the thread.

        Args:
            commit: Seals a batch durably.
            max_queued: Entries that may wait; beyond it callers are refused.
            on_batch: Is told how many entries each batch had.
            batch_entries: The most that a batch takes.
            batch_wait_s: How long an entry may wait for a batch to fill.
        """
        self._commit = commit
        self._max_queued = max_queued
        self._on_batch = on_batch
        self._batch_entries = batch_entries
        self._batch_wait_s = batch_wait_s
        self._queue: deque[_Waiting] = deque()
        self._queued_bytes = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="ledger-commit")
        self._thread.start()

    def submit(self, entry: Entry) -> "Future[Receipt]":
        """Queues an entry; the future ends with its receipt, or with its `MeshError`.

        Raises:
            BudgetSpentError: OVERLOADED; the queue is full.
            NotReadyError: The ledger is closing.
        """
        waiting: Future[Receipt] = Future()
        self._put(entry, waiting)
        return waiting

    def seal(self, entry: Entry) -> Receipt:
        """Queues an entry and waits for its receipt.

        Raises:
            MeshError: As for `submit`, or what the log raises.
        """
        return self.submit(entry).result()

    def append(self, entry: Entry) -> "asyncio.Future[Receipt]":
        """Queues an entry for a caller on an event loop, which is woken once a batch.

        Raises:
            MeshError: As for `submit`.
        """
        waiting: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._put(entry, waiting)
        return waiting

    def _put(self, entry: Entry, waiting: _Waiter) -> None:
        with self._changed:
            if self._closed:
                raise NotReadyError("the ledger is closing", service="ledger")
            if (
                len(self._queue) >= self._max_queued
                or self._queued_bytes + entry.size_bytes > MAX_QUEUED_BYTES
            ):
                raise BudgetSpentError(
                    f"{len(self._queue)} entries wait to be sealed already", queue="ledger"
                )
            self._queue.append((entry, waiting))
            self._queued_bytes += entry.size_bytes
            self._changed.notify()

    def close(self) -> None:
        """Seals what waits, then ends the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._take():
            # From here on a caller that goes away cannot take its entry back.
            taken = [pair for pair in batch if _is_wanted(pair[1])]
            if taken:
                self._seal_all(taken)

    def _take(self) -> list[_Waiting]:
        """Waits for entries; returns none when the committer is closed and all is sealed."""
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            if self._batch_wait_s:
                self._changed.wait_for(
                    lambda: self._closed or len(self._queue) >= self._batch_entries,
                    self._batch_wait_s,
                )
            batch: list[_Waiting] = []
            size_bytes = 0
            while self._queue and len(batch) < self._batch_entries:
                size_bytes += self._queue[0][0].size_bytes
                if batch and size_bytes > MAX_BATCH_BYTES:
                    break
                batch.append(self._queue.popleft())
                self._queued_bytes -= batch[-1][0].size_bytes
            return batch

    def _seal_all(self, taken: Sequence[_Waiting]) -> None:
        outcomes: Sequence[Receipt | Exception]
        try:
            outcomes = self._commit([entry for entry, _ in taken])
        except Exception as error:  # every waiter gets it, and the thread lives on
            if not isinstance(error, MeshError):
                _logger.exception("a batch failed")
            outcomes = [error] * len(taken)
        else:
            self._on_batch(len(taken))
        loops: dict[asyncio.AbstractEventLoop, list[tuple[_Waiter, Receipt | Exception]]] = {}
        for (_, waiting), outcome in zip(taken, outcomes, strict=True):
            if isinstance(waiting, asyncio.Future):
                loops.setdefault(waiting.get_loop(), []).append((waiting, outcome))
            else:
                _tell(waiting, outcome)
        for loop, told in loops.items():
            with suppress(RuntimeError):  # it was closed: nobody waits any more
                loop.call_soon_threadsafe(_tell_all, told)


def _is_wanted(waiting: _Waiter) -> bool:
    if isinstance(waiting, asyncio.Future):
        return not waiting.cancelled()
    return waiting.set_running_or_notify_cancel()


def _tell_all(told: Sequence[tuple[_Waiter, Receipt | Exception]]) -> None:
    for waiting, outcome in told:
        if not waiting.cancelled():
            _tell(waiting, outcome)


def _tell(waiting: _Waiter, outcome: Receipt | Exception) -> None:
    if isinstance(outcome, Exception):
        waiting.set_exception(outcome)
    else:
        waiting.set_result(outcome)
