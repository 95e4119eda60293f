"""The few operations on files that durability rests on, in one place.

A test puts a disk in this one's place that writes short, is full or fails to sync.
Standard library only: the stand-alone verifier imports this package's readers.
"""

import os
from pathlib import Path


class Disk:
    """Writes, syncs and cuts files by descriptor."""

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Writes at the file's position; returns how many bytes it took.

        Raises:
            OSError: Nothing was written.
        """
        return os.write(fd, data)

    def sync(self, fd: int) -> None:
        """Makes what was written to a file durable.

        Raises:
            OSError: What is on the disk is unknown: the system may have dropped the
                very pages that it could not write, and a second try would pass for
                them. Never call this again for the same bytes.
        """
        os.fsync(fd)

    def truncate(self, fd: int, size_bytes: int) -> None:
        """Cuts a file."""
        os.ftruncate(fd, size_bytes)

    def write_all(self, fd: int, data: bytes) -> None:
        """Writes every byte at the file's position.

        Raises:
            OSError: Some of the bytes may have been written.
        """
        view = memoryview(data)
        while view:
            view = view[self.write(fd, view) :]


def write_all(fd: int, data: bytes) -> None:
    """Writes every byte at a file's position.

    Raises:
        OSError: Some of the bytes may have been written.
    """
    Disk().write_all(fd, data)


def sync_directory(path: Path) -> None:
    """Makes what was created or renamed in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_durably(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Puts a whole file in place of what is there, or leaves that as it is."""
    aside = path.with_name(f"{path.name}.new")
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    aside.replace(path)
    sync_directory(path.parent)
