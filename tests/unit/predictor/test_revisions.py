"""Asking for revisions: anew for every lookup, together where that is as good."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from arenalab.mesh import NotReadyError
from arenalab.predictor.revisions import Revision, Revisions


class Search:
    """Holds a revision, and answers when it is told to."""

    def __init__(self) -> None:
        self.token = 0
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.error: Exception | None = None

    async def ask(self, tenant: str, dataset: str) -> Revision:
        self.asked += 1
        read = self.token  # before the answer is on its way
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return Revision(dataset, tenant, b"%d" % read)


async def begun(
    now: Callable[[str, str], Awaitable[Revision]], count: int, tenant: str = "t"
) -> "list[asyncio.Task[Revision]]":
    tasks = [asyncio.ensure_future(now(tenant, "d")) for _ in range(count)]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_a_change_before_a_lookup_is_seen_by_it_though_a_question_is_under_way() -> None:
    search = Search()
    revisions = Revisions(search.ask)
    early = await begun(revisions.now, 1)
    search.token = 1
    late = await begun(revisions.now, 5)
    assert search.asked == 1  # nobody joins what may have been answered before the change
    search.may_answer.set()
    assert [one.token for one in await asyncio.gather(*early)] == [b"0"]
    assert {one.token for one in await asyncio.gather(*late)} == {b"1"}
    assert search.asked == 2
    search.token = 2
    assert (await revisions.now("t", "d")).token == b"2"


async def test_tenants_never_share_a_question() -> None:
    search = Search()
    revisions = Revisions(search.ask)
    tasks = [*await begun(revisions.now, 2, "a"), *await begun(revisions.now, 2, "b")]
    search.may_answer.set()
    assert [one.version for one in await asyncio.gather(*tasks)] == ["a", "a", "b", "b"]


async def test_who_leaves_takes_nothing_from_the_others() -> None:
    search = Search()
    revisions = Revisions(search.ask)
    [first] = await begun(revisions.now, 1)
    second, third = await begun(revisions.now, 2)
    first.cancel()
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    search.may_answer.set()
    assert (await third).token == b"0"


async def test_a_failure_is_everyones_and_the_next_one_asks_again() -> None:
    search = Search()
    search.error = NotReadyError("search is away")
    revisions = Revisions(search.ask)
    tasks = [*await begun(revisions.now, 1), *await begun(revisions.now, 2)]
    search.may_answer.set()
    for task in tasks:
        with pytest.raises(NotReadyError):
            await task
    search.error = None
    assert (await revisions.now("t", "d")).token == b"0"
