"""The quick reading of a segment that is whole: what is right is passed, not explained.

Every line is checked as the careful reading (replay.py) checks it: the hash of the
leaf, the hash of the private part, the index, one spelling only. Where anything is
not as it should be, the scan stops and says where; the careful reading, some times
slower, then says what.

The regular expressions of the careful reading are left out here: the leaf is bound by
its hash, and the hash, through the tree, by the checkpoint's signature.

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

KEY_ID_BYTES: Final = 16
_LEAF: Final = b"\x00"
_NOTHING: Final = b""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one checkpoint ends."""

    size: int  # leaves of the log after it, as counted
    note: str
    end: int  # byte after it in the segment


@dataclass(slots=True)
class Scanned:
    """What the regular beginning of a segment holds; offsets are those of entries."""

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
    """Reads the lines of a segment whose first leaf should be `first`."""
    with lines.open("rb") as file:
        data = file.read()
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
    hashes, offsets = found.hashes, found.offsets
    match, hashed, encode = ENTRY_HEAD.match, blake3, bytes.hex
    index, offset = first, 0
    lines = data.split(b"\n")
    torn = lines.pop()
    for line in lines:
        head = match(line)
        if head is None:
            if not line.startswith(CHECKPOINT_HEAD):
                break
            parsed = parse_line(line + b"\n")
            if not isinstance(parsed, CheckpointLine):
                break
            offset += len(line) + 1
            found.batches.append(Batch(index, parsed.note, offset))
            continue
        at, size, hash_hex, key_id = head.groups()
        leaf = line[head.end() : -1]
        digest = hashed(_LEAF + leaf).digest()
        start, length = int(at) - content_start, int(size)
        sealed = content[start : start + length]
        behind = leaf.rfind(SEALED) + len(SEALED)
        if (
            encode(digest).encode() != hash_hex
            or line[-1:] != b"}"
            or len(sealed) != length
            or hashed(sealed).hexdigest().encode() != leaf[behind : behind + HEX_HASH]
            or encode(bytes(sealed[:KEY_ID_BYTES])).encode() != key_id
            or b',"index":%d,"kind":"' % index not in leaf
        ):
            break
        hashes += digest
        offsets.append(offset)
        index += 1
        offset += len(line) + 1
    found.is_whole = not torn and offset == len(data) and found.size == index
    _forget_open_batch(found)
    return found


def _forget_open_batch(found: Scanned) -> None:
    """Drops entries that no checkpoint ends."""
    count = found.size - found.first
    del found.hashes[32 * count :]
    del found.offsets[count:]
