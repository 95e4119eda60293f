"""The batches of a log in a JetStream stream, and the segments that they amount to here.

A batch is one message: a line of JSON that says where it belongs, then the lines, then
the private parts. It is acknowledged when a majority of the replicas has it. Only then
is it written to the segments, and without waiting for the disk: what a power failure
takes from them, the next start gets from the stream again. A closed segment is synced
once, so that only the last one can be damaged in that way; whatever of that does not
hold is moved to quarantine before it is read.
"""

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from arenalab.ledger.disk import Disk, write_durably
from arenalab.ledger.jetstream.stream import Message, Stream
from arenalab.ledger.line import CheckpointLine, EntryLine, parse_line
from arenalab.ledger.packing import PackedError, is_packed, packed_path, read_lines
from arenalab.ledger.replay import Place
from arenalab.ledger.scan import scan_segment
from arenalab.ledger.segment_files import SegmentFiles
from arenalab.ledger.segments import Segments, UndoError
from arenalab.ledger.store import StoredBatch
from arenalab.mesh import DataLossError, Reason
from arenalab.proof import Checkpoint, ProofError, parse_checkpoint

_logger = logging.getLogger(__name__)
_VERSION: Final = 1
_HEAD_BYTES: Final = 256  # more than the line of JSON takes
_AT_ONCE: Final = 32  # messages of up to a megabyte or so


class _Unsynced(Disk):
    """A disk that nothing waits for."""

    def sync(self, fd: int) -> None:
        """Does nothing: the batch is durable in the stream."""


class JetStreamSegments(Segments):
    """Segments that hold what a stream holds; the replicated `LogStore`."""

    def __init__(self, directory: Path, stream: Stream) -> None:
        """Opens the segments that are there, once what is broken at their end is cut off.

        Raises:
            DataLossError: CORRUPT_LEDGER; the stream lacks messages.
        """
        if stream.missing:
            raise _lost(stream.name, f"lacks {stream.missing} of its {stream.last} messages")
        super().__init__(directory, _Unsynced())
        self._stream = stream
        self.max_batch_bytes = stream.max_bytes - _HEAD_BYTES
        try:
            self._cut_what_is_broken()
        except BaseException:
            self.close()
            raise

    def append(self, lines: bytes, content: bytes) -> None:
        """Publishes a batch, then writes it here.

        Raises:
            UndoError: It is in the stream and could not be written here.
            BusyError: Another process took the log over.
            NotReadyError: The cluster did not answer in time: the batch is in doubt.
            BudgetSpentError: STORAGE_FULL; as above.
        """
        message = Message(
            self._stream.subject("batch"), _encode(self.end, self.content_end, lines, content)
        )
        if self._stream.in_doubt:
            assert self._stream.in_doubt == (message,)  # noqa: S101 - as the protocol asks
            self._stream.settle()
        else:
            self._stream.publish([message])
        try:
            self.write(lines, content)
        except OSError as error:
            raise UndoError(
                error.errno,
                f"the stream {self._stream.name} has the batch, and it could not be written here"
                f" ({error.strerror}): start the ledger again once there is space",
            ) from error

    def missed(self, known: Checkpoint | None) -> Iterator[StoredBatch]:
        """Yields the batches of the stream behind a checkpoint.

        Raises:
            DataLossError: CORRUPT_LEDGER; the stream ends before it, or has another log.
            NotReadyError: The cluster did not answer in time.
        """
        after = self._find(known) if known else 0
        for kept in self._stream.read(after + 1, _AT_ONCE):
            after += 1
            if kept.sequence != after:
                raise _lost(self._stream.name, f"lacks message {after}")
            yield self._decode(kept.sequence, kept.message)

    def write_again(self) -> None:
        """Does nothing: what a failed sync lost here comes from the stream."""

    def roll(self) -> None:
        """Syncs the last segment, then starts a new one.

        Raises:
            OSError: As for `Segments.roll`.
        """
        self._sync_last()
        super().roll()

    def close(self) -> None:
        """Syncs and lets go of the files."""
        try:
            self._sync_last()
        except OSError:
            _logger.exception("the last segment could not be synced; the stream has what it has")
        super().close()

    def _sync_last(self) -> None:
        if self._lines >= 0:
            os.fsync(self._content)
            os.fsync(self._lines)

    def _find(self, known: Checkpoint) -> int:
        """Returns the number of the message that ends with a checkpoint."""
        low, high = 1, self._stream.last
        newest = self._checkpoint(high).size if high else 0
        if newest < known.size:
            raise _lost(
                self._stream.name,
                f"ends after {newest} leaves, but the directory has {known.size}",
            )
        while low < high:
            middle = (low + high) // 2
            if self._checkpoint(middle).size < known.size:
                low = middle + 1
            else:
                high = middle
        found = self._checkpoint(low)
        if (found.size, found.root) != (known.size, known.root):
            raise _lost(
                self._stream.name,
                f"has another log: of {newest} leaves, and the first {known.size} are not those"
                " of the directory",
            )
        return low

    def _checkpoint(self, sequence: int) -> Checkpoint:
        message = self._stream.get(sequence)
        if message is None:
            raise _lost(self._stream.name, f"lacks message {sequence}")
        batch = self._decode(sequence, message)
        line = parse_line(batch.lines[batch.lines.rfind(b"\n", 0, -1) + 1 :])
        try:
            if isinstance(line, CheckpointLine):
                return parse_checkpoint(line.note.rpartition("\n\n")[0] + "\n")
        except ProofError:
            pass
        raise _lost(batch.name, "does not end with a checkpoint")

    def _decode(self, sequence: int, message: Message) -> StoredBatch:
        name = f"{self._stream.name}, message {sequence}"
        head, _, body = message.payload.partition(b"\n")
        try:
            fields = json.loads(head)
            if fields["v"] != _VERSION:
                raise _lost(name, f"is of the unknown version {fields['v']}")
            place = Place(int(fields["segment"]), int(fields["offset"]))
            content_offset, size = int(fields["content_offset"]), int(fields["lines"])
        except (ValueError, KeyError, TypeError) as error:
            raise _lost(name, "is not a batch") from error
        return StoredBatch(name, place, content_offset, body[:size], body[size:])

    def _cut_what_is_broken(self) -> None:
        """Moves what does not hold of the last segment to quarantine, and empty segments."""
        while self.files:
            number, files = len(self.files) - 1, self.files[-1]
            quick = scan_segment(files.lines, files.content, _first_leaf(files.lines))
            if quick.batches:
                last = _entry_at(files.lines, quick.offsets[-1])
                self.cut(Place(number, quick.batches[-1].end), last.offset + last.content_bytes)
                return
            self._drop_last(files)

    def _drop_last(self, files: SegmentFiles) -> None:
        """Drops a segment without a batch: another process may not have begun it there."""
        self.cut(Place(len(self.files) - 1, 0), 0)
        super().close()
        # First, so that no crash leaves a log whose last segment cannot be written.
        if len(self.files) > 1:
            self._sizes[-2] = self._open_again(self.files[-2])
        for path in (files.lines, files.content, files.index):
            path.unlink(missing_ok=True)
        for sizes in (self._sizes, self._content_sizes):
            sizes.pop()
        self.files.pop()
        if self.files:
            self._open_last()

    def _open_again(self, files: SegmentFiles) -> int:
        """Makes a closed segment one that takes batches; returns the size of its lines."""
        packed = packed_path(files.lines)
        if not is_packed(files.lines):
            files.lines.chmod(0o600)
            return files.lines.stat().st_size
        try:
            lines = read_lines(files.lines)
        except PackedError:
            _logger.exception("%s cannot be read, the stream has what it had", packed.name)
            lines = b""
        write_durably(files.lines, lines)
        packed.unlink()
        return len(lines)


def _encode(place: Place, content_offset: int, lines: bytes, content: bytes) -> bytes:
    head = {
        "content_offset": content_offset,
        "lines": len(lines),
        "offset": place.offset,
        "segment": place.segment,
        "v": _VERSION,
    }
    return json.dumps(head, separators=(",", ":")).encode() + b"\n" + lines + content


def _first_leaf(lines: Path) -> int:
    with lines.open("rb") as file:
        line = parse_line(file.readline())
    return line.index if isinstance(line, EntryLine) else 0


def _entry_at(lines: Path, offset: int) -> EntryLine:
    with lines.open("rb") as file:
        file.seek(offset)
        line = parse_line(file.readline())
    if not isinstance(line, EntryLine):
        raise _lost(lines.name, f"is not what it was a moment ago, at byte {offset}")
    return line


def _lost(name: str, what: str) -> DataLossError:
    return DataLossError(f"{name} {what}", Reason.CORRUPT_LEDGER, file=name)
