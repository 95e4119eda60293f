"""What a witness remembers of each log: the last checkpoint that it cosigned, on disk."""

from pathlib import Path
from typing import Final

from blake3 import blake3

from arenalab.ledger.key_files import write_whole
from arenalab.ledger.lock import DirectoryLock
from arenalab.proof import Checkpoint, NoteError, parse_checkpoint, split_note

_MODE: Final = 0o600
_NAME_DIGITS: Final = 32


class WitnessState:
    """Notes in a directory, one file a log.

    A damaged one stops the witness: to forget what it saw would let a log start over.
    """

    def __init__(self, directory: Path) -> None:
        """Opens the directory, or makes it.

        Raises:
            BusyError: Another witness has it open.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._lock = DirectoryLock(directory)

    def last(self, origin: str) -> Checkpoint | None:
        """Returns the last checkpoint of a log that was recorded.

        Raises:
            NoteError: The file is damaged, or is of another log.
        """
        path = self._path(origin, "last")
        try:
            note = path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as error:
            raise NoteError(f"{path} is damaged") from error
        checkpoint = parse_checkpoint(split_note(note)[0])
        if checkpoint.origin != origin:
            raise NoteError(f"{path} is of {checkpoint.origin!r}, not of {origin!r}")
        return checkpoint

    def record(self, origin: str, note: str) -> None:
        """Remembers a checkpoint durably, in the place of the one before."""
        write_whole(self._path(origin, "last"), note.encode(), _MODE)

    def keep_fork(self, origin: str, note: str) -> Path:
        """Keeps a checkpoint that contradicts what was seen: beside it, evidence of a fork.

        The newest one replaces the one before. Returns where it lies.
        """
        path = self._path(origin, "fork")
        write_whole(path, note.encode(), _MODE)
        return path

    def close(self) -> None:
        """Lets another witness open the directory."""
        self._lock.release()

    def _path(self, origin: str, kind: str) -> Path:
        # An origin may hold any character; a file name may not.
        digits = blake3(origin.encode()).hexdigest()[:_NAME_DIGITS]
        return self._directory / f"{digits}.{kind}"
