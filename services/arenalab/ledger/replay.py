"""Reading a log from its first byte: what opening it and verifying it have in common.

What a replay knows to be acknowledged ends at the last checkpoint with a signature
that holds, or at the high-water mark where that is further. Damage before that is a
problem, with file and offset. Whatever follows is a torn tail: a batch that was
being written when the process died, which nobody was told about.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from arenalab.ledger.entry import sealed_hash
from arenalab.ledger.line import CheckpointLine, EntryLine, parse_line
from arenalab.proof import (
    Checkpoint,
    MerkleTree,
    NoteError,
    leaf_hash,
)

MAX_PROBLEMS: Final = 100
_READ_BYTES: Final = 1 << 20

OpenNote = Callable[[str], Checkpoint]


@dataclass(frozen=True, slots=True)
class Problem:
    """One damage of the log."""

    file: str
    offset: int
    leaf_index: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Place:
    """A byte of a segment."""

    segment: int  # ordinal
    offset: int


@dataclass(slots=True)
class Replayed:
    """What a replay found."""

    tree: MerkleTree = field(default_factory=MerkleTree)
    # Byte offset of each entry in its segment, and each segment's first leaf.
    offsets: "array[int]" = field(default_factory=lambda: array("Q"))
    first_leaves: list[int] = field(default_factory=list)
    note: str = ""  # the last genuine checkpoint
    checkpoint: Checkpoint | None = None
    end: Place = field(default_factory=lambda: Place(0, 0))
    checkpoints: int = 0
    entries: int = 0
    problems: list[Problem] = field(default_factory=list)
    torn_bytes: int = 0

    @property
    def size(self) -> int:
        """How many leaves the last genuine checkpoint commits to."""
        return self.checkpoint.size if self.checkpoint else 0


def replay(
    segments: Sequence[Path],
    open_note: OpenNote,
    high_water: Checkpoint | None,
    *,
    until: Place | None = None,
    on_entry: Callable[[EntryLine], None] | None = None,
) -> Replayed:
    """Reads every line of every segment and checks it.

    Args:
        segments: The files, in order.
        open_note: Returns the checkpoint of a note that the log's key signed, and raises
            NoteError for any other.
        high_water: The newest checkpoint known to be acknowledged.
        until: Where to stop, if not at the end of the last segment.
        on_entry: Is handed every acknowledged entry, in order.
    """
    reader = _Reader(open_note, on_entry)
    for ordinal, path in enumerate(segments):
        reader.read(ordinal, path, until)
    found = reader.finish(segments, high_water)
    if until is not None:  # the rest is being written
        found.torn_bytes = 0
    return found


class _Reader:
    def __init__(self, open_note: OpenNote, on_entry: Callable[[EntryLine], None] | None) -> None:
        self._open_note = open_note
        self._on_entry = on_entry
        self._found = Replayed()
        self._next = 0  # index that the next entry should have
        self._whole = True  # the tree is still what the log says
        self._file = ""
        # Since the last genuine checkpoint:
        self._entries: list[EntryLine] = []
        self._problems: list[Problem] = []
        self._batch_offset = 0

    def read(self, ordinal: int, path: Path, until: Place | None) -> None:
        """Reads one segment."""
        self._file = path.name
        self._found.first_leaves.append(self._next)
        self._batch_offset = offset = 0
        limit = until.offset if until is not None and until.segment == ordinal else None
        if until is not None and ordinal > until.segment:
            return
        with path.open("rb", _READ_BYTES) as file:
            for line in file:
                if limit is not None and offset >= limit:
                    break
                self._line(ordinal, offset, line)
                offset += len(line)

    def _line(self, ordinal: int, offset: int, line: bytes) -> None:
        parsed = parse_line(line)
        if isinstance(parsed, EntryLine):
            self._entry(offset, parsed)
        elif isinstance(parsed, CheckpointLine):
            self._checkpoint(offset, Place(ordinal, offset + len(line)), parsed)
        else:
            self._problem(offset, self._next, "this is not a whole line of the log")
            self._whole = False

    def _entry(self, offset: int, entry: EntryLine) -> None:
        if entry.index != self._next:
            message = f"the leaf index is {entry.index}, should be {self._next}"
            self._problem(offset, self._next, message)
            self._whole = False
            self._next = entry.index
        computed = leaf_hash(entry.leaf)
        if computed.hex() != entry.hash_hex:
            self._problem(offset, entry.index, "the leaf does not have the hash beside it")
            # If the leaf was changed and not the hash, the tree still holds with this.
            computed = bytes.fromhex(entry.hash_hex)
        if sealed_hash(entry.sealed) != entry.sealed_hex:
            self._problem(offset, entry.index, "the content is not what the leaf binds")
        self._next += 1
        if self._whole:
            self._found.tree.append(computed)
            self._found.offsets.append(offset)
            self._entries.append(entry)

    def _checkpoint(self, offset: int, end: Place, line: CheckpointLine) -> None:
        try:
            checkpoint = self._open_note(line.note)
        except NoteError as error:
            self._problem(offset, None, f"the checkpoint does not hold: {error}")
            return
        self._compare_root(offset, checkpoint)
        self._flush(end, line, checkpoint)

    def _compare_root(self, offset: int, checkpoint: Checkpoint) -> None:
        first = self._found.size
        if not self._whole:
            return
        if checkpoint.size != self._next:
            message = f"the checkpoint is of {checkpoint.size} leaves, should be of {self._next}"
        elif checkpoint.root != self._found.tree.root():
            message = f"leaves {first} to {self._next - 1} do not give the root that was signed"
        else:
            return
        self._problem(self._batch_offset if self._next > first else offset, first, message)
        self._whole = False

    def _flush(self, end: Place, line: CheckpointLine, checkpoint: Checkpoint) -> None:
        """Takes everything up to a checkpoint as acknowledged."""
        found = self._found
        found.checkpoints += 1
        found.checkpoint, found.note, found.end = checkpoint, line.note, end
        found.entries = self._next
        found.problems += self._problems
        if self._on_entry is not None:
            for entry in self._entries:
                self._on_entry(entry)
        self._entries.clear()
        self._problems.clear()
        self._batch_offset = end.offset

    def _problem(self, offset: int, leaf_index: int | None, message: str) -> None:
        if len(self._found.problems) + len(self._problems) < MAX_PROBLEMS:
            self._problems.append(Problem(self._file, offset, leaf_index, message))

    def finish(self, segments: Sequence[Path], high_water: Checkpoint | None) -> Replayed:
        """Decides what follows the last genuine checkpoint: damage, or a torn tail."""
        found = self._found
        self._compare_high_water(segments, high_water)
        if self._whole:
            found.tree.truncate(found.size)
            del found.offsets[found.size :]
        sizes = [path.stat().st_size for path in segments]
        found.torn_bytes = sum(sizes[found.end.segment :]) - found.end.offset
        return found

    def _compare_high_water(self, segments: Sequence[Path], mark: Checkpoint | None) -> None:
        found = self._found
        if mark is None:
            message = "no checkpoint of this key lies beside the log"
        elif mark.size > found.size:
            message = f"the log ends after {found.size} leaves, but {mark.size} were sealed"
        elif self._whole and mark.size and found.tree.root(mark.size) != mark.root:
            message = f"the first {mark.size} leaves are not those that were sealed"
        else:
            return
        if mark is None and not segments:
            return
        file = segments[found.end.segment].name if segments else ""
        found.problems += self._problems  # they lie where something was acknowledged
        found.problems.append(Problem(file, found.end.offset, found.size, message))
