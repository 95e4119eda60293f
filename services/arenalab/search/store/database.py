"""SQLite's connections and failures, as the span store sees them."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from arenalab.mesh import BudgetSpentError, DataLossError, NotReadyError, Reason
from arenalab.search.store.schema import APPLICATION_ID, PRAGMAS, SCHEMA, SCHEMA_VERSION, TABLES

try:
    import fcntl
except ImportError:  # no such locks on Windows: there, one process per store is up to the operator
    fcntl = None  # type: ignore[assignment]

_PRIMARY: Final = 0xFF  # an extended result code carries the primary one in its low byte
_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})

# How SQLite reports a quota and a limit on the size of files.
_NO_ROOM: Final = frozenset({sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE})
_AWAY: Final = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN})


class Database:
    """One file: a connection that writes, and one that reads for each thread."""

    def __init__(self, path: Path) -> None:
        """Opens the file, creating it with its folder if it is not there.

        Raises:
            DataLossError: The file is damaged or is no span store.
            NotReadyError: Another process has it open.
        """
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._process_lock = _lock(path.with_name(path.name + ".lock"))
        self._write_lock = threading.Lock()
        self._thread = threading.local()
        self._readers: list[sqlite3.Connection] = []
        try:
            self._writer = self._open()
        except BaseException:
            self._process_lock.close()
            raise

    def close(self) -> None:
        """Closes every connection, once a transaction in progress has ended."""
        with self._write_lock:
            for connection in [*self._readers, self._writer]:
                connection.close()
            self._process_lock.close()

    @property
    def disk_bytes(self) -> int:
        """The size of the file and its log."""
        files = [self.path, self.path.with_name(self.path.name + "-wal")]
        return sum(file.stat().st_size for file in files if file.exists())

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yields the connection inside a transaction: all of the block happens, or nothing."""
        with self._write_lock, self._translated():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                # A full disk may have ended the transaction already.
                with suppress(sqlite3.Error):
                    if self._writer.in_transaction:
                        self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yields this thread's own connection, which cannot write."""
        with self._translated():
            connection: sqlite3.Connection | None = getattr(self._thread, "connection", None)
            if connection is None:
                connection = self._connect()
                connection.execute("PRAGMA query_only = ON")
                self._thread.connection = connection
                self._readers.append(connection)
            yield connection

    def _open(self) -> sqlite3.Connection:
        with self._translated():
            connection = self._connect()
            try:
                self._check(connection)
            except BaseException:
                connection.close()
                raise
            return connection

    def _connect(self) -> sqlite3.Connection:
        # Transactions are begun by hand; a pool's threads are joined before `close`.
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            for pragma in PRAGMAS:
                connection.execute(pragma)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables == 0:
            connection.executescript(
                f"BEGIN; {SCHEMA}"
                f"PRAGMA application_id = {APPLICATION_ID};"
                f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
            return
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if (application, version) != (APPLICATION_ID, SCHEMA_VERSION):
            raise self._damaged(f"is no span store of version {SCHEMA_VERSION}")
        found = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        if missing := set(TABLES) - {name for (name,) in found}:
            raise self._damaged(f"has no table {', '.join(sorted(missing))}")
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise self._damaged(f"is damaged: {verdict}")

    def _damaged(self, what: str) -> DataLossError:
        return DataLossError(
            f"the span store {self.path} {what}; restore it, or move it away and publish again",
            Reason.CORRUPT_DATASET,
            file=self.path.name,
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
            if code == sqlite3.SQLITE_FULL:
                raise BudgetSpentError(
                    "the disk is full; nothing was kept",
                    Reason.STORAGE_FULL,
                    path=self.path.name,
                ) from error
            if getattr(error, "sqlite_errorcode", 0) in _NO_ROOM:
                raise BudgetSpentError(
                    "the disk is full, or a file has reached its limit; nothing was kept",
                    Reason.STORAGE_FULL,
                    path=self.path.name,
                ) from error
            if code in _DAMAGE:
                raise self._damaged(f"is damaged: {error}") from error
            if code in _AWAY:
                raise NotReadyError(
                    f"the span store {self.path} cannot be used: {error}"
                ) from error
            raise


class _ProcessLock:
    """Keeps a second process out: its view in memory would not see our writes."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w")
        try:
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise NotReadyError(f"{path} is held: another process serves this store") from error

    def close(self) -> None:
        self._file.close()


def _lock(path: Path) -> _ProcessLock:
    return _ProcessLock(path)
