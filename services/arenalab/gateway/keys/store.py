"""The key store: SQLite in the home, or PostgreSQL for several gateways.

Blocking; the gateway calls it from threads and never while a request waits.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from arenalab.gateway.keys.key import NewKey, is_key_id, make_key
from arenalab.gateway.keys.pepper import Pepper
from arenalab.gateway.keys.record import KeyRecord, KeyTerms
from arenalab.gateway.keys.tables import KEYS, META, METADATA, ONLY, USAGE, VERSION
from arenalab.gateway.keys.terms import check_terms
from arenalab.gateway.limits.caps import Caps
from arenalab.gateway.limits.usage import Spent, Used
from arenalab.mesh import (
    ConfigError,
    InvalidInputError,
    NotFoundError,
    NotReadyError,
    PreconditionError,
)

_TIMEOUT_S: Final = 5
_IS_WRITING: Final = "arenalab_is_writing"
_CAPS: Final = tuple(one.name for one in fields(Caps))


class KeyStore:
    """All keys, and what each has used."""

    def __init__(self, engine: sa.Engine, pepper: Pepper) -> None:
        """Wraps a database whose tables are there; use `open`."""
        self._engine = engine
        self._pepper = pepper

    @classmethod
    def open(cls, url: str, pepper: Pepper) -> Self:
        """Opens a store, and makes its tables where there are none.

        Args:
            url: "sqlite:///PATH" or "postgresql://USER@HOST/NAME".
            pepper: That every key of this store is hashed with.

        Raises:
            ConfigError: The URL is not of a known kind.
            NotReadyError: The database cannot be reached.
            PreconditionError: The store is of a newer version, or its keys were hashed
                with another pepper.
        """
        store = cls(_engine(url), pepper)
        try:
            store._prepare()
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()

    def revision(self) -> int:
        """Returns a number that grows with every change of a key.

        Raises:
            NotReadyError: The database cannot be reached; so do all methods below.
        """
        with self._reading() as connection:
            revision: int = connection.execute(sa.select(META.c.revision)).scalar_one()
            return revision

    def records(self) -> tuple[KeyRecord, ...]:
        """Returns every key, the oldest first."""
        with self._reading() as connection:
            rows = connection.execute(sa.select(KEYS).order_by(KEYS.c.created, KEYS.c.key_id))
            return tuple(_record(row._asdict()) for row in rows)

    def create(self, terms: KeyTerms, now: datetime) -> NewKey:
        """Makes a key; its text is in what is returned and nowhere else.

        Raises:
            InvalidInputError: A term is out of its range.
        """
        check_terms(terms, now)
        key = make_key()
        with self._changing() as connection:
            connection.execute(
                sa.insert(KEYS).values(
                    key_id=key.key_id,
                    digest=self._pepper.digest(key.text),
                    tenant=terms.tenant,
                    name=terms.name,
                    models=json.dumps(terms.models),
                    created=_seconds(now),
                    expires=None if terms.expires is None else _seconds(terms.expires),
                    **{name: getattr(terms.caps, name) for name in _CAPS},
                )
            )
        return key

    def revoke(self, key_id: str, now: datetime) -> None:
        """Ends a key for good, the secret before its last rotation too.

        Revoking it again changes nothing.

        Raises:
            NotFoundError: There is no such key.
        """
        with self._changing() as connection:
            first = sa.func.coalesce(KEYS.c.revoked, _seconds(now))
            self._update(connection, key_id, revoked=first)

    def rotate(self, key_id: str, overlap: timedelta, now: datetime) -> NewKey:
        """Gives a key a new secret, at once. The one before works until `now + overlap`.

        One that still overlaps from an earlier rotation ends now.

        Raises:
            InvalidInputError: The overlap is negative.
            NotFoundError: There is no such key.
            PreconditionError: The key is revoked.
        """
        if overlap < timedelta(0):
            raise InvalidInputError(f"the overlap must be >= 0, got {overlap}", field="overlap")
        key = make_key(key_id if is_key_id(key_id) else None)
        with self._changing() as connection:
            self._update(
                connection,
                key_id,
                previous_digest=KEYS.c.digest,
                previous_until=_seconds(now + overlap),
                digest=self._pepper.digest(key.text),
            )
            of_key = sa.select(KEYS.c.revoked).where(KEYS.c.key_id == key_id)
            if connection.execute(of_key).scalar_one() is not None:
                raise PreconditionError(f"the key {key_id} is revoked; create a new one")
        return key

    def add_usage(self, used: Mapping[tuple[str, int], Used]) -> None:
        """Adds what keys have used, by (key id, day since 1970)."""
        if not used:
            return
        with self._writing() as connection:
            # In one order everywhere, so that two gateways never wait for each other.
            for (key_id, day), amounts in sorted(used.items()):
                connection.execute(self._adding(key_id, day, amounts))

    def spent(self, day: int) -> dict[str, Spent]:
        """Returns what each key has used on a day, and its cost in all."""
        today = sa.case((USAGE.c.day == day, 1), else_=0)
        sums = [
            sa.func.coalesce(sa.func.sum(column), 0)
            for column in (
                USAGE.c.requests * today,
                USAGE.c.tokens * today,
                USAGE.c.usd_micros * today,
                USAGE.c.usd_micros,
            )
        ]
        with self._reading() as connection:
            rows = connection.execute(sa.select(USAGE.c.key_id, *sums).group_by(USAGE.c.key_id))
            # PostgreSQL sums to its decimal type.
            return {row[0]: Spent(day, *(int(value) for value in row[1:])) for row in rows}

    def _adding(self, key_id: str, day: int, used: Used) -> Any:
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        amounts = {
            "requests": used.requests,
            "tokens": used.tokens,
            "usd_micros": used.usd_micros,
        }
        inserting = dialect.insert(USAGE).values(key_id=key_id, day=day, **amounts)
        return inserting.on_conflict_do_update(
            index_elements=[USAGE.c.key_id, USAGE.c.day],
            set_={name: USAGE.c[name] + inserting.excluded[name] for name in amounts},
        )

    @staticmethod
    def _update(connection: sa.Connection, key_id: str, **values: Any) -> None:
        changed = connection.execute(
            sa.update(KEYS).where(KEYS.c.key_id == key_id).values(**values)
        )
        if changed.rowcount == 0:
            raise NotFoundError(f"there is no key {key_id[:64]!r}", key=key_id[:64])

    def _prepare(self) -> None:
        try:
            self._create_tables()
        except NotReadyError:  # another process made them between the look and the making
            self._create_tables()
        with self._reading() as connection:
            row = connection.execute(sa.select(META)).one()
        if row.version > VERSION:
            raise PreconditionError(
                f"the key store has version {row.version}, this program knows {VERSION}"
            )
        if row.pepper_check != self._pepper.check():
            raise PreconditionError(
                "the keys of this store were hashed with another pepper: see GATEWAY_KEY_PEPPER"
            )

    def _create_tables(self) -> None:
        with self._writing() as connection:
            METADATA.create_all(connection)
            if connection.execute(sa.select(META.c.id)).first() is None:
                connection.execute(
                    sa.insert(META).values(
                        id=ONLY, version=VERSION, revision=0, pepper_check=self._pepper.check()
                    )
                )

    @contextmanager
    def _changing(self) -> Iterator[sa.Connection]:
        """Changes keys in one transaction, which gateways then notice."""
        with self._writing() as connection:
            # First of all: it takes the write lock, so that nothing read before can change.
            connection.execute(sa.update(META).values(revision=META.c.revision + 1))
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        writing = self._engine.execution_options(**{_IS_WRITING: True})
        with _as_not_ready(), writing.begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with _as_not_ready(), self._engine.connect() as connection:
            yield connection


@contextmanager
def _as_not_ready() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        # Its message has the statement and, with it, hashes; the cause stays attached.
        kind = type(getattr(error, "orig", None) or error).__name__
        raise NotReadyError(f"the key store does not answer ({kind})") from error


def _engine(url: str) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
    except SQLAlchemyError:
        raise ConfigError("the URL of the key store is malformed") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite" and parsed.database:
        path = Path(parsed.database)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Made here for its mode: SQLite gives its further files the mode of the first.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        engine = sa.create_engine(
            parsed, connect_args={"timeout": _TIMEOUT_S}, hide_parameters=True
        )
        sa.event.listen(engine, "connect", _use_wal)
        sa.event.listen(engine, "begin", _begin)
        return engine
    if backend == "postgresql":
        return sa.create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            connect_args={"connect_timeout": _TIMEOUT_S},
            pool_pre_ping=True,
            pool_size=2,
            hide_parameters=True,
        )
    raise ConfigError("the URL of the key store must be sqlite:///PATH or postgresql://…")


def _use_wal(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself
    # Then `arenalab keys` never waits for a gateway that reads, nor the other way round.
    # It lasts; the switch fails only beside somebody who is at it too.
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode=WAL").close()


def _begin(connection: sa.Connection) -> None:
    # Who will write waits for the lock here: one that was taken after a read would fail
    # at once where another process wrote in between.
    is_writing = connection.get_execution_options().get(_IS_WRITING)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


def _record(row: Mapping[str, Any]) -> KeyRecord:
    return KeyRecord(
        key_id=row["key_id"],
        digest=row["digest"],
        terms=KeyTerms(
            name=row["name"],
            tenant=row["tenant"],
            models=tuple(json.loads(row["models"])),
            caps=Caps(**{name: row[name] for name in _CAPS}),
            expires=_time(row["expires"]),
        ),
        created=_time(row["created"]) or datetime.fromtimestamp(0, UTC),
        revoked=_time(row["revoked"]),
        previous_digest=row["previous_digest"],
        previous_until=_time(row["previous_until"]),
    )


def _seconds(time: datetime) -> int:
    return int(time.timestamp())


def _time(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
