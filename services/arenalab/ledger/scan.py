"""The quick reading of a segment that is whole: what is right is passed, not explained.

Of every line the hash of the leaf, the hash of the private part and the key's id are
computed and compared, all of a segment at once. Where anything is not as it should be,
the segment is not whole, and the careful reading (replay.py), some times slower, says
what is wrong and where.

What the careful reading also checks and this one does not need to: the form and the
index of a leaf. Both are bound by its hash, and the hash and its place, through the
tree, by the checkpoint's signature.

Standard library and blake3 only, so that a process which verifies starts quickly.
"""

import mmap
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from blake3 import blake3

from arenalab.ledger.line import (
    CHECKPOINT_HEAD,
    HEX_HASH,
    SEALED,
    CheckpointLine,
    parse_line,
)
from arenalab.ledger.packing import PackedError, is_packed, read_lines

KEY_ID_BYTES: Final = 16
_LEAF: Final = b"\x00"
# The line of an entry, as line.py has it: its start, and what follows once both hashes and
# the key's id are known.
_PLACE: Final = re.compile(rb'\{"content":\[(0|[1-9][0-9]{0,14}),(0|[1-9][0-9]{0,8})\],"hash":"')
_SAID: Final = b'%b","key":"%b","leaf":{'
_LEAF_AT: Final = len(_SAID % (bytes(HEX_HASH), bytes(2 * KEY_ID_BYTES))) - 1
_END: Final = b'"v":2}}'
_BLOCK_BYTES: Final = 1 << 20
# The most that a line has from `sealed` on. Before it, and within this, stands the scope,
# which cannot hold a quotation mark: the first match is the field.
_SEALED_WITHIN: Final = 246
_NOTHING: Final = b""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one checkpoint ends."""

    size: int  # leaves of the log after it, as counted
    note: str
    end: int  # byte after it in the segment


@dataclass(slots=True)
class Scanned:
    """What a segment holds up to the last checkpoint before anything irregular.

    Nothing, where a hash is not what it should be. Offsets are those of entries.
    """

    first: int
    hashes: bytearray = field(default_factory=bytearray)
    offsets: "array[int]" = field(default_factory=lambda: array("Q"))
    batches: list[Batch] = field(default_factory=list)
    is_whole: bool = False  # every byte was read, and the last line is a checkpoint

    @property
    def size(self) -> int:
        """Leaves of the log after the last batch."""
        return self.batches[-1].size if self.batches else self.first


def scan_segment(lines: Path, content: Path, first: int) -> Scanned:
    """Reads the lines of a segment, compressed or not, whose first leaf should be `first`."""
    try:
        with content.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as at:
            view = memoryview(at)
            try:
                return _scan_lines(lines, view, first)
            finally:
                view.release()
    except (FileNotFoundError, ValueError):  # no content, or none yet: an empty file
        return _scan_lines(lines, memoryview(_NOTHING), first)


def _scan_lines(lines: Path, content: memoryview, first: int) -> Scanned:
    scanner = _Scanner(content, first, 0)
    try:
        if is_packed(lines):
            scanner.take(read_lines(lines))
        else:
            with lines.open("rb") as file:
                for block in _blocks_of(file):
                    scanner.take(block)
    except PackedError:
        return Scanned(first)
    return scanner.finish()


def _blocks_of(file: BinaryIO) -> Iterator[bytes]:
    """Yields whole lines, about a megabyte at a time: memory that is used again is fast."""
    rest = b""
    while read := file.read(_BLOCK_BYTES):
        cut = read.rfind(b"\n") + 1
        if cut:
            yield rest + read[:cut]
            rest = read[cut:]
        else:
            rest += read
    if rest:
        yield rest


def scan(data: bytes, content: memoryview, first: int, content_start: int = 0) -> Scanned:
    """Reads lines that are in memory.

    Args:
        data: The lines.
        content: Their private parts.
        first: The leaf that should come first.
        content_start: Where `content` starts in the segment's content file.
    """
    scanner = _Scanner(content, first, content_start)
    scanner.take(data)
    return scanner.finish()


class _Scanner:
    """Reads a segment block by block, until something is irregular."""

    def __init__(self, content: memoryview, first: int, content_start: int) -> None:
        self._content = content
        self._content_start = content_start
        self._found = Scanned(first)
        self._read_bytes = 0  # of regular lines
        self._total_bytes = 0
        self._holds = True

    def take(self, block: bytes) -> None:
        """Reads the next lines."""
        self._total_bytes += len(block)
        if self._read_bytes == self._total_bytes - len(block):
            self._read_bytes += self._lines(block)

    def _lines(self, data: bytes) -> int:
        """Reads lines; returns where it stopped."""
        # One loop over the bytes, with its names bound and as little as can be cut out of
        # them: most of a verification's own time is spent here.
        find, says, place_in, hashed = data.find, data.startswith, _PLACE.match, blake3
        content, content_start = self._content, self._content_start
        digests: list[bytes] = []
        offsets, start = self._found.offsets, self._read_bytes
        offset = 0
        while (end := find(b"\n", offset)) >= 0:
            place = place_in(data, offset)
            if place is None:
                note = _note_of(data[offset:end])
                if note is None:
                    break
                offset = end + 1
                size = self._found.first + len(offsets)
                self._found.batches.append(Batch(size, note, start + offset))
                continue
            head = place.end()
            at, length = place.groups()
            begin = int(at) - content_start
            sealed = content[begin : begin + int(length)]
            digest = hashed(_LEAF + data[head + _LEAF_AT : end - 1]).digest()
            sealed_at = find(SEALED, end - _SEALED_WITHIN, end) + len(SEALED)
            if not (
                says(_SAID % (_hex(digest), _hex(sealed[:KEY_ID_BYTES])), head)
                and says(_hex(hashed(sealed).digest()), sealed_at)
                and says(_END, end - len(_END))
            ):
                self._holds = False
                break
            digests.append(digest)
            offsets.append(start + offset)
            offset = end + 1
        self._found.hashes += b"".join(digests)
        return offset

    def finish(self) -> Scanned:
        """Returns what was found; where a hash does not hold, the careful reading says more."""
        found = self._found
        if not self._holds:
            return Scanned(found.first)
        end = found.batches[-1].end if found.batches else 0
        found.is_whole = self._read_bytes == self._total_bytes == end
        _forget_open_batch(found)
        return found


def _hex(value: bytes | memoryview) -> bytes:
    return value.hex().encode()


def _note_of(line: bytes) -> str | None:
    if not line.startswith(CHECKPOINT_HEAD):
        return None
    parsed = parse_line(line + b"\n")
    return parsed.note if isinstance(parsed, CheckpointLine) else None


def _forget_open_batch(found: Scanned) -> None:
    """Drops entries that no checkpoint ends."""
    count = found.size - found.first
    del found.hashes[32 * count :]
    del found.offsets[count:]
