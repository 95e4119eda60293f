"""The disk: one SQLite file of bytes by key, bounded by size.

What a library of this kind offers, diskcache, unpickles what it finds in its folder, and has had
no release since 2023. Here a value is bytes or it is not read. The file is a cache: it is not
synced, and one that is damaged is begun anew.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from arenalab.caching.layer import Entry
from arenalab.caching.statistics import LayerStatistics

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")

# "ALca": tells our file from any other SQLite file.
_APPLICATION_ID: Final = 0x414C6361
_SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE entries (
  key BLOB PRIMARY KEY,
  value BLOB NOT NULL,
  size INTEGER NOT NULL,    -- of key, value and overhead
  expires_at REAL NOT NULL, -- seconds since 1970
  used_at REAL NOT NULL
) STRICT;
CREATE INDEX entries_by_use ON entries (used_at, size);
CREATE INDEX entries_by_expiry ON entries (expires_at);
"""
_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = OFF",
    "PRAGMA busy_timeout = 250",
    "PRAGMA journal_size_limit = 4194304",
)
# Of a row and its places in the indexes.
OVERHEAD_BYTES: Final = 200
# A value's use is written when the last one is so old: reading stays reading.
_NOTED_EVERY_S: Final = 60.0
# To this share of the bound the file is cut when it is over it, so that not every value cuts.
_CUT_TO: Final = 0.9
_MAX_VARIABLES: Final = 500


class DiskLayer:
    """Bytes by key in a file. One thread of its own reads and writes it."""

    name: Final = "disk"

    def __init__(
        self,
        path: Path,
        max_bytes: int,
        statistics: LayerStatistics,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Opens the file with the first operation.

        Args:
            path: Of the file; its folder is made, readable by nobody else.
            max_bytes: Of values, keys and overhead; the file itself is somewhat larger.
            statistics: Counts evictions and failures.
            now: Seconds since 1970.
        """
        self._path = path
        self._max_bytes = max_bytes
        self._statistics = statistics
        self._now = now
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache")
        self._connection: sqlite3.Connection | None = None
        self._size = 0

    async def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return await self._run(lambda connection: self._get(connection, keys), {})

    async def set_many(self, entries: Mapping[bytes, Entry]) -> None:
        await self._run(lambda connection: self._set(connection, entries), None)

    async def delete(self, keys: Sequence[bytes]) -> None:
        rows = [(key,) for key in keys]

        def delete(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM entries WHERE key = ?", rows)
            self._measure(connection)

        await self._run(delete, None)

    async def clear(self) -> None:
        def clear(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM entries")
            # What was deleted is gone from the file too.
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._measure(connection)

        await self._run(clear, None)

    async def recent(self, limit: int) -> list[bytes]:
        def recent(connection: sqlite3.Connection) -> list[bytes]:
            rows = connection.execute(
                "SELECT key FROM entries WHERE expires_at > ? ORDER BY used_at DESC LIMIT ?",
                (self._now(), limit),
            )
            return [key for (key,) in rows]

        return await self._run(recent, [])

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[sqlite3.Connection], _T], otherwise: _T) -> _T:
        """Returns what `work` returns on the thread; `otherwise` where the file fails."""

        def attempt() -> _T:
            try:
                if self._connection is None:
                    self._connection = self._opened()
                return work(self._connection)
            except (sqlite3.Error, OSError) as error:
                self._failed(error)
                return otherwise

        return await asyncio.get_running_loop().run_in_executor(self._thread, attempt)

    def _get(self, connection: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        now = self._now()
        found: dict[bytes, bytes] = {}
        used: list[tuple[float, bytes]] = []
        for start in range(0, len(keys), _MAX_VARIABLES):
            some = keys[start : start + _MAX_VARIABLES]
            marks = ",".join("?" * len(some))
            rows = connection.execute(
                "SELECT key, value, used_at FROM entries"  # noqa: S608 - question marks
                f" WHERE expires_at > ? AND key IN ({marks})",
                (now, *some),
            )
            for key, value, used_at in rows:
                if isinstance(value, bytes):  # a file of somebody else's may hold anything
                    found[key] = value
                if now - used_at > _NOTED_EVERY_S:
                    used.append((now, key))
        if used:
            connection.executemany("UPDATE entries SET used_at = ? WHERE key = ?", used)
        return found

    def _set(self, connection: sqlite3.Connection, entries: Mapping[bytes, Entry]) -> None:
        now = self._now()
        rows = [
            (key, entry.value, _size(key, entry.value), now + entry.ttl_s, now)
            for key, entry in entries.items()
            if entry.ttl_s > 0 and _size(key, entry.value) <= self._max_bytes
        ]
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(
                "INSERT OR REPLACE INTO entries (key, value, size, expires_at, used_at)"
                " VALUES (?, ?, ?, ?, ?)",
                rows,
            )
            self._size += sum(row[2] for row in rows)
            if self._size > self._max_bytes:
                self._cut(connection, now)
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        self._statistics.hold(self._size)

    def _cut(self, connection: sqlite3.Connection, now: float) -> None:
        """Removes what has expired, then what was not used for the longest, down to the bound."""
        connection.execute("DELETE FROM entries WHERE expires_at <= ?", (now,))
        self._measure(connection)
        if self._size <= self._max_bytes:
            return
        over = self._size - int(self._max_bytes * _CUT_TO)
        removed = connection.execute(
            "DELETE FROM entries WHERE key IN (SELECT key FROM (SELECT key, size,"
            " sum(size) OVER (ORDER BY used_at, key) AS running FROM entries)"
            " WHERE running - size < ?)",
            (over,),
        ).rowcount
        self._statistics.evicted(removed)
        self._measure(connection)

    def _measure(self, connection: sqlite3.Connection) -> None:
        (size,) = connection.execute("SELECT coalesce(sum(size), 0) FROM entries").fetchone()
        self._size = int(size)
        self._statistics.hold(self._size)

    def _opened(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path.touch(mode=0o600)
        try:
            return self._checked()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # busy, or the disk is full
                raise
            _logger.warning("the cache %s is damaged and begun anew: %s", self._path, error)
            self._statistics.failed()
            self._remove()
            self._path.touch(mode=0o600)
            return self._checked()

    def _checked(self) -> sqlite3.Connection:
        # Transactions are begun by hand; the one thread is not the one that made the layer.
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            if tables == 0:
                connection.executescript(
                    f"BEGIN; {_SCHEMA} PRAGMA application_id = {_APPLICATION_ID};"
                    f" PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;"
                )
            _check_kind(connection)
            self._measure(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _failed(self, error: Exception) -> None:
        self._statistics.failed()
        _logger.warning("the cache %s fails: %s", self._path, error)
        self._close()
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(
            error, sqlite3.OperationalError
        ):
            with suppress(OSError):
                self._remove()

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _close(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def _check_kind(connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if (application, version) != (_APPLICATION_ID, _SCHEMA_VERSION):
        raise sqlite3.DatabaseError(f"it is no cache of version {_SCHEMA_VERSION}")


def _size(key: bytes, value: bytes) -> int:
    return len(key) + len(value) + OVERHEAD_BYTES
