"""The working set of a dataset: every span ingested so far, before it is published.

One SQLite file per dataset. A file is ingested in one transaction: its spans are all
there, or none is. Beside the spans it keeps the vectors of texts, so that publishing
again embeds only what is new.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from enum import Enum, auto
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from arenalab.atomic import Span, SpanError, content_hash, dump_line, parse_line
from arenalab.curator.storage import storage_errors
from arenalab.mesh import DataLossError, Reason

Vectors: TypeAlias = NDArray[np.float32]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS spans (
    place INTEGER PRIMARY KEY,      -- order of arrival
    id TEXT NOT NULL UNIQUE,
    content BLOB NOT NULL,          -- content hash
    line BLOB NOT NULL              -- canonical JSON with metadata
) STRICT;
CREATE TABLE IF NOT EXISTS vectors (
    embedder TEXT NOT NULL,         -- digest
    text BLOB NOT NULL,             -- hash of the text
    vector BLOB NOT NULL,           -- float32, little-endian
    PRIMARY KEY (embedder, text)
) STRICT, WITHOUT ROWID;
"""
# Rows asked for at once; SQLite takes 32,766 variables.
_BATCH: Final = 1000


class Added(Enum):
    """What became of a span that was added."""

    NEW = auto()
    DUPLICATE = auto()  # the same span is there
    CONFLICT = auto()  # another span has its id


class WorkingSet:
    """One dataset's spans in order of arrival. One thread at a time may use it."""

    def __init__(self, path: Path) -> None:
        """Opens the file at `path`, new if need be.

        Raises:
            DataLossError: CORRUPT_DATASET; the file is damaged.
        """
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with storage_errors(path):
            # A job runs on the threads of a pool, one after the other.
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                # WAL: counting and publishing go on while a file is ingested.
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
                self._db.executescript(_SCHEMA)
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        """Closes the file; what was not committed is dropped."""
        self._db.close()

    def begin(self, *, replace: bool) -> None:
        """Begins to add; `replace` drops what was there when the addition is committed."""
        with storage_errors(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            if replace:
                self._db.execute("DELETE FROM spans")

    def add(self, span: Span) -> Added:
        """Adds one span."""
        content = bytes.fromhex(content_hash(span))
        with storage_errors(self.path):
            row = (span.id, content, dump_line(span))
            done = self._db.execute(
                "INSERT INTO spans (id, content, line) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", row
            )
            if done.rowcount:
                return Added.NEW
            known = self._db.execute("SELECT content FROM spans WHERE id = ?", row[:1]).fetchone()
        return Added.DUPLICATE if known[0] == content else Added.CONFLICT

    def commit(self) -> None:
        """Makes what was added since `begin` durable."""
        with storage_errors(self.path):
            self._db.execute("COMMIT")

    def rollback(self) -> None:
        """Drops what was added since `begin`."""
        if self._db.in_transaction:  # SQLite may have rolled back itself, on a full disk
            self._db.execute("ROLLBACK")

    def __len__(self) -> int:
        with storage_errors(self.path):
            count: int = self._db.execute("SELECT count(*) FROM spans").fetchone()[0]
        return count

    def spans(self) -> Iterator[Span]:
        """Yields the spans in order of arrival.

        Raises:
            DataLossError: CORRUPT_DATASET; the file is damaged.
        """
        with storage_errors(self.path), closing(self._db.cursor()) as cursor:
            for (line,) in cursor.execute("SELECT line FROM spans ORDER BY place"):
                try:
                    yield parse_line(line)
                except SpanError as error:
                    raise DataLossError(
                        f"{self.path.name}: a span is damaged: {error}",
                        Reason.CORRUPT_DATASET,
                        file=self.path.name,
                    ) from error

    def vectors(self, embedder: str, texts: Sequence[str]) -> Mapping[str, Vectors]:
        """Returns the vectors that are known of these texts.

        Args:
            embedder: Digest of the embedder.
            texts: Any number.
        """
        by_hash = {_hash(text): text for text in texts}
        hashes = list(by_hash)
        found: dict[str, Vectors] = {}
        with storage_errors(self.path):
            for start in range(0, len(hashes), _BATCH):
                batch = hashes[start : start + _BATCH]
                marks = ",".join("?" * len(batch))
                rows = self._db.execute(
                    f"SELECT text, vector FROM vectors WHERE embedder = ? AND text IN ({marks})",  # noqa: S608 - question marks only
                    (embedder, *batch),
                )
                found.update((by_hash[key], np.frombuffer(data, "<f4")) for key, data in rows)
        return found

    def keep_vectors(self, embedder: str, vectors: Iterable[tuple[str, Vectors]]) -> None:
        """Keeps vectors of texts; those of other embedders are dropped."""
        rows = [(embedder, _hash(text), vector.astype("<f4").tobytes()) for text, vector in vectors]
        with storage_errors(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.execute("DELETE FROM vectors WHERE embedder <> ?", (embedder,))
                self._db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)
                self._db.execute("COMMIT")
            finally:
                self.rollback()


def _hash(text: str) -> bytes:
    return blake3(text.encode()).digest()
