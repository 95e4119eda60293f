"""Reading the elements of arrays out of one large JSON object, as its bytes come.

Only the outer objects are parsed here; an element is cut out by its brackets and
left to the standard decoder, so that a malformed element spoils itself alone. No
maintained streaming parser says on which line an element begins.
"""

import json
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from arenalab.curator.formats.rows import not_of_format

MAX_VALUE_BYTES: Final = 2 << 20
_MAX_DEPTH: Final = 8
_BOM: Final = b"\xef\xbb\xbf"
_SPACE: Final = re.compile(rb"[ \t\r\n]*")
# A whole text, or a bracket, or the start of a text whose end has not come.
_MARK: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{}]', re.DOTALL)
_AFTER_SCALAR: Final = re.compile(rb"[ \t\r\n,\]}]")
_TEXT, _OPENING = b'"', b"[{"


@dataclass(frozen=True, slots=True)
class Element:
    """One element of an array that objects alone lead to."""

    path: tuple[str, ...]  # the keys that lead to the array
    line: int
    raw: bytes


# A parser yields elements, and None where it needs more bytes.
_Steps: TypeAlias = Generator[Element | None, None, Any]


class JsonElements:
    """Holds at most one element and one piece of the file."""

    def __init__(self, format_name: str) -> None:
        self.arrays: set[tuple[str, ...]] = set()  # paths of the arrays met so far
        self._format = format_name
        self._buffer = b""
        self._at = 0
        self._line = 1
        self._ended = False
        self._steps = self._document()

    def feed(self, data: bytes) -> Iterator[Element]:
        """Yields the elements that these bytes complete.

        Raises:
            InvalidInputError: INVALID_FORMAT; this is no JSON object.
        """
        self._buffer = self._buffer[self._at :] + data
        self._at = 0
        for step in self._steps:
            if step is None:
                return
            yield step

    def close(self) -> Iterator[Element]:
        """Yields what the end completes.

        Raises:
            InvalidInputError: INVALID_FORMAT; the file ends too early.
        """
        self._ended = True
        yield from self.feed(b"")

    def _document(self) -> _Steps:
        while len(self._buffer) < len(_BOM) and not self._ended:
            yield None
        self._advance(len(_BOM) if self._buffer.startswith(_BOM) else 0)
        yield from self._expect(b"{", "the file must hold one JSON object")
        yield from self._object(())
        while True:
            self._skip_space()
            if self._at < len(self._buffer):
                raise self._refusal("the file must end after its JSON object")
            if self._ended:
                return
            yield None

    def _object(self, path: tuple[str, ...]) -> _Steps:
        if len(path) > _MAX_DEPTH:
            raise self._refusal(f"objects must nest at most {_MAX_DEPTH} levels")
        if (yield from self._peek()) == b"}":
            self._advance(1)
            return
        while True:
            key = yield from self._key()
            yield from self._expect(b":", "a key must be followed by a colon")
            yield from self._member((*path, key))
            if (yield from self._comma_or(b"}")):
                return

    def _member(self, path: tuple[str, ...]) -> _Steps:
        first = yield from self._peek()
        if first == b"{":
            self._advance(1)
            yield from self._object(path)
        elif first == b"[":
            self._advance(1)
            yield from self._array(path)
        else:
            yield from self._value()

    def _array(self, path: tuple[str, ...]) -> _Steps:
        self.arrays.add(path)
        if (yield from self._peek()) == b"]":
            self._advance(1)
            return
        while True:
            yield from self._peek()
            line = self._line
            yield Element(path, line, (yield from self._value()))
            if (yield from self._comma_or(b"]")):
                return

    def _key(self) -> _Steps:
        if (yield from self._peek()) != _TEXT:
            raise self._refusal("a key must be a text")
        raw = yield from self._value()
        return raw[1:-1].decode(errors="replace")

    def _value(self) -> _Steps:
        """Returns the bytes of the value that begins here, and goes behind it."""
        length, depth = 0, 0  # of what has been looked at
        is_scalar = self._buffer[self._at : self._at + 1] not in (_TEXT, b"[", b"{")
        pattern = _AFTER_SCALAR if is_scalar else _MARK
        while True:
            mark = pattern.search(self._buffer, self._at + length)
            if mark is None or mark.group() == _TEXT:
                length = (mark.start() if mark else len(self._buffer)) - self._at
                yield from self._more()
                continue
            if is_scalar:
                return self._cut(mark.start() - self._at)
            length = mark.end() - self._at
            if mark.group()[:1] != _TEXT:
                depth += 1 if mark.group() in _OPENING else -1
            if depth <= 0:
                return self._cut(length)

    def _cut(self, length: int) -> bytes:
        if not length:
            raise self._refusal("a value is missing")
        raw = self._buffer[self._at : self._at + length]
        self._advance(length)
        return raw

    def _comma_or(self, end: bytes) -> _Steps:
        """Goes behind a comma or `end`; returns whether it was `end`."""
        found = yield from self._peek()
        if found not in (b",", end):
            raise self._refusal(f"a value must be followed by a comma or {end.decode()}")
        self._advance(1)
        return found == end

    def _expect(self, wanted: bytes, otherwise: str) -> _Steps:
        if (yield from self._peek()) != wanted:
            raise self._refusal(otherwise)
        self._advance(1)

    def _peek(self) -> _Steps:
        """Skips white space and returns the byte after it."""
        while True:
            self._skip_space()
            if self._at < len(self._buffer):
                return self._buffer[self._at : self._at + 1]
            yield from self._more()

    def _more(self) -> _Steps:
        if self._ended:
            raise self._refusal("the file ends too early")
        if len(self._buffer) - self._at > MAX_VALUE_BYTES:
            raise self._refusal(f"a value is longer than {MAX_VALUE_BYTES:,} bytes")
        yield None

    def _skip_space(self) -> None:
        space = _SPACE.match(self._buffer, self._at)
        self._advance(len(space.group()) if space else 0)

    def _advance(self, length: int) -> None:
        self._line += self._buffer.count(b"\n", self._at, self._at + length)
        self._at += length

    def _refusal(self, why: str) -> Exception:
        return not_of_format(self._format, self._line, why)


def decoded(raw: bytes) -> Any:
    """Returns the value of an element.

    Raises:
        ValueError: It is not UTF-8 JSON; the message says why.
    """
    try:
        return json.loads(raw.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"the row is not UTF-8: byte {error.start} of it") from error
    except RecursionError as error:
        raise ValueError("the row nests too deeply") from error
    except ValueError as error:
        raise ValueError(f"the row is not JSON: {error}") from error
