"""Which creatures and providers there are: asked of their owners, remembered briefly."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

_T = TypeVar("_T")

# A publication is seen after at most this long; names change rarely.
FRESH_S: Final = 1.0


class Remembered(Generic[_T]):
    """A list that is fetched again when it is older than a second.

    A stale list is returned at once and refreshed behind; only an unknown one makes the
    caller wait, and an empty one unless it is worth keeping. One fetch runs at a time per key.
    """

    def __init__(
        self, fetch: Callable[[str], Awaitable[Sequence[_T]]], *, keeps_empty: bool = False
    ) -> None:
        """Starts without a list.

        Args:
            fetch: Returns the list of a key.
            keeps_empty: Whether an empty list is remembered as others are.
        """
        self._fetch = fetch
        self._keeps_empty = keeps_empty
        self._known: dict[str, tuple[float, Sequence[_T]]] = {}
        self._running: dict[str, asyncio.Task[Sequence[_T]]] = {}

    async def get(self, key: str, *, refresh: bool = False) -> Sequence[_T]:
        """Returns the list of `key`; `refresh` waits for a fetch of now.

        Raises:
            MeshError: Nothing is known yet, and the owner cannot be asked.
        """
        known = self._known.get(key)
        if known is not None and (known[1] or self._keeps_empty) and not refresh:
            if time.monotonic() - known[0] > FRESH_S:
                self._refresh(key)
            return known[1]
        return await asyncio.shield(self._refresh(key))

    def _refresh(self, key: str) -> "asyncio.Task[Sequence[_T]]":
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(self._load(key))
            self._running[key] = task
            task.add_done_callback(lambda done: self._done(key, done))
        return task

    async def _load(self, key: str) -> Sequence[_T]:
        found = await self._fetch(key)
        self._known[key] = (time.monotonic(), found)
        return found

    def _done(self, key: str, task: "asyncio.Task[Sequence[_T]]") -> None:
        self._running.pop(key, None)
        if not task.cancelled():
            task.exception()  # a refresh behind may fail: what is known stays in use
