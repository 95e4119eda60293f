"""Single flight: what several ask for at once is computed once."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class _Flight(Generic[_T]):
    task: "asyncio.Task[_T]"
    waiting: int = 0


class Flights(Generic[_T]):
    """What is being computed, by key. Belongs to one event loop."""

    def __init__(self) -> None:
        self._flights: dict[bytes, _Flight[_T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def run(self, key: bytes, work: Callable[[], Coroutine[Any, Any, _T]]) -> tuple[_T, bool]:
        """Returns what `work` returns, and whether another caller's work for the key did it.

        A caller that is cancelled leaves the work to those that still wait; the last one stops
        it. One that waited for another's work in vain does its own: the other may have had less
        time, or fewer rights to it.
        """
        flight = self._flights.get(key)
        is_joined = flight is not None
        if flight is None:
            flight = self._begin(key, work)
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task), is_joined
        except Exception:
            if not is_joined:
                raise
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._forget(key, flight)  # nobody may join what is being stopped
                flight.task.cancel()
        return await work(), False

    def _begin(self, key: bytes, work: Callable[[], Coroutine[Any, Any, _T]]) -> _Flight[_T]:
        # A task copies the caller's context: its deadline and its trace.
        flight = _Flight(asyncio.create_task(work()))
        self._flights[key] = flight
        flight.task.add_done_callback(lambda task: self._landed(key, flight, task))
        return flight

    def _landed(self, key: bytes, flight: _Flight[_T], task: "asyncio.Task[_T]") -> None:
        self._forget(key, flight)
        if not task.cancelled():
            task.exception()  # seen, though every waiter may be gone

    def _forget(self, key: bytes, flight: _Flight[_T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
