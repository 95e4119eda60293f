"""Span NDJSON: one JSON✯Atomic object a line. Blank lines are no rows."""

from collections.abc import Iterator
from typing import Final

from arenalab.atomic import SpanError, parse_line
from arenalab.atomic.json_form import MAX_LINE_BYTES
from arenalab.curator.formats.lines import Line, Lines
from arenalab.curator.formats.rows import Item, Reject, Row

NAME: Final = "spans"


class SpanReader:
    """Reads spans as they are, each with its own id and time."""

    def __init__(self) -> None:
        self._lines = Lines(MAX_LINE_BYTES)

    def feed(self, data: bytes) -> Iterator[Item]:
        for line in self._lines.feed(data):
            yield from self._item(line)

    def close(self) -> Iterator[Item]:
        for line in self._lines.close():
            yield from self._item(line)

    def _item(self, line: Line) -> Iterator[Item]:
        if not line.raw.strip():
            return
        if line.is_cut:
            yield Reject(
                line.number, f"a line must be at most {MAX_LINE_BYTES:,} bytes long", line.raw
            )
            return
        try:
            yield Row(line.number, parse_line(line.raw))
        except SpanError as error:
            # The field "span" stands for a line that is no JSON object at all.
            yield Reject(line.number, str(error), line.raw, foreign=error.field == "span")
