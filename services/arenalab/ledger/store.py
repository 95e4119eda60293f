"""Where a log's batches become durable, and where its subjects' keys do.

Reading, proving and verifying go by the segments of a directory, whatever the store:
a local one writes and syncs them; a replicated one makes a batch durable elsewhere
first, and its segments are what that amounts to on this machine.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from arenalab.ledger.entry import Randomness
from arenalab.ledger.replay import Place
from arenalab.ledger.segment_files import SegmentFiles
from arenalab.ledger.subjects import SubjectKeys
from arenalab.proof import Checkpoint


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A batch that the store holds and the directory does not."""

    name: str  # what the store calls it, for messages
    place: Place  # where its lines start
    content_offset: int  # where its private parts start
    lines: bytes  # the last one is the checkpoint
    content: bytes


class LogStore(Protocol):
    """The batches of one log, in order, under one writer; any thread may read."""

    @property
    def files(self) -> list[SegmentFiles]:
        """The segments of the directory, in order; the last one is open."""

    @property
    def end(self) -> Place:
        """Where the next line goes."""

    @property
    def content_end(self) -> int:
        """Where the next private part goes, in the last segment's content file."""

    @property
    def total_bytes(self) -> int:
        """Bytes of all segments, private parts included."""

    @property
    def max_batch_bytes(self) -> int | None:
        """The most that lines and private parts of one batch may have together."""

    def cut(self, place: Place, content_end: int) -> None:
        """Drops from the directory what no checkpoint ends, and keeps it in quarantine."""

    def write_again(self) -> None:
        """Writes what may be in memory alone to the directory once more, and syncs it.

        Raises:
            OSError: The disk refused.
        """

    def roll(self) -> None:
        """Starts a new segment; the one before takes nothing more.

        Raises:
            OSError: The disk is full; the log can go on when there is space.
        """

    def append(self, lines: bytes, content: bytes) -> None:
        """Makes a batch durable, at the end of the last segment.

        Raises:
            OSError: The disk refused; nothing was kept.
            UndoError: What is on the disk is unknown, or behind what is durable: this
                process must not go on.
            BusyError: Another process writes the log now: this one must not go on.
            NotReadyError: Whether it was kept is not known. The same batch must be
                appended again before any other.
            BudgetSpentError: STORAGE_FULL; as above.
        """

    def missed(self, known: Checkpoint | None) -> Iterator[StoredBatch]:
        """Yields the batches behind a checkpoint that the directory lacks, in order.

        Args:
            known: The directory's last checkpoint; None when it has none.

        Raises:
            DataLossError: CORRUPT_LEDGER; the store ends before it, or has another log.
            NotReadyError: The store cannot be reached.
        """

    def write(self, lines: bytes, content: bytes) -> None:
        """Writes a batch that was missed to the directory.

        Raises:
            OSError: The disk refused.
        """

    def read_line(self, place: Place) -> bytes:
        """Returns the line that starts at a place."""

    def read_content(self, segment: int, offset: int, size: int) -> bytes:
        """Returns a private part; shorter, or none, where the file is."""

    def close(self) -> None:
        """Lets go of the files."""


class Storage(Protocol):
    """Opens what one log is kept in."""

    @property
    def is_replicated(self) -> bool:
        """Whether batches are durable elsewhere, so that the directory may lag behind."""

    def open_store(self, directory: Path) -> LogStore:
        """Opens the batches; the directory is locked and may be empty.

        Raises:
            MeshError: The store cannot be reached, or is not one for this.
        """

    def open_keys(self, directory: Path, random: Randomness) -> SubjectKeys:
        """Opens the subjects' keys.

        Raises:
            DataLossError: CORRUPT_LEDGER; they are damaged.
            MeshError: The store cannot be reached.
        """

    def close(self) -> None:
        """Lets go of connections, once the store and the keys are closed."""
