"""Single flight: computed once for all, whoever leaves."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from arenalab.caching.flights import Flights


class Work:
    """Counts how often it is done, and ends when it is told to."""

    def __init__(self) -> None:
        self.begun = 0
        self.stopped = 0
        self.may_end = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> str:
        self.begun += 1
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        if self.error is not None:
            raise self.error
        return f"made {self.begun}"


Made = tuple[str, bool]


async def started(*coroutines: Coroutine[Any, Any, Made]) -> list["asyncio.Task[Made]"]:
    tasks = [asyncio.create_task(one) for one in coroutines]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_those_who_ask_meanwhile_get_what_the_first_one_makes() -> None:
    flights, work = Flights[str](), Work()
    tasks = await started(*(flights.run(b"k", work) for _ in range(5)))
    assert len(flights) == 1
    work.may_end.set()
    made = await asyncio.gather(*tasks)
    assert made == [("made 1", False)] + [("made 1", True)] * 4
    assert len(flights) == 0
    assert await flights.run(b"k", work) == ("made 2", False)


async def test_other_keys_do_not_wait() -> None:
    flights, slow, quick = Flights[str](), Work(), Work()
    quick.may_end.set()
    [task] = await started(flights.run(b"slow", slow))
    assert await flights.run(b"quick", quick) == ("made 1", False)
    slow.may_end.set()
    await task


@pytest.mark.parametrize("leaving", [0, 1])
async def test_one_who_leaves_does_not_take_it_from_the_others(leaving: int) -> None:
    flights, work = Flights[str](), Work()
    tasks = await started(flights.run(b"k", work), flights.run(b"k", work))
    tasks[leaving].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[leaving]
    work.may_end.set()
    assert (await tasks[1 - leaving])[0] == "made 1"
    assert work.stopped == 0


async def test_the_last_one_who_leaves_stops_it_and_nobody_joins_what_is_stopped() -> None:
    flights, work, again = Flights[str](), Work(), Work()
    again.may_end.set()
    [task] = await started(flights.run(b"k", work))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await flights.run(b"k", again) == ("made 1", False)
    assert work.stopped == 1


async def test_who_waited_for_anothers_failure_tries_for_itself() -> None:
    flights, failing, good = Flights[str](), Work(), Work()
    failing.error = TimeoutError("the first one had little time")
    good.may_end.set()
    tasks = await started(flights.run(b"k", failing), flights.run(b"k", good))
    failing.may_end.set()
    with pytest.raises(TimeoutError):
        await tasks[0]
    assert await tasks[1] == ("made 1", False)
    assert len(flights) == 0
