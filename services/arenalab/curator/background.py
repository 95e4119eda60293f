"""Blocking work off the event loop, which ends before its caller goes on."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


async def in_thread(work: Callable[[], _T]) -> _T:
    """Returns what `work` returns, run in a thread.

    A caller that is cancelled waits for the thread first: files and databases must
    not be cleaned up while it still writes them.
    """
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


class _StoppedError(Exception):
    """The caller went away."""


class Reported(Generic[_T]):
    """Work in a thread that reports how far it is."""

    def __init__(self, work: Callable[[Callable[[int], None]], _T]) -> None:
        """Takes the work, which is given a function to report with."""
        self._work = work
        self._stop = False
        self._done: list[_T] = []

    @property
    def result(self) -> _T:
        """What the work returned, once `reports` has ended."""
        return self._done[0]

    async def reports(self) -> AsyncGenerator[int]:
        """Runs the work and yields the latest report whenever there is a new one."""
        loop = asyncio.get_running_loop()
        news = asyncio.Event()
        latest = -1

        def arrived(count: int) -> None:
            nonlocal latest
            latest = count
            news.set()

        def report(count: int) -> None:
            if self._stop:
                raise _StoppedError
            loop.call_soon_threadsafe(arrived, count)

        running = asyncio.ensure_future(asyncio.to_thread(self._work, report))
        running.add_done_callback(lambda _: news.set())
        try:
            while not running.done():
                await news.wait()
                news.clear()
                if latest >= 0:
                    yield latest
                    latest = -1
            self._done.append(running.result())
        finally:
            self._stop = True
            if not running.done():
                await asyncio.wait([running])
                running.exception()  # looked at, so that nobody reports it as lost
