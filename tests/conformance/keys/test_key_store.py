"""What every key store does, on SQLite and on a real PostgreSQL."""

import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from arenalab.gateway.keys import KeyRing, KeyState, KeyTerms, Principal, Refusal
from arenalab.gateway.keys.pepper import Pepper
from arenalab.gateway.keys.store import KeyStore
from arenalab.gateway.keys.tables import METADATA
from arenalab.gateway.limits.caps import Caps
from arenalab.gateway.limits.usage import Spent, UsageBook, Used
from arenalab.mesh import (
    ConfigError,
    InvalidInputError,
    NotFoundError,
    NotReadyError,
    PreconditionError,
)

if TYPE_CHECKING:
    from tests.conformance.conftest import Server

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PEPPER = Pepper(bytes(range(32)))
TERMS = KeyTerms(
    name="the app",
    tenant="acme",
    models=("arenalab", "openai/*"),
    caps=Caps(requests_per_minute=5, usd_micros_total=2**53 - 1),
    expires=NOW + timedelta(days=30),
)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/keys.sqlite"
        return
    server: Server = request.getfixturevalue("postgres")
    found = server.get_uri()
    yield found
    engine = sa.create_engine(sa.make_url(found).set(drivername="postgresql+psycopg"))
    METADATA.drop_all(engine)
    engine.dispose()


@pytest.fixture
def store(url: str) -> Iterator[KeyStore]:
    found = KeyStore.open(url, PEPPER)
    yield found
    found.close()


def _ring(store: KeyStore) -> KeyRing:
    return KeyRing(store.records(), PEPPER)


def test_a_key_is_found_again_with_its_terms(store: KeyStore, url: str) -> None:
    key = store.create(TERMS, NOW)
    again = KeyStore.open(url, PEPPER)
    [record] = again.records()
    again.close()
    assert record.terms == TERMS
    assert record.created == NOW
    assert record.state(NOW) is KeyState.ACTIVE
    assert _ring(store).find(key.text, NOW) == Principal(
        "acme", "the app", key.key_id, TERMS.models, TERMS.caps
    )


def test_keys_are_listed_by_age(store: KeyStore) -> None:
    younger = store.create(KeyTerms(name="b"), NOW + timedelta(seconds=1))
    older = store.create(KeyTerms(name="a"), NOW)
    assert [record.key_id for record in store.records()] == [older.key_id, younger.key_id]


def test_terms_out_of_range_make_no_key(store: KeyStore) -> None:
    with pytest.raises(InvalidInputError):
        store.create(KeyTerms(name=""), NOW)
    assert store.records() == ()


def test_a_revoked_key_stays_revoked(store: KeyStore) -> None:
    key = store.create(TERMS, NOW)
    store.revoke(key.key_id, NOW)
    store.revoke(key.key_id, NOW + timedelta(days=1))
    assert store.records()[0].revoked == NOW
    assert _ring(store).find(key.text, NOW) is Refusal.REVOKED
    with pytest.raises(PreconditionError, match="revoked"):
        store.rotate(key.key_id, timedelta(hours=1), NOW)
    assert store.records()[0].previous_digest is None


def test_a_rotation_overlaps(store: KeyStore) -> None:
    keys = [store.create(TERMS, NOW)]
    keys += [store.rotate(keys[0].key_id, timedelta(hours=1), NOW) for _ in range(2)]
    assert {key.key_id for key in keys} == {keys[0].key_id}
    ring = _ring(store)
    found = [ring.find(key.text, NOW) for key in keys]
    assert found[0] is Refusal.UNKNOWN  # its overlap was cut short by the second rotation
    assert isinstance(found[1], Principal)
    assert isinstance(found[2], Principal)
    assert ring.find(keys[1].text, NOW + timedelta(hours=1)) is Refusal.EXPIRED
    with pytest.raises(InvalidInputError):
        store.rotate(keys[0].key_id, timedelta(seconds=-1), NOW)


@pytest.mark.parametrize("key_id", ["aaaaaaaaaaaa", "", "' OR 1=1 --", "al_x"])
def test_a_key_that_is_not_there_cannot_be_changed(store: KeyStore, key_id: str) -> None:
    before = store.revision()
    with pytest.raises(NotFoundError):
        store.revoke(key_id, NOW)
    with pytest.raises(NotFoundError):
        store.rotate(key_id, timedelta(0), NOW)
    assert store.revision() == before


def test_every_change_of_a_key_is_a_revision(store: KeyStore) -> None:
    seen = [store.revision()]
    key = store.create(TERMS, NOW)
    seen.append(store.revision())
    store.rotate(key.key_id, timedelta(0), NOW)
    seen.append(store.revision())
    store.revoke(key.key_id, NOW)
    seen.append(store.revision())
    assert seen == sorted(set(seen))
    store.add_usage({(key.key_id, 1): Used(1)})
    assert store.revision() == seen[-1]  # no key changed


def test_usage_adds_up_by_day(store: KeyStore) -> None:
    store.add_usage({})
    store.add_usage({("a", 5): Used(1, 10, 100), ("b", 5): Used(2, 0, 7)})
    store.add_usage({("a", 5): Used(1, 10, 100), ("a", 6): Used(3, 30, 300)})
    assert store.spent(6) == {"a": Spent(6, 3, 30, 300, 500), "b": Spent(6, 0, 0, 0, 7)}


def test_gateways_add_usage_side_by_side(store: KeyStore, url: str) -> None:
    stores = [store, *(KeyStore.open(url, PEPPER) for _ in range(3))]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            list(pool.map(lambda one: one.add_usage({("a", 1): Used(1, 2, 3)}), stores))
    for other in stores[1:]:
        other.close()
    assert store.spent(1) == {"a": Spent(1, 40, 80, 120, 120)}


async def test_what_cannot_be_written_is_kept(store: KeyStore) -> None:
    class Broken:
        def add_usage(self, _: object) -> None:
            raise NotReadyError("away")

        def spent(self, _: int) -> dict[str, Spent]:
            raise AssertionError

    book = UsageBook()
    book.add("a", 5, Used(1, 10, 100))
    book.add("", 5, Used(1))  # no key of the store
    with pytest.raises(NotReadyError):
        await book.flush(Broken(), 5)
    book.add("a", 5, Used(1, 10, 100))
    assert book.spent("a", 5) == Spent(5, 2, 20, 200, 200)
    await book.flush(store, 5)
    await book.flush(store, 5)
    assert store.spent(5) == {"a": Spent(5, 2, 20, 200, 200)}
    assert book.spent("a", 5) == Spent(5, 2, 20, 200, 200)
    assert book.spent("a", 6) == Spent(6, 0, 0, 0, 200)


@pytest.mark.usefixtures("store")
def test_a_store_opens_with_its_own_pepper_only(url: str) -> None:
    with pytest.raises(PreconditionError, match="another pepper"):
        KeyStore.open(url, Pepper.random())


def test_processes_may_make_a_store_at_once(url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: KeyStore.open(url, PEPPER), range(4)))
    assert [one.revision() for one in stores] == [0] * 4
    for one in stores:
        one.close()


def test_a_newer_store_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite"
    KeyStore.open(f"sqlite:///{path}", PEPPER).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE gateway_key_meta SET version = 2")
    connection.close()
    with pytest.raises(PreconditionError, match="version 2"):
        KeyStore.open(f"sqlite:///{path}", PEPPER)


def test_the_file_is_for_its_owner_and_holds_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite"
    store = KeyStore.open(f"sqlite:///{path}", PEPPER)
    key = store.create(TERMS, NOW)
    secret = key.text[len("al_") + len(key.key_id) + 1 :]
    files = list(tmp_path.iterdir())
    assert len(files) > 1  # with SQLite's own
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert secret.encode() not in file.read_bytes()
    store.close()


@pytest.mark.parametrize("url", ["mysql://h/d", "sqlite://", "nonsense", ""])
def test_a_store_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="URL of the key store"):
        KeyStore.open(url, PEPPER)


def test_a_store_that_is_away_is_not_ready_and_says_no_password() -> None:
    with pytest.raises(NotReadyError) as caught:
        KeyStore.open("postgresql://me:hush@127.0.0.1:1/keys", PEPPER)
    assert "hush" not in str(caught.value)
