"""Durable files: whole writes, synced directories, one writer a directory."""

import errno
import fcntl
import os
from pathlib import Path
from typing import Final

from arenalab.mesh import BudgetSpentError, BusyError, Reason

# EFBIG is a full disk by another name: the limit on this process's file size.
STORAGE_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
_LOCK_NAME: Final = "lock"


def write_all(fd: int, data: bytes) -> None:
    """Writes every byte at the file's end or position.

    Raises:
        OSError: The disk is full; some of the bytes may have been written.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_directory(path: Path) -> None:
    """Makes what was created or renamed in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def storage_error(error: OSError, path: Path) -> BudgetSpentError:
    """Returns the error of a write that the disk refused and that was undone."""
    return BudgetSpentError(
        f"the ledger could not write, nothing was kept: {os.strerror(error.errno or 0)}",
        Reason.STORAGE_FULL,
        path=path.name,
    )


class DirectoryLock:
    """Keeps a second writer out of a directory; the system drops it with the process."""

    def __init__(self, directory: Path) -> None:
        """Takes the lock.

        Raises:
            BusyError: Another writer has the directory.
        """
        self._fd = os.open(directory / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._fd)
            raise BusyError(
                f"the ledger in {directory} is open in another process", job="ledger"
            ) from error

    def release(self) -> None:
        """Lets the next writer in."""
        os.close(self._fd)
