"""Ingesting one file: bytes in, spans into the working set, all or nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arenalab.atomic import canonical_bytes
from arenalab.curator.formats import Format, Item, Reader, Reject, Row, Skip
from arenalab.curator.formats.rows import not_of_format
from arenalab.curator.rejects import RejectFile
from arenalab.curator.working_set import Added, WorkingSet

if TYPE_CHECKING:
    from pathlib import Path

# Small pieces are put together, so that no row is looked at many times over.
_PIECE_BYTES: Final = 64 * 1024


@dataclass(slots=True)
class Counts:
    """What was found so far."""

    read_bytes: int = 0
    accepted: int = 0  # duplicates included
    duplicates: int = 0
    rejected: int = 0
    skipped: int = 0

    @property
    def rows(self) -> int:
        return self.accepted + self.rejected + self.skipped


class Ingestion:
    """One file on its way in: `feed`, then `finish`, and in any case `close`."""

    def __init__(
        self,
        working_set: WorkingSet,
        rejects: RejectFile,
        format_name: Format,
        reader: Reader,
        *,
        replace: bool,
    ) -> None:
        self.counts = Counts()
        self._working_set = working_set
        self._rejects = rejects
        self._format = format_name
        self._reader = reader
        self._held = bytearray()
        self._first_foreign: Reject | None = None
        self._foreign = 0
        self._is_finished = self._is_closed = False
        self.reject_path: Path | None = None  # set by `finish` if a row was rejected
        self.total_spans = 0  # set by `finish`
        try:
            working_set.begin(replace=replace)
        except BaseException:
            self.close()
            raise

    def feed(self, data: bytes) -> list[Reject]:
        """Reads these bytes; returns the rows that were rejected.

        Raises:
            InvalidInputError: INVALID_FORMAT; the file is not of the format.
            OSError: The disk is full.
        """
        self.counts.read_bytes += len(data)
        self._held += data
        if len(self._held) < _PIECE_BYTES:
            return []
        return self._flush()

    def finish(self) -> list[Reject]:
        """Reads the end and makes everything durable; returns the last rejected rows.

        Raises:
            InvalidInputError: INVALID_FORMAT; the file is not of the format.
            OSError: The disk is full; nothing was kept.
        """
        rejects = [*self._flush(), *self._take(self._reader.close())]
        if not self.counts.rows:
            raise not_of_format(self._format, 1, "the file holds no row")
        if self._first_foreign is not None and self._foreign == self.counts.rows:
            first = self._first_foreign
            raise not_of_format(self._format, first.line, first.reason)
        self.total_spans = len(self._working_set)
        self._rejects.keep()
        self._working_set.commit()
        self._is_finished = True
        self.reject_path = self._rejects.path if self._rejects.count else None
        return rejects

    def close(self) -> None:
        """Lets go of the files; what was not finished leaves no trace. May be called again."""
        if self._is_closed:
            return
        self._is_closed = True
        if not self._is_finished:
            self._working_set.rollback()
            self._rejects.drop()
        self._working_set.close()

    def _flush(self) -> list[Reject]:
        data = bytes(self._held)
        self._held.clear()
        return list(self._take(self._reader.feed(data)))

    def _take(self, items: Iterator[Item]) -> Iterator[Reject]:
        for item in items:
            reject = self._judge(item)
            if reject is not None:
                self._rejects.add(reject)
                yield reject

    def _judge(self, item: Item) -> Reject | None:
        match item:
            case Row():
                return self._add(item)
            case Skip():
                self.counts.skipped += 1
                return None
        self.counts.rejected += 1
        if item.foreign:
            self._foreign += 1
            self._first_foreign = self._first_foreign or item
        return item

    def _add(self, row: Row) -> Reject | None:
        added = self._working_set.add(row.span)
        if added is Added.CONFLICT:
            self.counts.rejected += 1
            why = f"id {row.span.id} is taken by a span with other content"
            return Reject(row.line, why, canonical_bytes(row.span))
        self.counts.accepted += 1
        self.counts.duplicates += added is Added.DUPLICATE
        return None
