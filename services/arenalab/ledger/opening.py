"""Opening a log's directory: a new one gets its high-water mark, an old one is replayed."""

from collections.abc import Callable
from pathlib import Path

from arenalab.ledger.high_water import create_high_water, read_high_water, read_notes
from arenalab.ledger.line import EntryLine
from arenalab.ledger.replay import Replayed, replay
from arenalab.ledger.segments import segment_paths
from arenalab.mesh import PreconditionError, Reason
from arenalab.proof import (
    EMPTY_ROOT,
    Checkpoint,
    NoteError,
    Signer,
    VerifierKey,
    open_checkpoint,
    parse_checkpoint,
    split_note,
)


def open_directory(
    directory: Path, signer: Signer, on_entry: Callable[[EntryLine], None]
) -> Replayed:
    """Returns what is in the log, damage included; makes an empty log of a new directory.

    Raises:
        PreconditionError: MISSING_KEY; the log was signed by another key.
    """
    segments = segment_paths(directory)
    mark = read_high_water(directory, signer.verifier_key)
    if mark is None:
        _check_whose_it_is(directory, signer.verifier_key)
        if not segments:
            # Before the first segment, so that segments without a mark mean damage.
            empty = Checkpoint(signer.verifier_key.name, 0, EMPTY_ROOT)
            create_high_water(directory, signer.sign(empty.text()))
            mark = read_high_water(directory, signer.verifier_key)
    return replay(
        segments,
        lambda note: _open_own(note, signer),
        mark[0] if mark else None,
        on_entry=on_entry,
    )


def _open_own(note: str, signer: Signer) -> Checkpoint:
    """Opens a note by signing its text again, which takes a third of verifying it."""
    text = note.rpartition("\n\n")[0] + "\n"
    if signer.sign(text) == note:
        return parse_checkpoint(text)
    return open_checkpoint(note, signer.verifier_key)


def _check_whose_it_is(directory: Path, key: VerifierKey) -> None:
    for note in read_notes(directory):
        try:
            signatures = split_note(note)[1]
        except NoteError:  # damage, which the replay reports
            continue
        name, key_hash, _ = signatures[0]
        if (name, key_hash) != (key.name, key.key_hash):
            raise PreconditionError(
                f"the log in {directory} was signed by the key {name}+{key_hash.hex()},"
                f" not by {key.name}+{key.key_hash.hex()}",
                Reason.MISSING_KEY,
                key=f"{name}+{key_hash.hex()}",
            )
