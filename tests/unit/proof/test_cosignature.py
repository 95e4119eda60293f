"""Cosignatures of witnesses, against one of the public witness network and made here."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.proof import (
    Checkpoint,
    Cosigner,
    NoteError,
    Signer,
    VerifierKey,
    WitnessKey,
    WitnessPolicy,
    add_cosignatures,
    cosignature_times,
    open_checkpoint,
    split_note,
)

# A checkpoint of a certificate transparency log and of a witness, both public.
REAL_KEY = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
REAL_TIME = 1779573024
REAL_NOTE = """\
arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

\u2014 arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3N\
ygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
\u2014 witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEc\
xZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
\u2014 remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sX\
Tynk5XeU/zZ0WBxtqB0DrAWfBw==
"""

ORIGIN = "example.org/log"
LOG = Signer(ORIGIN, bytes(32))
ONE, TWO, THREE = (Cosigner(f"witness.example/w{n}", bytes([n]) * 32) for n in (1, 2, 3))
KEYS = tuple(cosigner.witness_key for cosigner in (ONE, TWO, THREE))
TEXT = Checkpoint(ORIGIN, 5, bytes(32)).text()
NOTE = LOG.sign(TEXT)


def test_a_cosignature_of_the_public_network_holds() -> None:
    key = WitnessKey.parse(REAL_KEY)
    assert str(key) == REAL_KEY
    assert cosignature_times(REAL_NOTE, [key]) == {key: REAL_TIME}
    assert WitnessPolicy((key,), 1).verify(REAL_NOTE) == {"remora.n621.de": REAL_TIME}
    with pytest.raises(NoteError, match="does not hold"):
        cosignature_times(REAL_NOTE.replace("1432088532", "1432088533"), [key])


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**64 - 1), st.binary(min_size=32, max_size=32))
def test_a_cosignature_tells_its_time(time_s: int, size: int, root: bytes) -> None:
    text = Checkpoint(ORIGIN, size, root).text()
    note = LOG.sign(text) + ONE.cosign(text, time_s)
    assert cosignature_times(note, KEYS) == {ONE.witness_key: time_s}
    assert open_checkpoint(note, LOG.verifier_key).root == root  # the log's own still holds


def test_the_line_is_laid_out_as_specified() -> None:
    _, [(name, key_hash, signature)] = split_note(f"{TEXT}\n{ONE.cosign(TEXT, 1679315147)}")
    assert (name, key_hash) == (ONE.witness_key.name, ONE.witness_key.key_hash)
    assert len(signature) == 72
    assert signature[:8] == (1679315147).to_bytes(8, "big")


@given(st.data())
def test_a_changed_cosignature_is_refused_or_is_not_the_witnesss(data: st.DataObject) -> None:
    line = ONE.cosign(TEXT, 1679315147)
    raw = bytearray(base64.b64decode(line.split()[2]))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    changed = f"\u2014 {ONE.witness_key.name} {base64.b64encode(raw).decode()}\n"
    with pytest.raises(NoteError):
        WitnessPolicy(KEYS, 1).verify(NOTE + changed)


def test_a_policy_counts_witnesses_and_not_signatures() -> None:
    note = NOTE + ONE.cosign(TEXT, 10) + ONE.cosign(TEXT, 12)
    assert WitnessPolicy(KEYS, 1).verify(note) == {ONE.witness_key.name: 12}
    with pytest.raises(NoteError, match=r"2 witnesses must cosign, found witness\.example/w1"):
        WitnessPolicy(KEYS, 2).verify(note)
    note += THREE.cosign(TEXT, 11)
    assert WitnessPolicy(KEYS, 2).verify(note) == {
        ONE.witness_key.name: 12,
        THREE.witness_key.name: 11,
    }
    stranger = Cosigner("stranger.example", bytes(32))
    with pytest.raises(NoteError, match="found none"):
        WitnessPolicy(KEYS, 1).verify(NOTE + stranger.cosign(TEXT, 1))


def test_two_keys_of_one_witness_are_one_witness() -> None:
    renewed = Cosigner(ONE.witness_key.name, bytes([9]) * 32)
    keys = (*KEYS[:2], renewed.witness_key)
    note = NOTE + ONE.cosign(TEXT, 10) + renewed.cosign(TEXT, 12)
    assert WitnessPolicy(keys, 1).verify(note) == {ONE.witness_key.name: 12}
    with pytest.raises(NoteError, match="2 witnesses"):
        WitnessPolicy(keys, 2).verify(note)
    with pytest.raises(NoteError, match="threshold"):
        WitnessPolicy(keys, 3)


def test_one_failing_cosignature_of_a_known_witness_spoils_the_note() -> None:
    note = NOTE + TWO.cosign(TEXT, 1) + ONE.cosign(Checkpoint(ORIGIN, 6, bytes(32)).text(), 1)
    with pytest.raises(NoteError, match="w1 does not hold"):
        WitnessPolicy(KEYS, 1).verify(note)
    assert WitnessPolicy(KEYS[1:], 1).verify(note)


def test_a_logs_signature_is_no_cosignature_even_with_the_same_key() -> None:
    seed = bytes([7]) * 32
    log, witness = Signer(ORIGIN, seed), Cosigner(ORIGIN, seed)
    assert log.verifier_key.public_key == witness.witness_key.public_key
    assert cosignature_times(log.sign(TEXT), [witness.witness_key]) == {}
    with pytest.raises(NoteError, match="not signed by"):
        open_checkpoint(f"{TEXT}\n{witness.cosign(TEXT, 1)}", log.verifier_key)
    for text, kind in ((str(log.verifier_key), WitnessKey), (REAL_KEY, VerifierKey)):
        with pytest.raises(NoteError, match="not of type"):
            kind.parse(text)


def test_only_checkpoints_are_cosigned_and_only_at_a_time_that_can_be() -> None:
    for text, time_s in (("any text\n", 1), (TEXT, -1), (TEXT, 2**63)):
        with pytest.raises(NoteError):
            ONE.cosign(text, time_s)
    with pytest.raises(NoteError, match="no time"):
        ONE.witness_key.time_of(TEXT, b"\xff" * 72)


def test_only_the_witnesss_own_lines_are_added() -> None:
    answer = ONE.cosign(TEXT, 5) + TWO.cosign(TEXT, 6)
    once = add_cosignatures(NOTE, answer, KEYS[:1])
    assert once == NOTE + ONE.cosign(TEXT, 5)
    assert add_cosignatures(once, TWO.cosign(TEXT, 6), KEYS[1:2]) == NOTE + answer
    later = add_cosignatures(once, ONE.cosign(TEXT, 9) + ONE.cosign(TEXT, 7), KEYS[:1])
    assert later == NOTE + ONE.cosign(TEXT, 9)


@pytest.mark.parametrize(
    "lines",
    [
        "",
        "nonsense\n",
        TWO.cosign(TEXT, 1),
        ONE.cosign(TEXT, 1)[:-1],
        ONE.cosign(Checkpoint(ORIGIN, 6, bytes(32)).text(), 1),
        ONE.cosign(TEXT, 1) * 65,
    ],
)
def test_an_answer_without_a_cosignature_that_holds_is_refused(lines: str) -> None:
    with pytest.raises(NoteError):
        add_cosignatures(NOTE, lines, KEYS[:1])
