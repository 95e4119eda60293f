"""What search told about its collections, asked once a second at most.

Plans from counts a second old are as good; what must not happen is a question to search
before every search. While search is down, what was known stays good enough: a plan only
says how to search, never what is found.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from arenalab.mesh import DeadlineError, NotReadyError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

FRESH_S: Final = 1.0
# Answers remembered; each takes a few kilobytes.
_MOST: Final = 1024


@dataclass(frozen=True, slots=True)
class _Known(Generic[V]):
    value: V
    until: float  # loop time at which to ask again


class Remembered(Generic[K, V]):
    """Remembers the answers to questions. Belongs to one event loop."""

    def __init__(
        self,
        fetch: Callable[[K], Awaitable[V]],
        clock: Callable[[], float],
        fresh_s: float = FRESH_S,
    ) -> None:
        """Starts with nothing.

        Args:
            fetch: Asks search.
            clock: Seconds that never go back.
            fresh_s: How long an answer is not asked for again.
        """
        self._fetch = fetch
        self._clock = clock
        self._fresh_s = fresh_s
        self._known: OrderedDict[K, _Known[V]] = OrderedDict()
        self._asking: dict[K, asyncio.Task[V]] = {}

    async def of(self, key: K) -> V:
        """Returns the answer to one question.

        Raises:
            MeshError: What search raised: the question is wrong, or search cannot be
                reached and no answer is known yet.
        """
        known = self._known.get(key)
        if known is not None and self._clock() < known.until:
            return known.value
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.create_task(self._ask(key))
            self._asking[key] = asking
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        # Shielded: whoever asked first may give up while the others still wait.
        return await asyncio.shield(asking)

    async def _ask(self, key: K) -> V:
        try:
            value = await self._fetch(key)
        except (NotReadyError, DeadlineError):
            known = self._known.get(key)
            if known is None:
                raise
            value = known.value
        except Exception:
            self._known.pop(key, None)
            raise
        self._known[key] = _Known(value, self._clock() + self._fresh_s)
        self._known.move_to_end(key)
        while len(self._known) > _MOST:
            self._known.popitem(last=False)
        return value
