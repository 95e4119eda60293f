"""The span store: which spans are served, durable in one SQLite file.

Each change is one transaction that is on disk before the caller hears of it. A process
killed at any point leaves the state before or after the change, never a mixture.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from arenalab.search.index.protocol import FloatArray
from arenalab.search.store.database import Database
from arenalab.search.store.epoch import Epoch
from arenalab.search.store.row import NewRow, StoredRow, message_of

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
    "rowid, ordinal, span_id, domain, action, status, when_s, when_ns, quality, tags,"
    " outcome_key, source, creature, weight, hidden"
)
_INSERT: Final = (
    "INSERT INTO spans (part, ordinal, span_id, domain, action, status, when_s, when_ns,"
    " quality, tags, outcome_key, source, creature, payload, vector, weight, hidden)"
    " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
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
        try:
            self._epoch = Epoch(self._database)
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        """Closes the file; no call may be in progress."""
        self._database.close()

    @property
    def epoch(self) -> bytes:
        """What names the process that changed the store last; see `Epoch`."""
        return self._epoch.value

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

    def rows_of(self, rowids: Sequence[int]) -> list[StoredRow]:
        """Returns the rows of these numbers that are still there, by ascending span id."""
        found = self._by_rowid(f"SELECT {_STORED} FROM spans", rowids)  # noqa: S608
        return sorted((StoredRow._make(row) for row in found), key=lambda row: row.span_id)

    def vectors_of(self, rowids: Sequence[int], dimension: int) -> FloatArray:
        """Returns the vectors of added rows, in the order given; all must be there."""
        blobs = dict(self._by_rowid("SELECT rowid, vector FROM spans", rowids))
        return _matrix([blobs[rowid] for rowid in rowids], dimension)

    def rowids(self, part: int) -> list[int]:
        """Returns the numbers of a part's rows."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT rowid FROM spans WHERE part = ?", (part,)).fetchall()
        return [rowid for (rowid,) in rows]

    def changed_since(self, record: Record, generation: int) -> list[int]:
        """Returns the numbers of the rows that went or changed after a generation."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT span_row FROM changes WHERE added_part = ? AND generation > ?",
                (record.added_part, generation),
            ).fetchall()
        return [rowid for (rowid,) in rows]

    def forget_changes(self, record: Record, generation: int) -> None:
        """Drops the log up to a generation, whose segment file is on disk."""
        with self._database.writing() as connection:
            connection.execute(
                "DELETE FROM changes WHERE added_part = ? AND generation <= ?",
                (record.added_part, generation),
            )
            connection.execute(
                "INSERT OR REPLACE INTO logs (added_part, begins) VALUES (?, ?)",
                (record.added_part, generation),
            )

    def log_begins(self, record: Record) -> int:
        """Returns the generation up to which changes are forgotten."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT begins FROM logs WHERE added_part = ?", (record.added_part,)
            ).fetchone()
        return 0 if row is None else int(row[0])

    @property
    def disk_bytes(self) -> int:
        """The size of the store's files."""
        return self._database.disk_bytes

    def payloads(self, rowids: Sequence[int]) -> dict[int, bytes]:
        """Returns the payloads of the rows that are still there."""
        return dict(self._by_rowid("SELECT rowid, payload FROM spans", rowids))

    def texts(self, rowids: Sequence[int]) -> list[str]:
        """Returns what spans are about, in the order given; empty for a row that is gone."""
        texts: list[str] = []
        for start in range(0, len(rowids), _MAX_VARIABLES):
            some = rowids[start : start + _MAX_VARIABLES]
            payloads = self.payloads(some)
            texts += [message_of(payloads[r]).this if r in payloads else "" for r in some]
        return texts

    def _by_rowid(self, select: str, rowids: Sequence[int]) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        with self._database.reading() as connection:
            for start in range(0, len(rowids), _MAX_VARIABLES):
                some = rowids[start : start + _MAX_VARIABLES]
                marks = ",".join("?" * len(some))
                found += connection.execute(f"{select} WHERE rowid IN ({marks})", some).fetchall()
        return found

    def publish(
        self,
        new: NewVersion,
        rows: Iterable[tuple[int, NewRow]],
        *,
        added_vectors: FloatArray | None = None,
    ) -> Record:
        """Writes the rows of a version and makes it the live one, in one transaction.

        Spans that were added online stay, but for those that are now in the version.
        Weights and quarantine go with the span ids to the rows of the version.

        Args:
            new: The version.
            rows: Its spans, each with the number of its vector, ascending.
            added_vectors: New vectors of the added spans by ascending span id, when
                the version comes from another embedder. None keeps those they have.

        Raises:
            BudgetSpentError: STORAGE_FULL; nothing was kept.
        """
        with self._database.writing() as connection:
            part = _new_part(connection, new.tenant, new.dataset, new.version)
            connection.executemany(
                _INSERT,
                ((part, ordinal, *row, None, 1.0, 0) for ordinal, row in rows),
            )
            old = _find(connection, new.tenant, new.dataset)
            if old is None:
                added_part = _new_part(connection, new.tenant, new.dataset, ADDED)
            else:
                added_part = old.added_part
                if added_vectors is not None:
                    _replace_vectors(connection, added_part, added_vectors)
                _carry_marks(connection, old, part)
                connection.execute(
                    "DELETE FROM spans WHERE part = ? AND span_id IN"
                    " (SELECT span_id FROM spans WHERE part = ?)",
                    (added_part, part),
                )
                connection.execute("DELETE FROM changes WHERE added_part = ?", (added_part,))
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
            self._epoch.write(connection)
        self._epoch.written()
        return record

    def change(
        self,
        record: Record,
        *,
        added: Sequence[NewRow] = (),
        vectors: FloatArray | None = None,
        marks: Sequence[tuple[float, int]] | None = None,
        removed: Sequence[int] = (),
        weights: Mapping[int, float] | None = None,
        hidden: Mapping[int, int] | None = None,
    ) -> tuple[Record, list[StoredRow]]:
        """Changes a collection in one transaction.

        Args:
            record: The collection, as the store has it now.
            added: Spans whose ids no row holds, those of `removed` apart.
            vectors: Their vectors, row by row.
            marks: Their weight and hidden; None: 1 and 0 for all.
            removed: Rows to remove, before any is added.
            weights: Rows to weigh anew.
            hidden: Rows to hide (1) or to show (0).

        Returns:
            The collection after it, and the rows added, in the order given.

        Raises:
            BudgetSpentError: STORAGE_FULL; nothing was kept.
        """
        after = _next_generation(record)
        marks = [(1.0, 0)] * len(added) if marks is None else marks
        blobs = [] if vectors is None else [vector.tobytes() for vector in vectors.astype("<f4")]
        with self._database.writing() as connection:
            connection.executemany(
                "DELETE FROM spans WHERE rowid = ?", [(rowid,) for rowid in removed]
            )
            stored = [
                _insert(connection, record.added_part, row, blob, mark)
                for row, blob, mark in zip(added, blobs, marks, strict=True)
            ]
            _set(connection, "weight", weights or {})
            _set(connection, "hidden", hidden or {})
            touched = [*removed, *(weights or ()), *(hidden or ())]
            connection.executemany(
                "INSERT OR REPLACE INTO changes (added_part, generation, span_row)"
                " VALUES (?, ?, ?)",
                [(record.added_part, after.generation, rowid) for rowid in touched],
            )
            _write(connection, after)
            self._epoch.write(connection)
        self._epoch.written()
        return after, stored

    def purge(self, forget: Callable[[str, str, int], None] = lambda *_: None) -> bool:
        """Removes some rows of parts that no collection names; returns whether more are left.

        Args:
            forget: Told tenant, dataset and number of a part before the last of it goes;
                the part stays, and is told of again, if it raises.
        """
        with self._database.writing() as connection:
            dead = connection.execute(
                "SELECT part, tenant, dataset FROM parts WHERE part NOT IN"
                " (SELECT live_part FROM collections UNION SELECT added_part FROM collections)"
                " LIMIT 1"
            ).fetchone()
            if dead is None:
                return False
            part, tenant, dataset = dead
            removed = connection.execute(
                "DELETE FROM spans WHERE rowid IN (SELECT rowid FROM spans WHERE part = ? LIMIT ?)",
                (part, PURGED_AT_ONCE),
            ).rowcount
            if removed == PURGED_AT_ONCE:
                return True
        forget(tenant, dataset, part)
        with self._database.writing() as connection:
            connection.execute("DELETE FROM parts WHERE part = ?", (part,))
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


def _insert(
    connection: sqlite3.Connection, part: int, row: NewRow, vector: bytes, mark: tuple[float, int]
) -> StoredRow:
    cursor = connection.execute(_INSERT, (part, None, *row, vector, *mark))
    return StoredRow(cursor.lastrowid or 0, None, *row[:-1], *mark)


def _set(connection: sqlite3.Connection, column: str, values: Mapping[int, float]) -> None:
    connection.executemany(
        f"UPDATE spans SET {column} = ? WHERE rowid = ?",  # noqa: S608 - one of two literals
        [(value, rowid) for rowid, value in values.items()],
    )


def _carry_marks(connection: sqlite3.Connection, old: Record, part: int) -> None:
    connection.execute(
        "UPDATE spans SET weight = old.weight, hidden = old.hidden FROM"
        " (SELECT span_id, weight, hidden FROM spans WHERE part IN (?, ?)"
        " AND (weight != 1 OR hidden != 0)) AS old"
        " WHERE spans.part = ? AND spans.span_id = old.span_id",
        (old.live_part, old.added_part, part),
    )


def _matrix(blobs: Sequence[bytes], dimension: int) -> FloatArray:
    return np.frombuffer(b"".join(blobs), "<f4").reshape(-1, dimension).astype(np.float32)


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
