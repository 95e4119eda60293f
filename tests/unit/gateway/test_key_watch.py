"""Keys in memory follow the store, and are not trusted for ever without it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from arenalab.gateway.errors import ApiError
from arenalab.gateway.keys import KeyTerms, Principal, Refusal
from arenalab.gateway.keys.pepper import Pepper
from arenalab.gateway.keys.store import KeyStore
from arenalab.gateway.keys.watch import WatchedKeys
from arenalab.gateway.limits.usage import Spent, UsageBook, Used
from arenalab.mesh import NotReadyError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PEPPER = Pepper(bytes(32))


class Clock:
    """A monotonic clock that stands still until it is told."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Flaky(KeyStore):
    """A store that can be cut off."""

    is_away = False

    def revision(self) -> int:
        if self.is_away:
            raise NotReadyError("away")
        return super().revision()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Flaky]:
    found = Flaky.open(f"sqlite:///{tmp_path}/keys.sqlite", PEPPER)
    yield found
    found.close()


def _watch(store: KeyStore, clock: Clock, usage: UsageBook | None = None) -> WatchedKeys:
    return WatchedKeys(
        store,
        PEPPER,
        usage or UsageBook(),
        clear=(),
        clear_pepper=PEPPER,
        poll_s=60.0,
        max_age_s=10.0,
        wall_clock=NOW.timestamp,
        monotonic=clock,
    )


async def test_a_refresh_sees_every_change(store: Flaky) -> None:
    keys = _watch(store, Clock())
    key = store.create(KeyTerms(name="app"), NOW)
    await keys.refresh()
    before = keys.ring
    assert isinstance(keys.find(key.text), Principal)
    await keys.refresh()
    assert keys.ring is before  # nothing changed, nothing is read again
    store.revoke(key.key_id, NOW)
    assert isinstance(keys.find(key.text), Principal)
    await keys.refresh()
    assert keys.find(key.text) is Refusal.REVOKED


async def test_keys_that_cannot_be_checked_work_for_a_while_only(store: Flaky) -> None:
    clock = Clock()
    keys = _watch(store, clock)
    key = store.create(KeyTerms(name="app"), NOW)
    async with keys.watching():
        store.is_away = True
        clock.now_s += 10.0
        assert isinstance(keys.find(key.text), Principal)
        clock.now_s += 0.001
        with pytest.raises(ApiError) as caught:
            keys.find(key.text)
        assert caught.value.status == 503
        assert caught.value.code == "keys_unavailable"
        store.is_away = False
        await keys.refresh()
        assert isinstance(keys.find(key.text), Principal)


async def test_a_store_that_is_away_stops_the_start(store: Flaky) -> None:
    store.is_away = True
    with pytest.raises(NotReadyError):
        async with _watch(store, Clock()).watching():
            pass


async def test_what_was_used_is_written_at_the_end(store: Flaky) -> None:
    usage = UsageBook()
    day = int(NOW.timestamp()) // 86_400
    async with _watch(store, Clock(), usage).watching():
        usage.add("a", day, Used(1, 2, 3))
    assert store.spent(day) == {"a": Spent(day, 1, 2, 3, 3)}
