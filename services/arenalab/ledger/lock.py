"""One writer a directory."""

import fcntl
import os
from pathlib import Path
from typing import Final

from arenalab.mesh import BusyError

_LOCK_NAME: Final = "lock"


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
