"""A log that is kept in its directory and nowhere else: the default."""

from pathlib import Path

from arenalab.ledger.disk import Disk
from arenalab.ledger.entry import Randomness
from arenalab.ledger.key_file import KeyFile
from arenalab.ledger.segments import Segments
from arenalab.ledger.subjects import SubjectKeys


class LocalStorage:
    """Segments and a file of keys."""

    is_replicated = False

    def __init__(self, disk: Disk | None = None) -> None:
        self._disk = disk

    def open_store(self, directory: Path) -> Segments:
        """Opens the segments that are there."""
        return Segments(directory, self._disk)

    def open_keys(self, directory: Path, random: Randomness) -> SubjectKeys:
        """Opens the file of keys, or makes a new one.

        Raises:
            DataLossError: CORRUPT_LEDGER; a record fails its check.
        """
        return SubjectKeys(KeyFile(directory, random), random)

    def close(self) -> None:
        """Does nothing: there is no connection."""
