"""Server-sent events out of bytes, wherever the network cut them.

Follows the event stream format of the HTML standard (section 9.2): lines end with
LF, CR or CRLF; a blank line ends an event; lines that begin with ":" are comments;
the data lines of one event are joined by LF; one byte order mark may come first.
It differs in two places. Lines and events have a largest size. And `finish` hands
out an event that only lacks its blank line, because some servers close right after
the last data line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_EVENT_BYTES: Final = 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"
_LINE_END: Final = re.compile(rb"[\r\n]")


class SseError(ValueError):
    """The stream breaks a bound of the reader."""


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One event."""

    event: str  # its type; "message" when the stream does not say
    data: str


class SseReader:
    """Turns the bytes of one stream into events."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_event_bytes
        self._buffer = bytearray()
        self._searched = 0  # bytes of the buffer that hold no line end
        self._after_cr = False
        self._at_start = True
        self._event = ""
        self._data: list[str] = []
        self._size = 0  # bytes of the event's lines so far

    def feed(self, chunk: bytes) -> Iterator[SseEvent]:
        """Yields the events that `chunk` completes.

        Raises:
            SseError: A line or an event is larger than the bound.
        """
        self._buffer += chunk
        while (line := self._take_line()) is not None:
            if (event := self._read_line(line)) is not None:
                yield event
        self._check_size(len(self._buffer))

    def finish(self) -> Iterator[SseEvent]:
        """Yields the event that the end of the stream cut off from its blank line."""
        if self._buffer:
            line, self._buffer = bytes(self._buffer), bytearray()
            self._read_line(line)
        if (event := self._dispatch()) is not None:
            yield event

    def _take_line(self) -> bytes | None:
        if self._after_cr and self._buffer:
            # The LF of a CRLF, perhaps in another chunk than its CR.
            if self._buffer[:1] == b"\n":
                del self._buffer[:1]
            self._after_cr = False
        found = _LINE_END.search(self._buffer, self._searched)
        if found is None:
            self._searched = len(self._buffer)
            return None
        line = bytes(self._buffer[: found.start()])
        self._after_cr = found.group() == b"\r"
        del self._buffer[: found.end()]
        self._searched = 0
        return line

    def _read_line(self, raw: bytes) -> SseEvent | None:
        if self._at_start:
            raw = raw.removeprefix(_BOM)
            self._at_start = False
        if not raw:
            return self._dispatch()
        self._size += len(raw)
        self._check_size(0)
        # Whole lines only are decoded, so no character is cut in two.
        name, _, value = raw.decode(errors="replace").partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif not name:  # a comment may come for ever: it is no part of an event
            self._size -= len(raw)
        return None

    def _dispatch(self) -> SseEvent | None:
        event = SseEvent(self._event or "message", "\n".join(self._data)) if self._data else None
        self._event, self._data, self._size = "", [], 0
        return event

    def _check_size(self, unread: int) -> None:
        if self._size + unread > self._max_bytes:
            raise SseError(f"an event is larger than {self._max_bytes} bytes")
