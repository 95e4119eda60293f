"""Signed notes against the vectors of the specification and of Go's sumdb/note."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.proof import (
    Checkpoint,
    NoteError,
    Signer,
    VerifierKey,
    open_checkpoint,
    open_note,
    parse_checkpoint,
)

# golang.org/x/mod/sumdb/note, note_test.go.
PETER_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
ENOCH_KEY = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
PETER_LINE = (
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqf"
    "qdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "\u2014 EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTG"
    "wnWLox33WWd1RvMc+QQ=\n"
)
# c2sp.org/signed-note.
FOO_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_NOTE = (
    "This is an example message.\n\n"
    "\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3"
    "mFXmRKuwHjG1Yu72IneyaQM=\n"
)
SIGNER = Signer("example.org/log", bytes(32))


@pytest.mark.parametrize("key", [PETER_KEY, ENOCH_KEY, FOO_KEY])
def test_a_published_key_reads_and_writes_back(key: str) -> None:
    assert str(VerifierKey.parse(key)) == key


def test_published_notes_hold() -> None:
    assert open_note(FOO_NOTE, VerifierKey.parse(FOO_KEY)) == "This is an example message.\n"
    both = TEXT + "\n" + PETER_LINE + ENOCH_LINE
    for key in (PETER_KEY, ENOCH_KEY):
        assert open_note(both, VerifierKey.parse(key)) == TEXT


def test_signing_gives_the_published_note() -> None:
    signer = Signer("PeterNeumann", PETER_SEED)
    assert str(signer.verifier_key) == PETER_KEY
    assert signer.sign(TEXT) == TEXT + "\n" + PETER_LINE


def test_the_example_checkpoint_reads() -> None:
    checkpoint = parse_checkpoint(
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    )
    assert checkpoint.origin == "example.com/behind-the-sofa"
    assert checkpoint.size == 20852163
    assert checkpoint.text().endswith("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n")


@given(st.integers(0, 2**64 - 1), st.binary(min_size=32, max_size=32))
def test_a_signed_checkpoint_reads_back(size: int, root: bytes) -> None:
    checkpoint = Checkpoint("example.org/log", size, root)
    assert open_checkpoint(SIGNER.sign(checkpoint.text()), SIGNER.verifier_key) == checkpoint


NOTE = SIGNER.sign(Checkpoint("example.org/log", 12, bytes(32)).text())


@given(st.integers(0, len(NOTE) - 1), st.characters(codec="utf-8"))
def test_a_note_with_one_character_changed_is_refused(position: int, character: str) -> None:
    changed = NOTE[:position] + character + NOTE[position + 1 :]
    if changed != NOTE:
        with pytest.raises(NoteError):
            open_checkpoint(changed, SIGNER.verifier_key)


@given(st.text())
def test_any_text_either_is_a_note_or_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        open_note(text, SIGNER.verifier_key)


def test_a_failing_signature_of_a_known_key_spoils_the_note() -> None:
    wrong = SIGNER.sign("another text\n").split("\n\n")[1]
    with pytest.raises(NoteError, match="does not hold"):
        open_note(NOTE + wrong, SIGNER.verifier_key)


def test_a_checkpoint_of_another_log_is_refused() -> None:
    note = SIGNER.sign(Checkpoint("example.org/other", 1, bytes(32)).text())
    with pytest.raises(NoteError, match=r"example\.org/other"):
        open_checkpoint(note, SIGNER.verifier_key)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "log\n1\n",
        "log\n01\n" + "A" * 43 + "=\n",
        "log\n-1\n" + "A" * 43 + "=\n",
        "log\n\u0661\n" + "A" * 43 + "=\n",
        "log\n1\nAAAA\n",
        "log\n1\n" + "A" * 42 + "B=\n",  # spare bits set
        "log\n1\n" + "A" * 43 + "=\n\n",
        "log\n1\n" + "A" * 43 + "=",
        "log\n" + "9" * 5000 + "\n" + "A" * 43 + "=\n",
    ],
)
def test_a_malformed_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        parse_checkpoint(text)


@pytest.mark.parametrize(
    "key",
    ["", "name", "a b+00000000+AAAA", PETER_KEY.replace("c74f20a3", "c74f20a4"), PETER_KEY + "A"],
)
def test_a_malformed_key_is_refused(key: str) -> None:
    with pytest.raises(NoteError):
        VerifierKey.parse(key)
