"""A copy of a log as static files, brought up to date without ever showing half of it.

Tiles come first and the checkpoint last, each file whole or not at all: who reads the
directory meanwhile finds the checkpoint from before and all that it answers for. A new
checkpoint is only written once the files give its root, and the tree of the one before
it is a prefix of its tree.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from arenalab.durable import replace
from arenalab.mesh import PreconditionError
from arenalab.proof import (
    CHECKPOINT_PATH,
    Checkpoint,
    NoteError,
    ProofError,
    TileFile,
    TileReader,
    VerifierKey,
    open_checkpoint,
    verify_consistency,
)


class Mirror:
    """The files of one log in a directory."""

    def __init__(
        self, directory: Path, keys: Sequence[VerifierKey], old: Checkpoint | None
    ) -> None:
        """See `open`."""
        self._directory = directory
        self._keys = keys
        self._old = old
        self._note: bytes | None = None
        self._new: Checkpoint | None = None
        self._files = 0

    @classmethod
    def open(cls, directory: Path, public_keys: Sequence[str]) -> Self:
        """Returns the mirror in a directory, which may be empty or not be there.

        Raises:
            PreconditionError: The directory holds the export of another log.
            OSError: It cannot be read.
        """
        keys = [VerifierKey.parse(key) for key in public_keys]
        try:
            note = (directory / CHECKPOINT_PATH).read_text(encoding="utf-8")
        except FileNotFoundError:
            return cls(directory, keys, None)
        try:
            return cls(directory, keys, open_checkpoint(note, keys))
        except (NoteError, UnicodeDecodeError) as error:
            raise PreconditionError(
                f"{directory} holds the export of another log, or one that is damaged: {error}"
            ) from error

    @property
    def size(self) -> int:
        """Entries that the checkpoint in the directory answers for."""
        return self._old.size if self._old is not None else 0

    @property
    def new_size(self) -> int:
        """Entries that the checkpoint which came answers for."""
        return self._new.size if self._new is not None else self.size

    def take(self, path: str, data: bytes) -> None:
        """Writes one file; the checkpoint is kept back until `finish`.

        Raises:
            ProofError: The path or the checkpoint is not of this log.
            OSError: It cannot be written.
        """
        if path == CHECKPOINT_PATH:
            self._note, self._new = data, open_checkpoint(data.decode(), self._keys)
            return
        TileFile.parse(path)  # so that nothing is written outside of the directory
        replace(self._directory / path, data)
        self._files += 1

    def finish(self, consistency: Sequence[bytes]) -> int:
        """Checks what came, and shows it; returns how many files were written.

        Args:
            consistency: The proof between the old checkpoint and the new one.

        Raises:
            ProofError: The files do not have the new checkpoint's root, or the log does
                not go on from the old one; the old checkpoint stays.
            OSError: A file cannot be read or written.
        """
        if self._new is None or self._note is None:
            raise ProofError("the export ended without a checkpoint")
        TileReader(lambda path: (self._directory / path).read_bytes(), self._new)
        if self._old is not None:
            verify_consistency(
                self._old.size, self._new.size, self._old.root, self._new.root, consistency
            )
        replace(self._directory / CHECKPOINT_PATH, self._note)
        self._old = self._new
        return self._files + 1
