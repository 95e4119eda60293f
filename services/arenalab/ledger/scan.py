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
    HEX_HASH,
    SEALED,
    CheckpointLine,
    parse_line,
)
from arenalab.ledger.packing import PackedError, read_lines

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
    read = _Read()
    # One loop over the bytes, with its names bound and no line cut out: most of a
    # verification's own time is spent here.
    find, hashed = data.find, blake3
    digests, offsets = read.digests, found.offsets
    offset = 0
    while (end := find(b"\n", offset)) >= 0:
        head = find(_HASH, offset, offset + _LONGEST_PLACE)
        if head < 0:
            note = _note_of(data[offset:end])
            if note is None:
                break
            offset = end + 1
            found.batches.append(Batch(first + len(digests), note, offset))
            continue
        place = data[offset + len(_CONTENT) : head]
        at, size = _place_of(place)
        if at < 0:
            break
        sealed = content[at - content_start : at - content_start + size]
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
        offsets.append(offset)
        offset = end + 1
    if not read.holds():  # where it does not is for the careful reading to say
        return Scanned(first)
    found.hashes += b"".join(digests)
    end = found.batches[-1].end if found.batches else 0
    found.is_whole = offset == len(data) == end
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
