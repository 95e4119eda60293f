"""Statistics: asked once, remembered, kept while search is away."""

import asyncio

import pytest

from arenalab.mesh import NotFoundError, NotReadyError, Reason
from arenalab.planner.peers import Collection
from arenalab.planner.statistics import Remembered

ONE = Collection("t", "d")
Statistics = Remembered[Collection, int]


class Source:
    """Plays search: answers with how often it was asked, or fails."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.now_s = 0.0

    async def fetch(self, collection: Collection) -> int:
        del collection
        self.asked += 1
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return self.asked

    def clock(self) -> float:
        return self.now_s


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def statistics(source: Source) -> Statistics:
    return Remembered(source.fetch, source.clock)


async def test_search_is_asked_once_a_second(source: Source, statistics: Statistics) -> None:
    for now_s, spans in [(0.0, 1), (0.9, 1), (1.0, 2), (1.5, 2), (9.0, 3)]:
        source.now_s = now_s
        assert await statistics.of(ONE) == spans


async def test_datasets_and_tenants_are_kept_apart(source: Source, statistics: Statistics) -> None:
    for key in [("t", "a"), ("t", "b"), ("u", "a")]:
        await statistics.of(Collection(*key))
    assert source.asked == 3


async def test_those_who_ask_together_share_one_answer(
    source: Source, statistics: Statistics
) -> None:
    source.may_answer.clear()
    waiting = [asyncio.create_task(statistics.of(ONE)) for _ in range(10)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # the one who asked first gives up
    source.may_answer.set()
    assert await asyncio.gather(*waiting[1:]) == [1] * 9
    assert source.asked == 1


async def test_old_statistics_serve_while_search_is_away(
    source: Source, statistics: Statistics
) -> None:
    await statistics.of(ONE)
    source.error, source.now_s = NotReadyError("search is down"), 5.0
    assert await statistics.of(ONE) == 1
    assert await statistics.of(ONE) == 1
    assert source.asked == 2  # not asked again at once
    source.error, source.now_s = None, 6.5
    assert await statistics.of(ONE) == 3


async def test_without_any_statistics_search_is_not_ready(
    source: Source, statistics: Statistics
) -> None:
    source.error = NotReadyError("search is down")
    with pytest.raises(NotReadyError):
        await statistics.of(ONE)


async def test_a_dataset_that_is_gone_is_forgotten(source: Source, statistics: Statistics) -> None:
    await statistics.of(ONE)
    source.error, source.now_s = NotFoundError("gone", Reason.UNKNOWN_DATASET), 5.0
    with pytest.raises(NotFoundError):
        await statistics.of(ONE)
    source.error = NotReadyError("search is down")
    with pytest.raises(NotReadyError):
        await statistics.of(ONE)
