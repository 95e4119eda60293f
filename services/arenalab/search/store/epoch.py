"""Which process made the last change of a store, by a random number.

With a generation it names a state of a collection for good. A generation alone would not: where a
store is restored from a copy, generations go on from there, and count other changes than before.
An earlier release has no such table, and does not miss it.
"""

import os
import sqlite3
from typing import Final

from arenalab.search.store.database import Database

_BYTES: Final = 16
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS epoch (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  epoch BLOB NOT NULL
) STRICT;
"""


class Epoch:
    """The store's epoch: that of the file until this process changes something."""

    def __init__(self, database: Database) -> None:
        self._own = os.urandom(_BYTES)
        self.value = _read(database)

    def write(self, connection: sqlite3.Connection) -> None:
        """Writes this process's epoch, as part of a change."""
        if self.value != self._own:
            connection.execute(_TABLE)
            connection.execute(
                "INSERT OR REPLACE INTO epoch (one, epoch) VALUES (1, ?)", (self._own,)
            )

    def written(self) -> None:
        """Notes that the change is on disk."""
        self.value = self._own


def _read(database: Database) -> bytes:
    with database.reading() as connection:
        there = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'epoch'").fetchone()
        if there is None:  # made with the first change: opening a store writes nothing
            return b""
        row = connection.execute("SELECT epoch FROM epoch").fetchone()
    return b"" if row is None else bytes(row[0])
