"""The keys of subjects in a file of fixed records, which are erased in place.

Not SQLite: its journal keeps a copy of what it overwrites, and a key that must be
destroyed may have no copies. On a disk that moves blocks when it rewrites them (SSDs
do), overwriting is a best effort; full-disk encryption covers the rest.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from arenalab.ledger.disk import write_all, write_durably
from arenalab.ledger.entry import Randomness
from arenalab.ledger.key_records import KEY_BYTES, RECORD_BYTES, KeyRecord
from arenalab.mesh import DataLossError, Reason

NAME: Final = "subjects.keys"
_MAGIC: Final = b"arenalab subject keys 1\n"


class KeyFile:
    """Records in a file of the log's directory."""

    name = NAME

    def __init__(self, directory: Path, random: Randomness) -> None:
        """Opens the file, or makes a new one.

        Raises:
            DataLossError: CORRUPT_LEDGER; its head is not one.
        """
        self._path = directory / NAME
        if not self._path.exists():
            self._create(random)
        self._fd = os.open(self._path, os.O_RDWR)
        self._count = 0
        header = self._path.read_bytes()[:RECORD_BYTES]
        if len(header) < RECORD_BYTES or not header.startswith(_MAGIC):
            self.close()
            raise self._corrupt(0)
        self.secret = header[len(_MAGIC) : len(_MAGIC) + KEY_BYTES]

    def _create(self, random: Randomness) -> None:
        header = _MAGIC + random(KEY_BYTES)
        write_durably(self._path, header.ljust(RECORD_BYTES, b"\0"))

    def load(self) -> list[KeyRecord]:
        """Returns all records, once a torn end is cut off.

        Raises:
            DataLossError: CORRUPT_LEDGER; a record fails its check.
        """
        body = self._path.read_bytes()[RECORD_BYTES:]
        whole = len(body) // RECORD_BYTES
        # A torn end, or one that a power failure left empty: no entry was sealed under it.
        while whole and not any(body[(whole - 1) * RECORD_BYTES : whole * RECORD_BYTES]):
            whole -= 1
        if len(body) != whole * RECORD_BYTES:
            os.ftruncate(self._fd, (1 + whole) * RECORD_BYTES)
        records = []
        for number in range(whole):
            record = KeyRecord.decode(body[number * RECORD_BYTES : (number + 1) * RECORD_BYTES])
            if record is None:
                raise self._corrupt((1 + number) * RECORD_BYTES)
            records.append(record)
        self._count = whole
        return records

    def settle(self) -> list[KeyRecord]:
        """Returns nothing: what a file refuses is not there."""
        return []

    def append(self, records: Sequence[KeyRecord]) -> None:
        """Adds records at the end.

        Raises:
            OSError: The disk is full; none was kept.
        """
        end = (1 + self._count) * RECORD_BYTES
        try:
            os.lseek(self._fd, end, os.SEEK_SET)
            write_all(self._fd, b"".join(record.encode() for record in records))
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, end)
            raise
        self._count += len(records)

    def overwrite(self, number: int, record: KeyRecord) -> None:
        """Writes a record over another one.

        Raises:
            OSError: The disk refused.
        """
        os.pwrite(self._fd, record.encode(), (1 + number) * RECORD_BYTES)
        os.fsync(self._fd)

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self._fd)

    def _corrupt(self, offset: int) -> DataLossError:
        return DataLossError(
            f"{self.name} is damaged at byte {offset}",
            Reason.CORRUPT_LEDGER,
            file=self.name,
            offset=str(offset),
        )
