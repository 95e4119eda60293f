"""What SQLite's errors mean to a caller."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from arenalab.mesh import BusyError, DataLossError, Reason

_PRIMARY: Final = 0xFF  # extended result codes keep the primary one in their lowest byte
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
# A limit on the size of files, or a quota, fails a write as a full disk does.
_FULL: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
)
_HELD: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns errors of the database at `path` into those that the mesh documents.

    Raises:
        OSError: The disk is full.
        DataLossError: CORRUPT_DATASET; the file is damaged.
        BusyError: Another process writes it.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        extended = getattr(error, "sqlite_errorcode", 0)
        code = extended & _PRIMARY
        if _FULL & {code, extended}:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        if code in _DAMAGED:
            raise DataLossError(
                f"{path.name}: the working set is damaged: {error}",
                Reason.CORRUPT_DATASET,
                file=path.name,
            ) from error
        if code in _HELD:
            raise BusyError(
                "another process writes this working set", job="ingest", dataset=path.stem
            ) from error
        raise
