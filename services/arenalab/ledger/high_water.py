"""The high-water mark: the newest checkpoint that was acknowledged, beside the segments.

Checkpoints lie in the segments too, but a segment cut short loses its last ones with
its last entries and still looks whole. This file remembers how far the log was.

It has two slots, written in turn, so that a write that is torn spoils one of them at
most. It is written after the segment's fsync and not synced itself: killing the
process cannot lose it; after a power failure it may lag by what the kernel had not
yet written, which makes the check weaker and never wrong.
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

from arenalab.ledger.disk import write_durably
from arenalab.proof import Checkpoint, NoteError, VerifierKey, open_checkpoint

NAME: Final = "high-water"
# Holds a note with the longest origin (config.MAX_ORIGIN), a 20-digit size and the
# signatures of two keys.
SLOT_BYTES: Final = 1024
_SLOTS: Final = 2


class HighWater:
    """The file, open for writing."""

    def __init__(self, directory: Path) -> None:
        self._fd = os.open(directory / NAME, os.O_WRONLY)
        self._turn = 0

    def write(self, note: str) -> None:
        """Remembers a checkpoint that is about to be acknowledged."""
        self._turn = (self._turn + 1) % _SLOTS
        data = note.encode().ljust(SLOT_BYTES, b"\0")
        os.pwrite(self._fd, data, self._turn * SLOT_BYTES)

    def sync(self) -> None:
        """Makes the mark durable against power failure."""
        os.fsync(self._fd)

    def close(self) -> None:
        self.sync()
        os.close(self._fd)


def create_high_water(directory: Path, note: str) -> None:
    """Writes the file of a new log, whole or not at all."""
    data = note.encode().ljust(SLOT_BYTES, b"\0") + bytes(SLOT_BYTES)
    write_durably(directory / NAME, data)


def read_notes(directory: Path) -> list[str]:
    """Returns the notes of the slots that hold one, unchecked; none if there is no file."""
    try:
        data = (directory / NAME).read_bytes()
    except FileNotFoundError:
        return []
    slots = (data[n * SLOT_BYTES : (n + 1) * SLOT_BYTES] for n in range(_SLOTS))
    texts = (slot.rstrip(b"\0").decode("utf-8", "replace") for slot in slots)
    return [text for text in texts if text]


def read_high_water(
    directory: Path, keys: Collection[VerifierKey]
) -> tuple[Checkpoint, str] | None:
    """Returns the greatest checkpoint that one of the log's keys signed, with its note."""
    found = []
    for note in read_notes(directory):
        try:
            found.append((open_checkpoint(note, keys), note))
        except NoteError:  # a torn slot, or another key's
            continue
    return max(found, key=lambda pair: pair[0].size, default=None)
