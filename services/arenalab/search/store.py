"""The span store: which spans are served, durable in one SQLite file.

Each change is one transaction that is on disk before the caller hears of it. A process
killed at any point leaves the state before or after the change, never a mixture.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from arenalab.search.database import Database
from arenalab.search.index import FloatArray
from arenalab.search.row import NewRow, StoredRow

ADDED: Final = "added"
# Rows of a replaced version removed in one transaction: adding waits for no longer.
PURGED_AT_ONCE: Final = 2000
# SQLite's oldest limit on the variables of a statement.
_MAX_VARIABLES: Final = 900

_COLLECTION: Final = (
    "tenant, dataset, version, published_at_ns, generation, embedder_id, embedder_digest,"
    " dimension, live_part, added_part"
)
_STORED: Final = (
    "rowid, ordinal, span_id, domain, action, status, when_s, when_ns, quality, tags, outcome_key"
)
_INSERT: Final = (
    "INSERT INTO spans (part, ordinal, span_id, domain, action, status, when_s, when_ns,"
    " quality, tags, outcome_key, payload, vector) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What the store says of one collection."""

    tenant: str
    dataset: str
    version: str  # 64 hex digits
    published_at_ns: int
    generation: int  # grows by one with every change
    embedder_id: str
    embedder_digest: str
    dimension: int
    live_part: int
    added_part: int


@dataclass(frozen=True, kw_only=True, slots=True)
class NewVersion:
    """A version to make live."""

    tenant: str
    dataset: str
    version: str
    published_at_ns: int
    embedder_id: str
    embedder_digest: str
    dimension: int


class SpanStore:
    """Collections and their spans. Reads may run on any thread beside one write."""

    def __init__(self, path: Path) -> None:
        """Opens the file at `path`, or creates it; see `Database` for what it raises."""
        self._database = Database(path)

    def close(self) -> None:
        """Closes the file; no call may be in progress."""
        self._database.close()

    def records(self) -> list[Record]:
        """Returns every collection, the one published last first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT {_COLLECTION} FROM collections ORDER BY live_part DESC"  # noqa: S608
            ).fetchall()
        return [_record(row) for row in rows]

    def rows(self, part: int) -> list[StoredRow]:
        """Returns the rows of a part by ascending span id."""
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT {_STORED} FROM spans WHERE part = ? ORDER BY span_id",  # noqa: S608
                (part,),
            )
            return [StoredRow._make(row) for row in rows]

    def vectors(self, part: int, dimension: int) -> FloatArray:
        """Returns the vectors of an added part by ascending span id."""
        with self._database.reading() as connection:
            blobs = connection.execute(
                "SELECT vector FROM spans WHERE part = ? ORDER BY span_id", (part,)
            ).fetchall()
        joined = b"".join(blob for (blob,) in blobs)
        return np.frombuffer(joined, "<f4").reshape(-1, dimension).astype(np.float32)

    def payloads(self, rowids: Sequence[int]) -> dict[int, bytes]:
        """Returns the payloads of the rows that are still there."""
        found: dict[int, bytes] = {}
        with self._database.reading() as connection:
            for start in range(0, len(rowids), _MAX_VARIABLES):
                some = rowids[start : start + _MAX_VARIABLES]
                marks = ",".join("?" * len(some))
                found.update(
                    connection.execute(
                        f"SELECT rowid, payload FROM spans WHERE rowid IN ({marks})",  # noqa: S608
                        some,
                    ).fetchall()
                )
        return found

    def publish(
        self, new: NewVersion, rows: Iterable[NewRow], *, added_vectors: FloatArray | None = None
    ) -> Record:
        """Writes the rows of a version and makes it the live one, in one transaction.

        Spans that were added online stay, but for those that are now in the version.

        Args:
            new: The version.
            rows: Its spans in the order of its vectors.
            added_vectors: New vectors of the added spans by ascending span id, when
                the version comes from another embedder. None keeps those they have.

        Raises:
            BudgetSpentError: STORAGE_FULL; nothing was kept.
        """
        with self._database.writing() as connection:
            part = _new_part(connection, new.tenant, new.dataset, new.version)
            connection.executemany(
                _INSERT,
                ((part, ordinal, *row, None) for ordinal, row in enumerate(rows)),
            )
            old = _find(connection, new.tenant, new.dataset)
            if old is None:
                added_part = _new_part(connection, new.tenant, new.dataset, ADDED)
            else:
                added_part = old.added_part
                if added_vectors is not None:
                    _replace_vectors(connection, added_part, added_vectors)
                connection.execute(
                    "DELETE FROM spans WHERE part = ? AND span_id IN"
                    " (SELECT span_id FROM spans WHERE part = ?)",
                    (added_part, part),
                )
            record = Record(
                tenant=new.tenant,
                dataset=new.dataset,
                version=new.version,
                published_at_ns=new.published_at_ns,
                generation=1 if old is None else old.generation + 1,
                embedder_id=new.embedder_id,
                embedder_digest=new.embedder_digest,
                dimension=new.dimension,
                live_part=part,
                added_part=added_part,
            )
            _write(connection, record)
        return record

    def add(
        self, record: Record, rows: Sequence[NewRow], vectors: FloatArray
    ) -> tuple[Record, list[StoredRow]]:
        """Adds spans to a collection in one transaction.

        Args:
            record: The collection, as the store has it now.
            rows: Spans that neither the version nor the added part holds.
            vectors: Their vectors, row by row.

        Returns:
            The collection after it, and the rows in the order given.

        Raises:
            BudgetSpentError: STORAGE_FULL; nothing was kept.
        """
        stored = []
        little_endian = vectors.astype("<f4")
        with self._database.writing() as connection:
            for row, vector in zip(rows, little_endian, strict=True):
                values = (record.added_part, None, *row, vector.tobytes())
                cursor = connection.execute(_INSERT, values)
                stored.append(StoredRow(cursor.lastrowid or 0, None, *row[:-1]))
            after = _next_generation(record)
            _write(connection, after)
        return after, stored

    def purge(self) -> bool:
        """Removes some rows of parts that no collection names; returns whether more are left."""
        with self._database.writing() as connection:
            dead = connection.execute(
                "SELECT part FROM parts WHERE part NOT IN"
                " (SELECT live_part FROM collections UNION SELECT added_part FROM collections)"
                " LIMIT 1"
            ).fetchone()
            if dead is None:
                return False
            removed = connection.execute(
                "DELETE FROM spans WHERE rowid IN (SELECT rowid FROM spans WHERE part = ? LIMIT ?)",
                (*dead, PURGED_AT_ONCE),
            ).rowcount
            if removed < PURGED_AT_ONCE:
                connection.execute("DELETE FROM parts WHERE part = ?", dead)
        return True


def _record(row: tuple[object, ...]) -> Record:
    return Record(**dict(zip(Record.__slots__, row, strict=True)))  # type: ignore[arg-type]


def _next_generation(record: Record) -> Record:
    values = {name: getattr(record, name) for name in Record.__slots__}
    return Record(**{**values, "generation": record.generation + 1})


def _find(connection: sqlite3.Connection, tenant: str, dataset: str) -> Record | None:
    row = connection.execute(
        f"SELECT {_COLLECTION} FROM collections WHERE tenant = ? AND dataset = ?",  # noqa: S608
        (tenant, dataset),
    ).fetchone()
    return None if row is None else _record(row)


def _new_part(connection: sqlite3.Connection, tenant: str, dataset: str, version: str) -> int:
    cursor = connection.execute(
        "INSERT INTO parts (tenant, dataset, version) VALUES (?, ?, ?)",
        (tenant, dataset, version),
    )
    return cursor.lastrowid or 0


def _write(connection: sqlite3.Connection, record: Record) -> None:
    connection.execute(
        f"INSERT OR REPLACE INTO collections ({_COLLECTION})"  # noqa: S608
        " VALUES (?,?,?,?,?,?,?,?,?,?)",
        [getattr(record, name) for name in Record.__slots__],
    )


def _replace_vectors(connection: sqlite3.Connection, part: int, vectors: FloatArray) -> None:
    rowids = connection.execute(
        "SELECT rowid FROM spans WHERE part = ? ORDER BY span_id", (part,)
    ).fetchall()
    connection.executemany(
        "UPDATE spans SET vector = ? WHERE rowid = ?",
        [
            (vector.tobytes(), rowid)
            for vector, (rowid,) in zip(vectors.astype("<f4"), rowids, strict=True)
        ],
    )
