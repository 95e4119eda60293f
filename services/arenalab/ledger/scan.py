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
# The line of an entry, as line.py has it, by where its parts are.
_CONTENT: Final = b'{"content":['
_HASH: Final = b'],"hash":"'
_KEY: Final = b'","key":"'
_LEAF_NAME: Final = b'","leaf":'
_END: Final = b'"v":2}}'
_FRAME: Final = _CONTENT + _KEY + _LEAF_NAME + _END
_LONGEST_PLACE: Final = 64
_BLOCK_BYTES: Final = 1 << 20
# The most that a line has from `sealed` on. Before it, and within this, stands the scope,
# which cannot hold a quotation mark: the first match is the field.
_SEALED_WITHIN: Final = 246
_HASH_AT: Final = len(_HASH)
_KEY_AT: Final = _HASH_AT + HEX_HASH + len(_KEY)
_LEAF_AT: Final = _KEY_AT + 2 * KEY_ID_BYTES + len(_LEAF_NAME)
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
        if self._holds and self._read_bytes == self._total_bytes - len(block):
            read = _Read()
            self._read_bytes += self._lines(block, read)
            self._found.hashes += b"".join(read.digests)
            self._holds = read.holds()

    def _lines(self, data: bytes, read: "_Read") -> int:
        """Reads lines; returns where it stopped."""
        # One loop over the bytes, with its names bound and no line cut out: most of a
        # verification's own time is spent here.
        find, hashed, content = data.find, blake3, self._content
        digests, offsets, start = read.digests, self._found.offsets, self._read_bytes
        content_start = self._content_start
        offset = 0
        while (end := find(b"\n", offset)) >= 0:
            head = find(_HASH, offset, offset + _LONGEST_PLACE)
            if head < 0:
                note = _note_of(data[offset:end])
                if note is None:
                    break
                offset = end + 1
                size = self._found.first + len(offsets)
                self._found.batches.append(Batch(size, note, start + offset))
                continue
            at, length = _place_of(data[offset + len(_CONTENT) : head])
            if at < 0:
                break
            sealed = content[at - content_start : at - content_start + length]
            behind = find(SEALED, end - _SEALED_WITHIN, end) + len(SEALED)
            digests.append(hashed(_LEAF + data[head + _LEAF_AT : end - 1]).digest())
            read.said.append(data[head + _HASH_AT : head + _HASH_AT + HEX_HASH])
            read.sealed_hashes.append(hashed(sealed).digest())
            read.sealed_said.append(data[behind : behind + HEX_HASH])
            read.keys.append(bytes(sealed[:KEY_ID_BYTES]))
            read.keys_said.append(data[head + _KEY_AT : head + _KEY_AT + 2 * KEY_ID_BYTES])
            read.frames += (
                data[offset : offset + len(_CONTENT)],
                data[head + _HASH_AT + HEX_HASH : head + _KEY_AT],
                data[head + _KEY_AT + 2 * KEY_ID_BYTES : head + _LEAF_AT],
                data[end - len(_END) : end],
            )
            offsets.append(start + offset)
            offset = end + 1
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


def _place_of(text: bytes) -> tuple[int, int]:
    """Returns where a private part is, and its size; a negative place if that is not said."""
    at, _, size = text.partition(b",")
    if not (at.isdigit() and size.isdigit()):
        return -1, 0
    place = int(at), int(size)
    # In one spelling only: nothing may change in a line without being seen.
    return place if b"%d,%d" % place == text else (-1, 0)


class _Read:
    """What entries say of themselves, and what was computed; compared at the end."""

    def __init__(self) -> None:
        self.digests: list[bytes] = []
        self.said: list[bytes] = []
        self.sealed_hashes: list[bytes] = []
        self.sealed_said: list[bytes] = []
        self.keys: list[bytes] = []
        self.keys_said: list[bytes] = []
        self.frames: list[bytes] = []  # what is the same in every line

    def holds(self) -> bool:
        """Returns whether every line is what it says."""
        return (
            _hex(self.digests) == b"".join(self.said)
            and _hex(self.sealed_hashes) == b"".join(self.sealed_said)
            and _hex(self.keys) == b"".join(self.keys_said)
            and b"".join(self.frames) == _FRAME * len(self.digests)
        )


def _hex(values: list[bytes]) -> bytes:
    return b"".join(values).hex().encode()


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
