"""Cutting bytes into lines, whatever pieces they come in."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """One line with its end, as far as it is kept."""

    number: int  # from 1
    raw: bytes
    is_cut: bool = False  # it was longer than the limit; `raw` is how it begins


class Lines:
    """Holds at most one line, and of a line beyond the limit only the beginning."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._held = b""
        self._is_cut = False
        self._number = 0

    def feed(self, data: bytes) -> Iterator[Line]:
        """Yields the lines that these bytes complete."""
        *ended, rest = data.split(b"\n")
        for piece in ended:
            self._hold(piece + b"\n")
            yield self._take()
        self._hold(rest)

    def close(self) -> Iterator[Line]:
        """Yields the last line if it has no end."""
        if self._held:
            yield self._take()

    def _hold(self, piece: bytes) -> None:
        room = self._limit - len(self._held)
        self._is_cut |= len(piece) > room
        if room > 0 and piece:
            self._held += piece[:room]

    def _take(self) -> Line:
        self._number += 1
        raw = self._held.removeprefix(_BOM) if self._number == 1 else self._held
        line = Line(self._number, raw, self._is_cut)
        self._held, self._is_cut = b"", False
        return line
