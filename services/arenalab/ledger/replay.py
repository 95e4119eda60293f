"""Reading a log from its first byte: what opening it and verifying it have in common.

What a replay knows to be acknowledged ends at the last checkpoint with a signature
that holds, or at the high-water mark where that is further. Damage before that is a
problem, with file and offset. Whatever follows is a torn tail: a batch that was
being written when the process died, which nobody was told about.

A segment that is whole is taken as the quick reading found it (scan.py). Any other is
read again, line by line, to say what is wrong with it and where.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final

from blake3 import blake3

from arenalab.ledger.line import CheckpointLine, EntryLine, parse_line
from arenalab.ledger.packing import PackedError, lines_bytes, read_lines
from arenalab.ledger.scan import KEY_ID_BYTES, Scanned
from arenalab.ledger.segment_files import SegmentFiles
from arenalab.proof import Checkpoint, MerkleTree, NoteError, leaf_hash

MAX_PROBLEMS: Final = 100

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

    tree: MerkleTree
    # Each segment's first leaf, and the byte offsets of its entries.
    first_leaves: list[int] = field(default_factory=list)
    offsets: list["array[int]"] = field(default_factory=list)
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


class Replay:
    """Takes or reads the segments of a log, in order, and says what is in them."""

    def __init__(self, open_note: OpenNote, tree: MerkleTree | None = None) -> None:
        """Starts at the first leaf.

        Args:
            open_note: Returns the checkpoint of a note that the log's key signed, and
                raises NoteError for any other.
            tree: An empty one, to be filled.
        """
        self._open_note = open_note
        self._found = Replayed(tree or MerkleTree())
        self._next = 0  # index that the next entry should have
        self._whole = True  # the tree is still what the log says
        self._file = ""
        # Since the last genuine checkpoint:
        self._problems: list[Problem] = []
        self._batch_offset = 0

    @property
    def next_leaf(self) -> int:
        """Where the next segment should start."""
        return self._next

    def take(self, ordinal: int, files: SegmentFiles, quick: Scanned) -> bool:
        """Takes a segment as scanned; returns False, and changes nothing, if it cannot."""
        found, size = self._found, self._next
        if not (self._whole and quick.is_whole and quick.first == size == found.size):
            return False
        checkpoint = found.checkpoint
        for batch in quick.batches:
            start, end = (32 * (at - size) for at in (found.tree.size, batch.size))
            found.tree.extend(bytes(quick.hashes[start:end]))
            try:
                checkpoint = self._open_note(batch.note)
            except NoteError:
                checkpoint = None
            if checkpoint is None or checkpoint.size != batch.size:
                break
            if checkpoint.root != found.tree.root():
                break
        else:
            self._finish_taking(ordinal, files, quick, checkpoint)
            return True
        found.tree.truncate(size)
        return False

    def _finish_taking(
        self, ordinal: int, files: SegmentFiles, quick: Scanned, checkpoint: Checkpoint | None
    ) -> None:
        found = self._found
        self._file = files.lines.name
        found.first_leaves.append(self._next)
        found.offsets.append(quick.offsets)
        if quick.batches:
            last = quick.batches[-1]
            found.checkpoints += len(quick.batches)
            found.checkpoint, found.note = checkpoint, last.note
            found.end = Place(ordinal, last.end)
            self._next = found.entries = last.size
            self._batch_offset = last.end

    def read(self, ordinal: int, files: SegmentFiles) -> None:
        """Reads one segment line by line."""
        self._file = files.lines.name
        self._found.first_leaves.append(self._next)
        self._found.offsets.append(array("Q"))
        self._batch_offset = offset = 0
        content = files.content.read_bytes() if files.content.exists() else b""
        try:
            lines = BytesIO(read_lines(files.lines))
        except PackedError as error:
            self._problem(0, self._next, str(error))
            self._whole = False
            return
        for line in lines:
            self._line(ordinal, offset, line, content)
            offset += len(line)

    def _line(self, ordinal: int, offset: int, line: bytes, content: bytes) -> None:
        parsed = parse_line(line)
        if isinstance(parsed, EntryLine):
            self._entry(offset, parsed, content)
        elif isinstance(parsed, CheckpointLine):
            self._checkpoint(offset, Place(ordinal, offset + len(line)), parsed)
        else:
            self._problem(offset, self._next, "this is not a whole line of the log")
            self._whole = False

    def _entry(self, offset: int, entry: EntryLine, content: bytes) -> None:
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
        self._check_content(offset, entry, content)
        self._next += 1
        if self._whole:
            self._found.tree.append(computed)
            self._found.offsets[-1].append(offset)

    def _check_content(self, offset: int, entry: EntryLine, content: bytes) -> None:
        sealed = content[entry.offset : entry.offset + entry.content_bytes]
        if len(sealed) != entry.content_bytes:
            self._problem(offset, entry.index, "the content that the leaf binds is not there")
        elif blake3(sealed).hexdigest() != entry.sealed_hex:
            self._problem(offset, entry.index, "the content is not what the leaf binds")
        elif sealed[:KEY_ID_BYTES] != entry.key_id:
            self._problem(offset, entry.index, "the key is not the one that the content names")

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
        self._problems.clear()
        self._batch_offset = end.offset

    def _problem(self, offset: int, leaf_index: int | None, message: str) -> None:
        if len(self._found.problems) + len(self._problems) < MAX_PROBLEMS:
            self._problems.append(Problem(self._file, offset, leaf_index, message))

    def finish(
        self,
        segments: Sequence[SegmentFiles],
        high_water: Checkpoint | None,
        *,
        may_lag: bool = False,
    ) -> Replayed:
        """Decides what follows the last genuine checkpoint: damage, or a torn tail.

        Args:
            segments: All of them.
            high_water: The newest checkpoint that was acknowledged.
            may_lag: What is missing up to it is somewhere else.
        """
        found = self._found
        if not (may_lag and high_water and high_water.size > found.size):
            self._compare_high_water(segments, high_water)
        if self._whole:
            found.tree.truncate(found.size)
            for first, offsets in zip(found.first_leaves, found.offsets, strict=True):
                del offsets[max(found.size - first, 0) :]
        sizes = [lines_bytes(files.lines) for files in segments]
        found.torn_bytes = sum(sizes[found.end.segment :]) - found.end.offset
        return found

    def _compare_high_water(
        self, segments: Sequence[SegmentFiles], mark: Checkpoint | None
    ) -> None:
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
        file = segments[found.end.segment].lines.name if segments else ""
        found.problems += self._problems  # they lie where something was acknowledged
        found.problems.append(Problem(file, found.end.offset, found.size, message))
