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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from blake3 import blake3

from arenalab.ledger.line import (
    CHECKPOINT_HEAD,
    ENTRY_HEAD,
    HEX_HASH,
    SEALED,
    CheckpointLine,
    parse_line,
)
from arenalab.ledger.packing import PackedError, read_lines

KEY_ID_BYTES: Final = 16
_LEAF: Final = b"\x00"
_ENTRY_END: Final = b'"v":2}}'
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
        data = read_lines(lines)
    except PackedError:
        return Scanned(first)
    try:
        with content.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as at:
            view = memoryview(at)
            try:
                return scan(data, view, first)
            finally:
                view.release()
    except (FileNotFoundError, ValueError):  # no content, or none yet: an empty file
        return scan(data, memoryview(_NOTHING), first)


def scan(data: bytes, content: memoryview, first: int, content_start: int = 0) -> Scanned:
    """Reads lines that are in memory.

    Args:
        data: The lines.
        content: Their private parts.
        first: The leaf that should come first.
        content_start: Where `content` starts in the segment's content file.
    """
    found = Scanned(first)
    lines = data.split(b"\n")
    torn = lines.pop()
    read = _Read(content, content_start)
    offset = 0
    for line in lines:
        if not read.entry(line):
            note = _note_of(line)
            if note is None:
                break
            found.batches.append(Batch(first + len(read.digests), note, offset + len(line) + 1))
        else:
            found.offsets.append(offset)
        offset += len(line) + 1
    if not read.holds():  # where it does not is for the careful reading to say
        return Scanned(first)
    found.hashes += b"".join(read.digests)
    end = found.batches[-1].end if found.batches else 0
    found.is_whole = not torn and offset == len(data) == end
    _forget_open_batch(found)
    return found


class _Read:
    """What entries say of themselves, and what was computed; compared at the end."""

    def __init__(self, content: memoryview, content_start: int) -> None:
        self._content = content
        self._content_start = content_start
        self.digests: list[bytes] = []
        self._said: list[bytes] = []
        self._sealed: list[str] = []
        self._sealed_said: list[bytes] = []
        self._keys: list[memoryview] = []
        self._keys_said: list[bytes] = []

    def entry(self, line: bytes) -> bool:
        """Takes a line; returns False if it is none of an entry."""
        head = ENTRY_HEAD.match(line)
        if head is None or not line.endswith(_ENTRY_END):
            return False
        at, size, hash_hex, key_id = head.groups()
        leaf = line[head.end() : -1]
        start = int(at) - self._content_start
        sealed = self._content[start : start + int(size)]
        said = leaf.rfind(SEALED) + len(SEALED)
        self.digests.append(blake3(_LEAF + leaf).digest())
        self._said.append(hash_hex)
        self._sealed.append(blake3(sealed).hexdigest())
        self._sealed_said.append(leaf[said : said + HEX_HASH])
        self._keys.append(sealed[:KEY_ID_BYTES])
        self._keys_said.append(key_id)
        return True

    def holds(self) -> bool:
        """Returns whether every line is what it says."""
        return (
            b"".join(self.digests).hex().encode() == b"".join(self._said)
            and "".join(self._sealed).encode() == b"".join(self._sealed_said)
            and b"".join(self._keys).hex().encode() == b"".join(self._keys_said)
        )


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
