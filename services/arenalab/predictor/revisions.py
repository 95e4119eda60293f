"""In which state a dataset is now, so that nothing is served that was computed from another.

Every lookup in the cache asks search anew: a change that was acknowledged before the lookup began
is seen by it. Lookups that come while a question is under way share the next one, never that one:
it may have been answered before the change.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Key = tuple[str, str]  # tenant, dataset


@dataclass(frozen=True, slots=True)
class Revision:
    """The state of a dataset."""

    dataset: str
    version: str  # 64 hex digits
    token: bytes  # of all that a search can return


class Revisions:
    """Asks for revisions. Belongs to one event loop."""

    def __init__(self, ask: Callable[[str, str], Awaitable[Revision]]) -> None:
        """`ask` returns the revision of a tenant's dataset; it needs no caller's deadline."""
        self._ask = ask
        self._asking: dict[Key, asyncio.Event] = {}
        self._next: dict[Key, asyncio.Task[Revision]] = {}

    async def now(self, tenant: str, dataset: str) -> Revision:
        """Returns a revision that was current at some time after the call began.

        Raises:
            MeshError: As `ask`.
        """
        key = (tenant, dataset)
        asking = self._asking.get(key)
        if asking is None:
            return await self._asked(key)
        upcoming = self._next.get(key)
        if upcoming is None:
            # In a context of its own: the caller that begins it may end long before.
            upcoming = asyncio.create_task(
                self._asked_after(key, asking), context=contextvars.Context()
            )
            upcoming.add_done_callback(_seen)
            self._next[key] = upcoming
        return await asyncio.shield(upcoming)

    async def _asked_after(self, key: Key, asking: asyncio.Event) -> Revision:
        await asking.wait()
        # From here on it is under way, and who comes now waits for the one after it.
        del self._next[key]
        return await self._asked(key)

    async def _asked(self, key: Key) -> Revision:
        done = self._asking[key] = asyncio.Event()
        try:
            return await self._ask(*key)
        finally:
            if self._asking.get(key) is done:
                del self._asking[key]
            done.set()


def _seen(task: "asyncio.Task[Revision]") -> None:
    if not task.cancelled():
        task.exception()  # every caller may be gone
