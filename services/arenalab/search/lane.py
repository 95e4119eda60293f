"""Worker threads with a bounded queue before them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from arenalab.mesh import BudgetSpentError

_T = TypeVar("_T")


class Lane:
    """Threads with a bounded queue before them. Its methods belong to one event loop."""

    def __init__(self, name: str, workers: int, queue_limit: int) -> None:
        """Starts without threads; they come with the first calls.

        Args:
            name: Of the threads, and of the queue in errors.
            workers: Calls that run at the same time.
            queue_limit: Calls that may wait; one more is refused.
        """
        self.workers = workers
        self.queue_limit = queue_limit
        self._name = name
        self._most = workers + queue_limit
        self._present = 0
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix=name)

    async def run(self, work: Callable[[], _T]) -> _T:
        """Returns what `work` returns on a worker.

        Raises:
            BudgetSpentError: OVERLOADED; the queue is full.
        """
        if self._present >= self._most:
            raise BudgetSpentError(
                f"the {self._name} queue is full ({self._most} calls)", queue=self._name
            )
        self._present += 1
        loop = asyncio.get_running_loop()
        done: asyncio.Future[_T] = loop.create_future()
        self._pool.submit(self._do, loop, done, work)
        return await done

    def close(self) -> None:
        """Waits for what is running and refuses the rest."""
        self._pool.shutdown(cancel_futures=True)

    def _do(
        self, loop: asyncio.AbstractEventLoop, done: asyncio.Future[Any], work: Callable[[], Any]
    ) -> None:
        """Works on a worker; what nobody waits for any more is not begun."""
        result: Any = None
        error: BaseException | None = None
        if not done.cancelled():
            try:
                result = work()
            except BaseException as caught:  # noqa: BLE001 - raised again where it is awaited
                error = caught
        with suppress(RuntimeError):  # the loop ended meanwhile
            loop.call_soon_threadsafe(self._finish, done, result, error)

    def _finish(self, done: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        # Counted until the worker is free, not until its caller gives up.
        self._present -= 1
        if done.cancelled():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)


@dataclass(frozen=True, slots=True)
class Lanes:
    """Where the calls of a service wait: searches, reads and changes do not wait for each other."""

    searches: Lane
    reads: Lane
    changes: Lane  # one at a time, as the library makes them anyway

    @classmethod
    def of(cls, workers: int, queue_limit: int) -> Self:
        """Returns the lanes of a service with so many workers for each kind of reading."""
        return cls(
            Lane("search", workers, queue_limit),
            Lane("read", workers, queue_limit),
            Lane("change", 1, queue_limit),
        )

    def close(self) -> None:
        """Waits for what is running and refuses the rest."""
        for lane in (self.searches, self.reads, self.changes):
            lane.close()
