"""A disk that writes short, is full, or fails to sync, by a seeded chance."""

import errno
import os
import random

from arenalab.ledger.disk import Disk


class FaultyDisk(Disk):
    """Fails as real disks do; what it says it did, it did."""

    def __init__(self, rng: random.Random, chance: float) -> None:
        """Prepares faults.

        Args:
            rng: Decides when, and which.
            chance: Of a fault at each operation, in [0, 1].
        """
        self._rng = rng
        self._chance = chance
        self.faults = 0
        self._synced_bytes: dict[int, int] = {}  # by inode

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Writes all, a part, or nothing."""
        if self._rng.random() >= self._chance:
            return super().write(fd, data)
        self.faults += 1
        if self._rng.random() < 0.5:
            return super().write(fd, data[: max(1, self._rng.randrange(len(data) + 1))])
        if len(data) > 1 and self._rng.random() < 0.5:
            super().write(fd, data[: self._rng.randrange(1, len(data))])
        code = self._rng.choice((errno.ENOSPC, errno.EIO))
        raise OSError(code, os.strerror(code))

    def sync(self, fd: int) -> None:
        """Syncs, or fails and drops what was not synced before, as a kernel may."""
        if self._rng.random() >= self._chance / 4:
            super().sync(fd)
            self._synced_bytes[os.fstat(fd).st_ino] = os.fstat(fd).st_size
            return
        self.faults += 1
        status = os.fstat(fd)
        if self._rng.random() < 0.5 and status.st_ino in self._synced_bytes:
            os.ftruncate(fd, min(self._synced_bytes[status.st_ino], status.st_size))
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def truncate(self, fd: int, size_bytes: int) -> None:
        """Cuts a file, or fails to."""
        if self._rng.random() < self._chance / 4:
            self.faults += 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().truncate(fd, size_bytes)
