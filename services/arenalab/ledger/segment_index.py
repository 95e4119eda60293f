"""What is where in one segment: in memory while it is written, in a file once closed.

The file holds, of each entry: the byte offset of its line, its leaf hash, and the
fingerprint of its name; and postings, sorted: the fingerprints of what an entry can be
asked for by (its trace, its spans, its subject's key), each with the entry. A lookup
reads two kilobytes of it. It is derived: whoever loses it makes it again from the
segment alone. It is believed only while the segment has the BLAKE3 that it names, and
its leaf hashes only if they lead to the root of the checkpoint that ends the segment.

Fingerprints are 64 bits; whoever finds an entry by one compares the entry itself.
"""

import json
import os
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from blake3 import blake3

from arenalab.ledger.disk import write_durably
from arenalab.ledger.line import EntryLine, time_ns
from arenalab.ledger.packing import is_packed, lines_bytes, read_lines
from arenalab.ledger.scan import Batch, Scanned
from arenalab.ledger.segment_files import SegmentFiles
from arenalab.proof import HASH_BYTES

_MAGIC: Final = b"arenalab ledger index 1\n"
_RARE_KINDS: Final = ("erasure", "succession")
_FENCE: Final = 256  # postings between two that are kept in memory
_U64: Final = np.dtype("<u8")
_U32: Final = np.dtype("<u4")


def fingerprint(kind: str, tenant: str, value: str) -> int:
    """Returns the 64-bit fingerprint of what an entry can be asked for by; never 0.

    Args:
        kind: "entry", "trace", "span", "superseded", "parent", "key" or "kind".
        tenant: Whose entry it is.
        value: The id.
    """
    # Neither a kind nor a tenant can hold a NUL.
    data = f"{kind}\0{tenant}\0{value}".encode()
    return int.from_bytes(blake3(data).digest(8), "little") or 1


@dataclass(frozen=True, slots=True)
class Keywords:
    """What an entry can be asked for by, beside its name."""

    tenant: str
    kind: str
    key_id: bytes
    evidence_ids: Sequence[str]
    trace_id: str
    parent_id: str
    superseded_span: str

    @classmethod
    def of_line(cls, line: EntryLine) -> Self:
        """Returns those of an entry in the log."""
        fields = line.fields()
        return cls(
            fields["scope"],
            fields["kind"],
            line.key_id,
            fields["evidence_ids"],
            fields["trace_id"],
            fields["parent_id"],
            superseded_span(fields["kind"], fields["facts"]),
        )

    def fingerprints(self) -> list[int]:
        """Returns the fingerprint of each."""
        found = [fingerprint("span", self.tenant, span) for span in self.evidence_ids]
        found.append(fingerprint("key", "", self.key_id.hex()))
        for kind, value in (
            ("trace", self.trace_id),
            ("parent", self.parent_id),
            ("superseded", self.superseded_span),
        ):
            if value:
                found.append(fingerprint(kind, self.tenant, value))
        if self.kind in _RARE_KINDS:  # what the log looks for at its start
            found.append(fingerprint("kind", "", self.kind))
        return found


def superseded_span(kind: str, facts: Mapping[str, Any]) -> str:
    """Returns the span that an entry says is wrong, or none."""
    span = facts.get("superseded_span", "") if kind == "curation" else ""
    return span if isinstance(span, str) else ""


class OpenSegmentIndex:
    """Of the segment that is being written; one writer, many readers."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.offsets = array("Q")
        self.entries = array("Q")  # fingerprints of names
        self.times: tuple[int, int] | None = None  # earliest and latest, in nanoseconds
        self._posted = array("Q")
        self._posted_at = array("I")  # entries, from `first`

    @property
    def count(self) -> int:
        """How many entries the segment has."""
        return len(self.offsets)

    def add(self, offset: int, entry: int, postings: Iterable[int], when_ns: int) -> None:
        """Records the next entry."""
        earliest, latest = self.times or (when_ns, when_ns)
        # A clock may be set back: the first entry need not be the earliest.
        self.times = (min(earliest, when_ns), max(latest, when_ns))
        at = len(self.offsets)
        for posting in postings:
            self._posted_at.append(at)
            self._posted.append(posting)
        self.entries.append(entry)
        self.offsets.append(offset)

    def offset(self, leaf_index: int) -> int:
        """Returns where an entry's line starts."""
        return self.offsets[leaf_index - self.first]

    def find(self, posting: int) -> list[int]:
        """Returns the leaves under a fingerprint, in order."""
        posted = np.frombuffer(bytes(self._posted), dtype=np.uint64)
        rows = np.flatnonzero(posted == np.uint64(posting))
        return sorted({self.first + self._posted_at[int(row)] for row in rows})

    def postings(self) -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]:
        """Returns every fingerprint and its entry, sorted by both."""
        posted = np.frombuffer(bytes(self._posted), dtype=np.uint64)
        at = np.frombuffer(bytes(self._posted_at), dtype=np.uint32)[: len(posted)]
        order = np.lexsort((at, posted))
        return posted[order], at[order]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the sections of an index file start."""

    offsets: int
    hashes: int
    entries: int
    posted: int
    posted_at: int
    end: int

    @classmethod
    def behind(cls, head_bytes: int, count: int, postings: int) -> Self:
        hashes = head_bytes + 8 * count
        entries = hashes + HASH_BYTES * count
        posted = entries + 8 * count
        posted_at = posted + 8 * postings
        return cls(head_bytes, hashes, entries, posted, posted_at, posted_at + 4 * postings)


class SegmentIndex:
    """Of a closed segment, read from its file; immutable, any thread may ask."""

    def __init__(self, path: Path, head: dict[str, Any], head_bytes: int) -> None:
        """Use `load`."""
        self._path = path
        self.first: int = head["first"]
        self.count: int = head["count"]
        self.note: str = head["note"]
        self.lines_bytes: int = head["lines_bytes"]
        self.times: tuple[int, int] | None = (head["earliest_ns"], head["latest_ns"])
        self._postings: int = head["postings"]
        self._at = _Layout.behind(head_bytes, self.count, self._postings)
        posted = np.fromfile(path, _U64, self._postings, offset=self._at.posted)
        self._fence = posted[::_FENCE].copy()

    @classmethod
    def load(cls, files: SegmentFiles, first: int) -> Self | None:
        """Returns the index of a segment, or None if there is none to believe."""
        try:
            with files.index.open("rb") as file:
                if file.readline() != _MAGIC:
                    return None
                line = file.readline()
                head = json.loads(line)
                found = cls(files.index, head, len(_MAGIC) + len(line))
                whole = os.fstat(file.fileno()).st_size == found._at.end
        except (OSError, ValueError, KeyError, TypeError):
            return None
        is_of_segment = (
            whole
            and found.first == first
            and lines_bytes(files.lines) == found.lines_bytes
            and digest_of(files.lines) == head["lines_blake3"]
        )
        return found if is_of_segment else None

    def scanned(self) -> Scanned:
        """Returns the segment as if it had been read: its hashes and its last checkpoint."""
        size = self.first + self.count
        hashes = bytearray(self.hashes(self.first, size))
        last = Batch(size, self.note, self.lines_bytes)
        return Scanned(self.first, hashes, batches=[last], is_whole=True)

    def hashes(self, low: int, high: int) -> bytes:
        """Returns the hashes of the leaves [low, high), all in this segment."""
        start = self._at.hashes + HASH_BYTES * (low - self.first)
        return self._read(start, HASH_BYTES * (high - low))

    def entries(self) -> "np.ndarray[Any, Any]":
        """Returns the fingerprints of the entries' names, in leaf order."""
        return np.frombuffer(self._read(self._at.entries, 8 * self.count), _U64)

    def offset(self, leaf_index: int) -> int:
        """Returns where an entry's line starts."""
        start = self._at.offsets + 8 * (leaf_index - self.first)
        return int.from_bytes(self._read(start, 8), "little")

    def find(self, posting: int) -> list[int]:
        """Returns the leaves under a fingerprint, in order."""
        wanted = np.uint64(posting)
        block = max(int(np.searchsorted(self._fence, wanted)) - 1, 0)
        found: list[int] = []
        for start in range(block * _FENCE, self._postings, _FENCE):
            count = min(_FENCE, self._postings - start)
            posted = np.frombuffer(self._read(self._at.posted + 8 * start, 8 * count), _U64)
            low, high = np.searchsorted(posted, wanted), np.searchsorted(posted, wanted, "right")
            if high > low:
                raw = self._read(self._at.posted_at + 4 * (start + int(low)), 4 * int(high - low))
                found += (np.frombuffer(raw, _U32).astype(np.int64) + self.first).tolist()
            if high < count:
                break
        return found

    def _read(self, start: int, size: int) -> bytes:
        fd = os.open(self._path, os.O_RDONLY)
        try:
            return os.pread(fd, size, start)
        finally:
            os.close(fd)


def write_index(files: SegmentFiles, opened: OpenSegmentIndex, hashes: bytes, note: str) -> None:
    """Writes the index of a segment that takes no more entries.

    Args:
        files: Of the segment.
        opened: What was gathered while it was written.
        hashes: Of its leaves, in order.
        note: Of its last checkpoint.
    """
    posted, posted_at = opened.postings()
    earliest_ns, latest_ns = opened.times or (0, 0)
    head = {
        "count": opened.count,
        "earliest_ns": earliest_ns,
        "first": opened.first,
        "latest_ns": latest_ns,
        "lines_blake3": digest_of(files.lines),
        "lines_bytes": lines_bytes(files.lines),
        "note": note,
        "postings": len(posted),
    }
    write_durably(
        files.index,
        b"".join(
            (
                _MAGIC,
                json.dumps(head).encode() + b"\n",
                np.frombuffer(opened.offsets, np.uint64).astype(_U64).tobytes(),
                hashes,
                np.frombuffer(opened.entries, np.uint64).astype(_U64).tobytes(),
                posted.astype(_U64).tobytes(),
                posted_at.astype(_U32).tobytes(),
            )
        ),
    )


def digest_of(path: Path) -> str:
    """Returns the BLAKE3 of lines, compressed or not, in hexadecimal."""
    if is_packed(path) or path.stat().st_size == 0:  # an empty file cannot be mapped
        return blake3(read_lines(path)).hexdigest()
    # On this thread: a pool of BLAKE3's own would be missing in a forked process.
    return blake3().update_mmap(str(path)).hexdigest()


def index_of_lines(
    first: int, offsets: "array[int]", lines: Iterable[EntryLine]
) -> OpenSegmentIndex:
    """Returns the index of a segment as its lines say, one for each offset."""
    found = OpenSegmentIndex(first)
    for offset, line in zip(offsets, lines, strict=True):
        fields = line.fields()
        name = fingerprint("entry", fields["scope"], fields["entry_id"])
        when_ns = time_ns(fields["time"])
        found.add(offset, name, Keywords.of_line(line).fingerprints(), when_ns)
    return found
