import asyncio
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from arenalab.fallback.purse import Purse
from arenalab.fallback.spending import TOTAL, CapReachedError
from arenalab.mesh import BudgetSpentError, ConfigError, Reason

NOW = datetime(2026, 11, 28, 23, 30, tzinfo=UTC)


def purse(path: Path | None, caps: dict[str, int] | None = None) -> Purse:
    return Purse({"a": 10} if caps is None else caps, path, lambda: NOW)


def kept(path: Path) -> object:
    return json.loads(path.read_text())


async def test_a_reservation_is_on_disk_before_the_call_begins(tmp_path: Path) -> None:
    path = tmp_path / "fallback" / "spending.json"
    found = purse(path)
    async with found.kept():
        await found.reserve("a", 7)
        assert kept(path) == {"day": "2026-11-28", "spent_usd_micros": {"a": 7}}
    # A process that is killed here has spent the 7, as far as its successor knows.
    with pytest.raises(CapReachedError):
        await purse(path).reserve("a", 4)


async def test_what_is_settled_last_is_written_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "spending.json"
    found = purse(path)
    async with found.kept():
        found.settle(await found.reserve("a", 7), 3)
    assert kept(path) == {"day": "2026-11-28", "spent_usd_micros": {"a": 3}}
    assert purse(path).spent("a") == 3


async def test_many_at_once_pass_no_cap(tmp_path: Path) -> None:
    found = purse(tmp_path / "spending.json", {"a": 10, TOTAL: 15})
    async with found.kept():
        asked = [found.reserve(name, 3) for name in "ab" * 8]
        got = await asyncio.gather(*asked, return_exceptions=True)
    let_through = [each for each in got if not isinstance(each, BaseException)]
    assert len(let_through) == 5
    assert sum(each.provider == "a" for each in let_through) <= 3


async def test_a_day_is_one_of_utc(tmp_path: Path) -> None:
    path = tmp_path / "spending.json"
    tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
    found = Purse({"a": 10}, path, lambda: tokyo)
    async with found.kept():
        await found.reserve("a", 1)
    assert json.loads(path.read_text())["day"] == "2026-11-28"


async def test_a_disk_that_takes_nothing_stops_what_is_capped_and_nothing_else(
    tmp_path: Path,
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    found = purse(blocked / "spending.json")  # its folder is a file
    async with found.kept():
        with pytest.raises(BudgetSpentError) as caught:
            await found.reserve("a", 7)
        assert caught.value.reason is Reason.STORAGE_FULL
        assert found.spent("a") == 0
        await found.reserve("b", 7)


async def test_a_call_that_is_given_up_while_it_waits_gives_its_money_back(tmp_path: Path) -> None:
    found = purse(tmp_path / "spending.json")
    # Nothing writes outside of `kept`, so that the reservation waits.
    waiting = asyncio.ensure_future(found.reserve("a", 7))
    await asyncio.sleep(0)
    assert found.spent("a") == 7
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert found.spent("a") == 0


@pytest.mark.parametrize(
    "text", ["", "[]", '{"day": "x", "spent_usd_micros": {}}', '{"day": "2026-11-28"}']
)
def test_a_damaged_file_stops_the_start(tmp_path: Path, text: str) -> None:
    path = tmp_path / "spending.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="damaged"):
        purse(path)


async def test_without_a_file_nothing_is_kept_and_caps_hold() -> None:
    found = purse(None)
    async with found.kept():
        await found.reserve("a", 7)
        with pytest.raises(CapReachedError):
            await found.reserve("a", 7)
