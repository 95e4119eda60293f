"""A log that changes its key stays one log, and nobody else's signature counts for it."""

from dataclasses import replace

import pytest

from arenalab.proof import (
    Checkpoint,
    KeyRing,
    NoteError,
    ReceiptError,
    Signer,
    VerifierKey,
    open_checkpoint,
    open_note,
    split_note,
    verify_receipt,
)

from .conftest import SmallLog

ORIGIN = "example.org/log"
OLD, NEW, FIRST, FOREIGN = (Signer(ORIGIN, bytes([n]) * 32) for n in range(4))
RING = KeyRing(NEW, [OLD], [FIRST.verifier_key])
CHECKPOINT = Checkpoint(ORIGIN, 5, bytes(32))
NOTE = RING.sign(CHECKPOINT.text())


def test_every_active_key_signs_the_current_one_first() -> None:
    text, signatures = split_note(NOTE)
    assert text == CHECKPOINT.text()
    assert [key_hash for _, key_hash, _ in signatures] == [
        NEW.verifier_key.key_hash,
        OLD.verifier_key.key_hash,
    ]
    assert RING.verifier_key == NEW.verifier_key
    assert RING.verifier_keys == (NEW.verifier_key, OLD.verifier_key, FIRST.verifier_key)
    assert RING.name == ORIGIN


def test_a_ring_of_one_key_signs_as_the_key_does() -> None:
    assert KeyRing(NEW).sign(CHECKPOINT.text()) == NEW.sign(CHECKPOINT.text())


def test_who_knows_either_key_can_open_a_note() -> None:
    for key in (NEW.verifier_key, OLD.verifier_key):
        assert open_checkpoint(NOTE, key) == CHECKPOINT
        assert open_checkpoint(NOTE, [FIRST.verifier_key, key]) == CHECKPOINT
    assert open_checkpoint(OLD.sign(CHECKPOINT.text()), RING.verifier_keys) == CHECKPOINT


@pytest.mark.parametrize("keys", [[], [FIRST.verifier_key], [FOREIGN.verifier_key]])
def test_a_note_that_no_trusted_key_signed_is_refused(keys: list[VerifierKey]) -> None:
    with pytest.raises(NoteError, match="not signed by"):
        open_note(NOTE, keys)


@pytest.mark.parametrize("order", [1, -1])
def test_one_failing_signature_of_a_trusted_key_spoils_the_note(order: int) -> None:
    lines = [NEW.signature_line(CHECKPOINT.text()), OLD.signature_line("another text\n")]
    note = CHECKPOINT.text() + "\n" + "".join(lines[::order])
    assert open_checkpoint(note, NEW.verifier_key) == CHECKPOINT  # the other is unknown
    with pytest.raises(NoteError, match="does not hold"):
        open_checkpoint(note, RING.verifier_keys)


def test_a_trusted_key_of_another_log_does_not_count() -> None:
    other = Signer("example.org/other", bytes(32))
    note = other.sign(CHECKPOINT.text())
    with pytest.raises(NoteError, match=r"is of 'example\.org/log'"):
        open_checkpoint(note, [*RING.verifier_keys, other.verifier_key])


def test_keys_of_two_names_and_one_key_twice_are_refused() -> None:
    with pytest.raises(NoteError, match="share its name"):
        KeyRing(NEW, [Signer("example.org/other", bytes(32))])
    with pytest.raises(NoteError, match="twice"):
        KeyRing(NEW, [OLD], [NEW.verifier_key])


def test_a_receipt_holds_for_who_knows_all_keys_of_the_log(small_log: SmallLog) -> None:
    receipt = small_log.receipts[2]
    later = Signer("example.org/log", bytes(32))
    keys = [str(later.verifier_key), small_log.public_key]
    verify_receipt(receipt, keys)
    ring = KeyRing(later, [small_log.signer])
    text = receipt.checkpoint.split("\n\n")[0] + "\n"
    both = replace(receipt, checkpoint=ring.sign(text), log_public_key=str(ring.verifier_key))
    verify_receipt(both, keys)
    for known in ([], keys[1:]):
        with pytest.raises(ReceiptError, match="another log"):
            verify_receipt(both, known)
    spoiled = replace(both, checkpoint=both.checkpoint[:-6] + "AAAA=\n")
    with pytest.raises(ReceiptError):
        verify_receipt(spoiled, keys)


def test_no_secret_is_in_what_a_signer_or_ring_prints() -> None:
    for thing in (NEW, RING, NEW.verifier_key):
        assert (bytes([1]) * 32).hex() not in f"{thing!r} {thing}"
