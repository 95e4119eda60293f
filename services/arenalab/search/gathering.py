"""Searches that arrive while others are carried out, carried out together.

A scan reads every vector, and reads it once for all searches of a batch; a graph is walked
by each, but entered once. So what arrives while the searches before it are under way waits
for them, and is one batch then. A search that is alone does not wait.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import numpy as np

from arenalab.mesh import BudgetSpentError
from arenalab.search.collection.snapshot import Snapshot
from arenalab.search.finding.query import Query
from arenalab.search.finding.retrieval import Found
from arenalab.search.index.protocol import FloatArray

# Of one batch: what came last must not wait for too many.
MAX_GATHERED: Final = 16
# Searches of which one is carried out on another thread though it is alone, to see whether
# more arrive meanwhile: as long as they are carried out where they arrive, none can.
_PROBED: Final = 16

Run = Callable[[Callable[[], "Gathered"]], Awaitable["Gathered"]]


class Gathered(NamedTuple):
    """What a batch found, and the microseconds that it took."""

    found: list[Found]
    took_us: int


class Searching(Protocol):
    """What carries the searches out."""

    def nearest(self, snapshot: Snapshot, vector: FloatArray, query: Query) -> Found:
        """Returns the spans nearest to a vector."""

    def batch(self, snapshot: Snapshot, vectors: FloatArray, query: Query) -> list[Found]:
        """Returns the spans nearest to each of several vectors."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A search that waits for its batch."""

    snapshot: Snapshot
    query: Query
    vector: FloatArray
    done: "asyncio.Future[tuple[Found, int]]"

    def is_like(self, other: "_Waiting") -> bool:
        return self.snapshot is other.snapshot and self.query == other.query


class Gathering:
    """Gathers quick searches into batches. Its methods belong to one event loop."""

    def __init__(self, searching: Searching, run: Run, queue_limit: int) -> None:
        """Keeps its arguments.

        Args:
            searching: Carries the searches out.
            run: Runs a batch that would hold up the event loop, on another thread.
            queue_limit: Searches that may wait; one more is refused.
        """
        self._searching = searching
        self._run = run
        self._queue_limit = queue_limit
        self._waiting: list[_Waiting] = []
        self._is_busy = False
        self._is_crowded = False  # whether others arrived during the last batch
        self._alone = 0  # searches carried out since, where they arrived

    async def nearest(
        self, snapshot: Snapshot, vector: FloatArray, query: Query
    ) -> tuple[Found, int]:
        """Returns the spans nearest to a vector, and the microseconds its batch took.

        Raises:
            MeshError: OVERLOADED, where too many wait; or what carrying the batch out
                raises, for every search of it.
        """
        if len(self._waiting) >= self._queue_limit:
            raise BudgetSpentError(
                f"the search queue is full ({self._queue_limit} calls)", queue="search"
            )
        loop = asyncio.get_running_loop()
        one = _Waiting(snapshot, query, vector, loop.create_future())
        self._waiting.append(one)
        if not self._is_busy:
            self._is_busy = True
            loop.call_soon(self._begin)
        return await one.done

    def _begin(self) -> None:
        """Carries out the next batch, or rests."""
        batch = self._next()
        if not batch:
            self._is_busy = False
            return
        self._alone += 1
        if self._is_crowded or len(batch) > 1 or self._alone >= _PROBED:
            # The event loop keeps but a weak reference to a task; the worker keeps it alive.
            asyncio.ensure_future(self._search_apart(batch)).add_done_callback(self._ended)
            return
        try:
            _finish(batch, self._search(batch))
        except Exception as error:  # noqa: BLE001 - raised again where it is awaited
            _fail(batch, error)
        asyncio.get_running_loop().call_soon(self._begin)

    def _ended(self, _: object) -> None:
        self._is_crowded = len(self._waiting) > 1
        self._alone = 0
        self._begin()

    def _next(self) -> list[_Waiting]:
        """Takes the searches that are like the one that waits longest, up to a batch."""
        self._waiting = [one for one in self._waiting if not one.done.done()]  # not given up
        batch: list[_Waiting] = []
        rest: list[_Waiting] = []
        for one in self._waiting:
            fits = len(batch) < MAX_GATHERED and (not batch or batch[0].is_like(one))
            (batch if fits else rest).append(one)
        self._waiting = rest
        return batch

    async def _search_apart(self, batch: list[_Waiting]) -> None:
        try:
            _finish(batch, await self._run(lambda: self._search(batch)))
        except Exception as error:  # noqa: BLE001 - raised again where it is awaited
            _fail(batch, error)

    def _search(self, batch: list[_Waiting]) -> Gathered:
        began_ns = time.perf_counter_ns()
        first = batch[0]
        if len(batch) == 1:
            found = [self._searching.nearest(first.snapshot, first.vector, first.query)]
        else:
            vectors = np.stack([one.vector for one in batch])
            found = self._searching.batch(first.snapshot, vectors, first.query)
        return Gathered(found, (time.perf_counter_ns() - began_ns) // 1000)


def _finish(batch: list[_Waiting], gathered: Gathered) -> None:
    for one, found in zip(batch, gathered.found, strict=True):
        if not one.done.done():
            one.done.set_result((found, gathered.took_us))


def _fail(batch: list[_Waiting], error: Exception) -> None:
    for one in batch:
        if not one.done.done():
            one.done.set_exception(error)
