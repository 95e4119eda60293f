"""The segment files of a log: names, the one that is written, reads by offset."""

import os
from pathlib import Path
from typing import Final

from arenalab.ledger.files import sync_directory, write_all
from arenalab.ledger.replay import Place

_SUFFIX: Final = ".ndjson"
_DIGITS: Final = 8
_READ_BYTES: Final = 16_384


def segment_paths(directory: Path) -> list[Path]:
    """Returns the segments of a log, in order."""
    return sorted(
        path
        for path in directory.glob(f"*{_SUFFIX}")
        if len(path.stem) == _DIGITS and path.stem.isdecimal()
    )


class Segments:
    """The segments of an open log; one thread appends, any may read."""

    def __init__(self, directory: Path, segment_bytes: int) -> None:
        """Opens the segments that are there."""
        self._directory = directory
        self._segment_bytes = segment_bytes
        self.paths = segment_paths(directory)
        self._fds = [os.open(path, os.O_RDWR) for path in self.paths]
        self._sizes = [os.fstat(fd).st_size for fd in self._fds]

    @property
    def end(self) -> Place:
        """Where the next byte goes."""
        return Place(len(self._sizes) - 1, self._sizes[-1]) if self._sizes else Place(0, 0)

    @property
    def total_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(self._sizes)

    def cut(self, place: Place) -> None:
        """Drops everything from `place` on, durably; later segments become empty."""
        for number in range(place.segment, len(self._fds)):
            size = place.offset if number == place.segment else 0
            os.ftruncate(self._fds[number], size)
            os.fsync(self._fds[number])
            self._sizes[number] = size

    def roll(self) -> bool:
        """Starts a new segment if the last one is long enough; returns whether it did.

        Raises:
            OSError: The disk is full; the log can go on when there is space.
        """
        if self._sizes and self._sizes[-1] < self._segment_bytes:
            return False
        path = self._directory / f"{len(self.paths):0{_DIGITS}}{_SUFFIX}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            sync_directory(self._directory)
        except OSError:
            os.close(fd)
            raise
        self.paths.append(path)
        self._fds.append(fd)
        self._sizes.append(0)
        return True

    def append(self, data: bytes) -> None:
        """Adds bytes to the last segment and syncs it.

        Raises:
            OSError: The disk refused; the segment ends where it ended before, unless
                that failed too, which is an OSError of its own (`UndoError`).
        """
        fd, size = self._fds[-1], self._sizes[-1]
        try:
            os.lseek(fd, size, os.SEEK_SET)
            write_all(fd, data)
            os.fsync(fd)
        except OSError as error:
            try:
                os.ftruncate(fd, size)
                os.fsync(fd)
            except OSError as second:
                raise UndoError(second.errno, f"cannot undo a failed write: {error}") from error
            raise
        self._sizes[-1] = size + len(data)

    def read_line(self, place: Place) -> bytes:
        """Returns the line that starts at a place."""
        fd, offset = self._fds[place.segment], place.offset
        parts: list[bytes] = []
        while part := os.pread(fd, _READ_BYTES, offset):
            end = part.find(b"\n")
            if end >= 0:
                return b"".join((*parts, part[: end + 1]))
            parts.append(part)
            offset += len(part)
        return b"".join(parts)

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)


class UndoError(OSError):
    """A write failed, and so did taking it back: the file's end is unknown."""
