"""Verification of a whole log offline: its directory and its public key, nothing else."""

import errno
from dataclasses import dataclass
from pathlib import Path

from arenalab.ledger.high_water import read_high_water
from arenalab.ledger.log import Log
from arenalab.ledger.replay import Problem, Replayed, replay
from arenalab.ledger.segments import segment_paths
from arenalab.proof import VerifierKey, open_checkpoint


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked, and what is wrong."""

    entries: int
    checkpoints: int
    problems: tuple[Problem, ...]
    torn_bytes: int  # after the last checkpoint; never acknowledged, dropped at the next start

    @property
    def valid(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify_directory(directory: Path, public_key: str) -> Verification:
    """Checks every line, hash, checkpoint signature and root of a log.

    Args:
        directory: Where the segments and the high-water mark are.
        public_key: "name+hash+base64", as known beforehand.

    Raises:
        NoteError: The public key is malformed.
        OSError: The directory cannot be read, or is not there.
    """
    key = VerifierKey.parse(public_key)
    if not directory.is_dir():  # else it would pass for an empty log
        raise FileNotFoundError(errno.ENOENT, "no ledger is there", str(directory))
    # The mark first: what a running ledger appends meanwhile only makes the log longer.
    mark = read_high_water(directory, key)
    return _verification_of(
        replay(
            segment_paths(directory),
            lambda note: open_checkpoint(note, key),
            mark[0] if mark is not None else None,
        )
    )


def verify_open_log(log: Log) -> Verification:
    """Checks what an open log has acknowledged so far, while it goes on taking entries."""
    if log.damage is not None or not log.head.note:
        return verify_directory(log.directory, log.public_key)
    head, key = log.head, VerifierKey.parse(log.public_key)
    return _verification_of(
        replay(
            log.segment_paths,
            lambda note: open_checkpoint(note, key),
            open_checkpoint(head.note, key),
            until=head.end,
        )
    )


def _verification_of(found: Replayed) -> Verification:
    """Returns the verdict of a replay."""
    return Verification(found.entries, found.checkpoints, tuple(found.problems), found.torn_bytes)
