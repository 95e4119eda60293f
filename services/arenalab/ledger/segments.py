"""The segment files of an open log: the one that is written, reads by place.

A batch goes to two files: the private parts first, then the lines, each synced. So a
line that is durable has its private part; what a crash leaves behind the last
checkpoint is cut off at the next start, and kept in quarantine.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from arenalab.ledger.disk import Disk, sync_directory, write_durably
from arenalab.ledger.packing import PackedError, lines_bytes, read_packed_line
from arenalab.ledger.replay import Place
from arenalab.ledger.segment_files import QUARANTINE, SegmentFiles, list_segments
from arenalab.ledger.store import StoredBatch
from arenalab.proof import Checkpoint

_logger = logging.getLogger(__name__)
_READ_BYTES: Final = 4096
_LARGEST_BATCH_BYTES: Final = 64 * 1024 * 1024  # more than a batch can have
_CLOSED_MODE: Final = 0o400


class UndoError(OSError):
    """A write failed, and so did taking it back; or a sync did: the file is unknown."""


class Segments:
    """The segments of an open log; one thread appends, any may read. The local `LogStore`."""

    max_batch_bytes: int | None = None

    def __init__(self, directory: Path, disk: Disk | None = None) -> None:
        """Opens the segments that are there."""
        self._directory = directory
        self._disk = disk or Disk()
        self.files = list_segments(directory)
        self._sizes = [lines_bytes(files.lines) for files in self.files]
        self._content_sizes = [_size_of(files.content) for files in self.files]
        self._lines = self._content = -1  # descriptors of the last segment
        if self.files:
            self._open_last()

    @property
    def end(self) -> Place:
        """Where the next byte goes."""
        return Place(len(self._sizes) - 1, self._sizes[-1]) if self._sizes else Place(0, 0)

    @property
    def content_end(self) -> int:
        """Where the next private part goes, in the last segment's content file."""
        return self._content_sizes[-1] if self._content_sizes else 0

    @property
    def total_bytes(self) -> int:
        """Bytes of all segments, private parts included."""
        return sum(self._sizes) + sum(self._content_sizes)

    def cut(self, place: Place, content_end: int) -> None:
        """Drops everything from a place on, durably, and keeps it in quarantine.

        Args:
            place: In the lines.
            content_end: Where the private parts of that segment should end.
        """
        for number in range(place.segment, len(self.files)):
            is_first = number == place.segment
            files = self.files[number]
            self._cut(files.lines, place.offset if is_first else 0)
            self._cut(files.content, content_end if is_first else 0)
            self._sizes[number] = _size_of(files.lines)
            self._content_sizes[number] = _size_of(files.content)
        self._close_last(seal=False)
        self._open_last()

    def _cut(self, path: Path, size: int) -> None:
        if _size_of(path) <= size:
            return
        with path.open("r+b") as file:
            file.seek(size)
            torn = file.read()
            quarantine = self._directory / QUARANTINE
            quarantine.mkdir(mode=0o700, exist_ok=True)
            kept = quarantine / f"{path.name}.{size}"
            write_durably(kept, torn)
            file.truncate(size)
            os.fsync(file.fileno())
        _logger.warning("%d bytes that no checkpoint ends were moved to %s", len(torn), kept.name)

    def write_again(self) -> None:
        """Writes the end of the last segment once more, and syncs it.

        A batch that was whole when the process died may be in memory alone, in pages
        that a failed sync left marked as written: to sync them again would do nothing.

        Raises:
            OSError: The disk refused.
        """
        for fd, size in (
            (self._content, self._content_sizes[-1]),
            (self._lines, self._sizes[-1]),
        ):
            start = max(0, size - _LARGEST_BATCH_BYTES)
            data = os.pread(fd, size - start, start)
            os.lseek(fd, start, os.SEEK_SET)
            self._disk.write_all(fd, data)
            self._disk.sync(fd)

    def roll(self) -> None:
        """Starts a new segment; the one before takes nothing more.

        Raises:
            OSError: The disk is full; the log can go on when there is space.
        """
        files = SegmentFiles.of(self._directory, len(self.files))
        opened: list[int] = []
        try:
            # One by one, so that what was opened is closed if the next is not.
            for path in (files.content, files.lines):
                opened.append(_create(path))  # noqa: PERF401
            sync_directory(self._directory)
        except OSError:
            for fd in opened:
                os.close(fd)
            raise
        self._close_last()
        self._content, self._lines = opened
        self.files.append(files)
        self._sizes.append(0)
        self._content_sizes.append(0)

    def missed(self, known: Checkpoint | None) -> Iterator[StoredBatch]:
        """Yields nothing: there is no batch but in these files."""
        del known
        yield from ()

    def append(self, lines: bytes, content: bytes) -> None:
        """Makes a batch durable: it is written, and synced, and that is all.

        Raises:
            OSError: As for `write`.
        """
        self.write(lines, content)

    def write(self, lines: bytes, content: bytes) -> None:
        """Adds a batch to the last segment and syncs it.

        Raises:
            OSError: The disk refused; the files end where they ended before.
            UndoError: That could not be done, or the disk failed to sync.
        """
        try:
            for fd, size, data in (
                (self._content, self._content_sizes[-1], content),
                (self._lines, self._sizes[-1], lines),
            ):
                os.lseek(fd, size, os.SEEK_SET)
                self._disk.write_all(fd, data)
                self._sync(fd)
        except OSError as error:
            self._undo(error)
            raise
        self._content_sizes[-1] += len(content)
        self._sizes[-1] += len(lines)

    def _sync(self, fd: int) -> None:
        try:
            self._disk.sync(fd)
        except OSError as error:
            raise UndoError(error.errno, f"the disk failed to sync: {error}") from error

    def _undo(self, error: OSError) -> None:
        try:
            self._disk.truncate(self._lines, self._sizes[-1])
            self._disk.truncate(self._content, self._content_sizes[-1])
            if not isinstance(error, UndoError):
                self._disk.sync(self._lines)
        except OSError as second:
            raise UndoError(second.errno, f"cannot undo a failed write: {error}") from error

    def read_line(self, place: Place) -> bytes:
        """Returns the line that starts at a place."""
        parts: list[bytes] = []
        try:
            fd = os.open(self.files[place.segment].lines, os.O_RDONLY)
        except FileNotFoundError:
            return _packed_line(self.files[place.segment].lines, place.offset)
        try:
            offset, size = place.offset, _READ_BYTES
            while part := os.pread(fd, size, offset):
                end = part.find(b"\n")
                if end >= 0:
                    return b"".join((*parts, part[: end + 1]))
                parts.append(part)
                offset += len(part)
                size *= 4
        finally:
            os.close(fd)
        return b"".join(parts)

    def read_content(self, segment: int, offset: int, size: int) -> bytes:
        """Returns a private part; shorter, or none, where the file is."""
        try:
            fd = os.open(self.files[segment].content, os.O_RDONLY)
        except FileNotFoundError:
            return b""
        try:
            return os.pread(fd, size, offset)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Lets go of the files."""
        self._close_last(seal=False)

    def _open_last(self) -> None:
        files = self.files[-1]
        self._content = os.open(files.content, os.O_RDWR | os.O_CREAT, 0o600)
        self._lines = os.open(files.lines, os.O_RDWR)

    def _close_last(self, *, seal: bool = True) -> None:
        if self._lines < 0:
            return
        if seal:
            # Of little worth against malice; against a slip of the hand, of some.
            os.fchmod(self._lines, _CLOSED_MODE)
        os.close(self._lines)
        os.close(self._content)
        self._lines = self._content = -1


def _packed_line(lines: Path, offset: int) -> bytes:
    try:
        return read_packed_line(lines, offset)
    except PackedError as error:
        _logger.error("%s", error)  # noqa: TRY400 - what is read is not what was sealed: the caller says so
        return b""


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _create(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
