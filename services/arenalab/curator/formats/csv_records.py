"""Cutting the bytes of a CSV file into records, quoted line breaks included.

The standard csv module reads from an iterator and cannot be fed, so this finds where
records end and leaves their fields to csv. A quote that is never closed spoils one
line, not the rest of the file: reading goes on at the line after it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from arenalab.curator.formats.lines import Line, Lines

MAX_RECORD_BYTES: Final = 1 << 20
_QUOTE: Final = ord('"')


@dataclass(frozen=True, slots=True)
class Record:
    """One record, not yet split into fields."""

    line: int  # where it begins, from 1
    raw: bytes
    is_whole: bool = True  # False: too long, or a quote in it is never closed


class CsvRecords:
    """Holds at most one record."""

    def __init__(self) -> None:
        self._lines = Lines(MAX_RECORD_BYTES)
        self._open: list[Line] = []  # lines of a record whose quote is open
        self._open_bytes = 0

    def feed(self, data: bytes) -> Iterator[Record]:
        """Yields the records that these bytes complete."""
        for line in self._lines.feed(data):
            yield from self._take(line)

    def close(self) -> Iterator[Record]:
        """Yields what is left."""
        for line in self._lines.close():
            yield from self._take(line)
        while self._open:
            yield from self._give_up()

    def _take(self, line: Line) -> Iterator[Record]:
        self._open.append(line)
        self._open_bytes += len(line.raw)
        inside = len(self._open) > 1
        if line.is_cut or (self._open_bytes > MAX_RECORD_BYTES and len(self._open) > 1):
            yield from self._give_up()
        elif not ends_inside_quotes(line.raw, inside=inside):
            yield Record(self._open[0].number, b"".join(held.raw for held in self._open))
            self._open, self._open_bytes = [], 0

    def _give_up(self) -> Iterator[Record]:
        """Yields the first open line as no record, and reads those after it anew."""
        first, *later = self._open
        self._open, self._open_bytes = [], 0
        yield Record(first.number, first.raw, is_whole=False)
        for line in later:
            yield from self._take(line)


def ends_inside_quotes(line: bytes, *, inside: bool) -> bool:
    """Returns whether a quoted field is open after `line`, given whether one was before.

    A quote opens a field only at its start; doubled, it stands for itself.
    """
    at = 0
    while at < len(line):
        if not inside:
            if line[at] == _QUOTE:
                inside, at = True, at + 1
            else:
                at = _next_field(line, at)
            continue
        quote = line.find(b'"', at)
        if quote < 0:
            return True
        if line[quote + 1 : quote + 2] == b'"':
            at = quote + 2
        else:
            inside, at = False, _next_field(line, quote + 1)
    return inside


def _next_field(line: bytes, at: int) -> int:
    comma = line.find(b",", at)
    return len(line) if comma < 0 else comma + 1
