"""Searches that arrive together find what each finds alone."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from arenalab.mesh import BudgetSpentError
from arenalab.planning import DEFAULT_MODEL
from arenalab.search.collection.snapshot import Snapshot
from arenalab.search.costs.latencies import Latencies
from arenalab.search.finding.choosing import Chooser
from arenalab.search.finding.query import Query
from arenalab.search.finding.ranked import Ranked
from arenalab.search.finding.retrieval import Found, Retrieval
from arenalab.search.gathering import MAX_GATHERED, Gathered, Gathering
from arenalab.search.index.protocol import FloatArray
from arenalab.testing.spans import make_span
from tests.unit.search.shelf import Shelf

QUERY = Query(limit=5)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    made.publish([make_span(f"question {n}", f"answer {n}") for n in range(300)])
    made.upkeep.wait()
    yield made
    made.close()


@pytest.fixture
def ranked(shelf: Shelf) -> Ranked:
    retrieval = Retrieval(Chooser(lambda: DEFAULT_MODEL, Latencies()))
    return Ranked(retrieval, shelf.store.texts, lambda: 0.0)


class Worker:
    """Runs batches as a worker would, not before it is told to."""

    def __init__(self) -> None:
        self.may_run = asyncio.Event()
        self.batches: list[int] = []

    async def run(self, work: Callable[[], Gathered]) -> Gathered:
        await self.may_run.wait()
        gathered = work()
        self.batches.append(len(gathered.found))
        return gathered


class Counting:
    """Searches, and counts how."""

    def __init__(self, ranked: Ranked) -> None:
        self._ranked = ranked
        self.alone = 0
        self.batched: list[int] = []

    def nearest(self, snapshot: Snapshot, vector: FloatArray, query: Query) -> Found:
        self.alone += 1
        return self._ranked.nearest(snapshot, vector, query)

    def batch(self, snapshot: Snapshot, vectors: FloatArray, query: Query) -> list[Found]:
        self.batched.append(len(vectors))
        return self._ranked.batch(snapshot, vectors, query)


async def test_what_arrives_together_finds_what_each_finds_alone(
    shelf: Shelf, ranked: Ranked
) -> None:
    worker, counting = Worker(), Counting(ranked)
    gathering = Gathering(counting, worker.run, 64)
    vectors = shelf.embed([f"question {n}" for n in range(40)])
    tasks = [asyncio.create_task(gathering.nearest(shelf.now, one, QUERY)) for one in vectors]
    worker.may_run.set()
    found = [one for one, _ in await asyncio.gather(*tasks)]
    for vector, one in zip(vectors, found, strict=True):
        alone = ranked.nearest(shelf.now, vector, QUERY)
        assert one.ids.tolist() == alone.ids.tolist()
        assert np.array_equal(one.similarities, alone.similarities)
    assert max(counting.batched) == MAX_GATHERED
    assert sum(counting.batched) + counting.alone == len(vectors)


async def test_a_search_that_is_alone_is_carried_out_where_it_arrived(
    shelf: Shelf, ranked: Ranked
) -> None:
    worker = Worker()  # never runs anything
    gathering = Gathering(ranked, worker.run, 64)
    (vector,) = shelf.embed(["question 7"])
    for _ in range(10):
        found, _ = await gathering.nearest(shelf.now, vector, QUERY)
        assert len(found.ids) == QUERY.limit
    assert not worker.batches


async def test_searches_for_something_else_are_not_in_one_batch(
    shelf: Shelf, ranked: Ranked
) -> None:
    worker, counting = Worker(), Counting(ranked)
    gathering = Gathering(counting, worker.run, 64)
    vectors = shelf.embed([f"question {n}" for n in range(9)])
    other = replace(QUERY, limit=2)
    tasks = [
        asyncio.create_task(gathering.nearest(shelf.now, one, other if number % 2 else QUERY))
        for number, one in enumerate(vectors)
    ]
    worker.may_run.set()
    found = await asyncio.gather(*tasks)
    assert [len(one.ids) for one, _ in found] == [5, 2, 5, 2, 5, 2, 5, 2, 5]
    assert sorted(counting.batched) == [4, 5]


async def test_what_nobody_waits_for_is_not_searched(shelf: Shelf, ranked: Ranked) -> None:
    worker, counting = Worker(), Counting(ranked)
    gathering = Gathering(counting, worker.run, 64)
    vectors = shelf.embed([f"question {n}" for n in range(6)])
    tasks = [asyncio.create_task(gathering.nearest(shelf.now, one, QUERY)) for one in vectors]
    await asyncio.sleep(0)  # all of them begin, and their batch has not begun
    for task in tasks[2:]:
        task.cancel()
    worker.may_run.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in found[2:]] == [asyncio.CancelledError] * 4
    assert sum(counting.batched) + counting.alone == 2


async def test_an_error_reaches_every_search_of_its_batch(shelf: Shelf, ranked: Ranked) -> None:
    async def refuse(_work: Callable[[], Gathered]) -> Gathered:
        raise ConnectionError("the worker is gone")

    gathering = Gathering(ranked, refuse, 64)
    vectors = shelf.embed([f"question {n}" for n in range(4)])
    found = await asyncio.gather(
        *(gathering.nearest(shelf.now, one, QUERY) for one in vectors), return_exceptions=True
    )
    assert [type(one) for one in found] == [ConnectionError] * 4
    # It goes on afterwards.
    one, _ = await gathering.nearest(shelf.now, vectors[0], QUERY)
    assert len(one.ids) == QUERY.limit


async def test_more_than_may_wait_are_refused(shelf: Shelf, ranked: Ranked) -> None:
    worker = Worker()
    gathering = Gathering(ranked, worker.run, 3)
    vectors = shelf.embed([f"question {n}" for n in range(5)])
    tasks = [asyncio.create_task(gathering.nearest(shelf.now, one, QUERY)) for one in vectors]
    worker.may_run.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(one, BudgetSpentError) for one in found] == [False] * 3 + [True] * 2
