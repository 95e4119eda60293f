"""Statistics of collections, asked of search once a second at most.

Plans from statistics a second old are as good; what must not happen is a question to
search before every search. While search is down, what was known stays good enough: a
plan only says how to search, never what is found.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from arenalab.mesh import DeadlineError, NotReadyError
from arenalab.planner.facts import Facts

FRESH_S: Final = 1.0
# Collections remembered; each takes a few kilobytes.
_MOST: Final = 1024

Key = tuple[str, str]  # tenant, dataset
Fetch = Callable[[str, str], Awaitable[Facts]]


@dataclass(frozen=True, slots=True)
class _Known:
    facts: Facts
    until: float  # loop time at which to ask again


class Statistics:
    """Remembers the facts of collections. Belongs to one event loop."""

    def __init__(self, fetch: Fetch, clock: Callable[[], float], fresh_s: float = FRESH_S) -> None:
        """Starts with nothing.

        Args:
            fetch: Asks search for the facts of a tenant's dataset.
            clock: Seconds that never go back.
            fresh_s: How long facts are not asked for again.
        """
        self._fetch = fetch
        self._clock = clock
        self._fresh_s = fresh_s
        self._known: OrderedDict[Key, _Known] = OrderedDict()
        self._asking: dict[Key, asyncio.Task[Facts]] = {}

    async def of(self, tenant: str, dataset: str) -> Facts:
        """Returns the facts of a collection.

        Raises:
            MeshError: What search raised: the collection is unknown, or search cannot be
                reached and nothing is known of the collection yet.
        """
        key = (tenant, dataset)
        known = self._known.get(key)
        if known is not None and self._clock() < known.until:
            return known.facts
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.create_task(self._ask(key))
            self._asking[key] = asking
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        # Shielded: whoever asked first may give up while the others still wait.
        return await asyncio.shield(asking)

    async def _ask(self, key: Key) -> Facts:
        try:
            facts = await self._fetch(*key)
        except (NotReadyError, DeadlineError):
            known = self._known.get(key)
            if known is None:
                raise
            facts = known.facts
        except Exception:
            self._known.pop(key, None)
            raise
        self._known[key] = _Known(facts, self._clock() + self._fresh_s)
        self._known.move_to_end(key)
        while len(self._known) > _MOST:
            self._known.popitem(last=False)
        return facts
