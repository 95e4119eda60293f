"""A witness over real HTTP: it cosigns a log that only grows, and remembers."""

import base64
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from arenalab.ledger.witness import (
    read_witnesses,
)
from arenalab.ledger.witness.state import WitnessState
from arenalab.ledger.witness.submission import MAX_BYTES, Submission
from arenalab.mesh import BusyError
from arenalab.proof import (
    Checkpoint,
    KeyRing,
    NoteError,
    Signer,
    WitnessPolicy,
)
from tests.mesh.witnessing import ORIGIN, SIGNER, ALog, AWitness, witness_in


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[AWitness]:
    with witness_in(tmp_path / "one") as started:
        yield started


def test_a_witness_answers_as_specified(witness: AWitness) -> None:
    log = ALog()
    log.grow(9)
    first = witness.submit(log, 0, 4)
    assert (first.status_code, first.text[:2]) == (200, "\u2014 ")
    assert witness.submit(log, 4, 4).status_code == 200
    behind = witness.submit(log, 0, 9)
    assert (behind.status_code, behind.text) == (409, "4\n")
    assert behind.headers["content-type"] == "text/x.tlog.size"
    assert witness.submit(log, 5, 9).text == "4\n"
    assert witness.submit(log, 9, 4).status_code == 400
    assert witness.submit(log, 4, 9).status_code == 200
    assert witness.submit(log, 4, 4).text == "9\n"  # an older one is not cosigned again


def test_a_checkpoint_that_is_not_the_logs_is_refused(witness: AWitness) -> None:
    log = ALog(signer=Signer(ORIGIN, bytes([5]) * 32))
    log.grow(3)
    assert witness.submit(log, 0, 3).status_code == 403
    other = Signer("example.org/other", bytes(32))
    text = Checkpoint("example.org/other", 3, bytes(32)).text()
    assert witness.post(f"old 0\n\n{other.sign(text)}").status_code == 404
    assert not list(witness.state.glob("*.last"))


def test_a_false_proof_is_refused_and_changes_nothing(witness: AWitness) -> None:
    log = ALog()
    log.grow(9)
    witness.submit(log, 0, 4)
    path = log.tree.consistency_path(4, 9)
    for wrong in ([], path[:-1], [*path, bytes(32)], [bytes(32), *path[1:]]):
        body = Submission(4, tuple(wrong), log.note(9)).to_bytes()
        assert witness.post(body).status_code == 422
    assert witness.post(Submission(4, tuple(path), log.note(4)).to_bytes()).status_code == 422
    assert not list(witness.state.glob("*.fork"))
    assert witness.submit(log, 4, 9).status_code == 200


def test_a_proof_from_nothing_must_be_empty_and_an_empty_tree_has_its_root(
    witness: AWitness,
) -> None:
    log = ALog()
    log.grow(2)
    body = Submission(0, (bytes(32),), log.note(2)).to_bytes()
    assert witness.post(body).status_code == 422
    empty = SIGNER.sign(Checkpoint(ORIGIN, 0, bytes(32)).text())
    assert witness.post(f"old 0\n\n{empty}").status_code == 409
    assert witness.post(f"old 0\n\n{log.note(0)}").status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.replace("old 0", "old 00"),
        lambda body: body.replace("old 0", "old -1"),
        lambda body: body.replace("old 0", "old"),
        lambda body: body.replace("old 0", "new 0"),
        lambda body: body.replace("\n\n", "\n", 1),
        lambda body: body.replace("old 0\n", "old 0\nAAAA\n"),
        lambda body: body.replace("old 0\n", "old 0\n*\n"),
        lambda body: body.replace(
            "old 0\n", "old 0\n" + f"{base64.b64encode(bytes(32)).decode()}\n" * 64
        ),
        lambda body: body[:-1],
        lambda _: "",
        lambda body: "\n" + body,
    ],
)
def test_a_malformed_submission_is_refused(witness: AWitness, change: Callable[[str], str]) -> None:
    log = ALog()
    body = Submission(0, (), log.grow(2)).to_bytes().decode()
    assert witness.post(change(body)).status_code == 400
    assert witness.post(body).status_code == 200


def test_other_requests_are_refused(witness: AWitness) -> None:
    assert witness.post("x", "/other").status_code == 404
    assert witness.post(b"\xff\xfe").status_code == 400
    assert httpx.get(f"{witness.url}/add-checkpoint").status_code == 404
    assert witness.post(b"x" * (MAX_BYTES + 1)).status_code == 413
    with httpx.Client() as client:  # a body of unknown length
        reply = client.post(f"{witness.url}/add-checkpoint", content=iter([b"x"]))
    assert reply.status_code == 413


def test_a_log_that_rotates_its_key_stays_witnessed(tmp_path: Path) -> None:
    new = Signer(ORIGIN, bytes([6]) * 32)
    log = ALog()
    log.grow(9)
    with witness_in(tmp_path, keys=(SIGNER, new)) as witness:
        assert witness.submit(log, 0, 3).status_code == 200
        log.signer = KeyRing(new, [SIGNER])
        assert witness.submit(log, 3, 5).status_code == 200
        log.signer = new
        assert witness.submit(log, 5, 9).status_code == 200


def test_a_restarted_witness_remembers(tmp_path: Path) -> None:
    log = ALog()
    log.grow(9)
    with witness_in(tmp_path) as witness:
        witness.submit(log, 0, 5)
        with pytest.raises(BusyError):
            WitnessState(tmp_path)
    with witness_in(tmp_path) as witness:
        assert witness.submit(log, 0, 9).text == "5\n"
        assert witness.submit(log, 5, 9).status_code == 200


@pytest.mark.parametrize("content", [b"", b"\xff", b"x\n\ny\n", ALog().grow(0).encode()[:-1]])
def test_a_witness_with_a_damaged_memory_does_not_start(tmp_path: Path, content: bytes) -> None:
    log = ALog()
    log.grow(1)
    with witness_in(tmp_path) as witness:
        witness.submit(log, 0, 1)
        [file] = tmp_path.glob("*.last")
    file.write_bytes(content)
    with pytest.raises(NoteError), witness_in(tmp_path):
        pass


def test_what_cannot_be_remembered_is_not_cosigned(tmp_path: Path) -> None:
    log = ALog()
    log.grow(3)
    with witness_in(tmp_path / "state") as witness:
        aside = witness.state.rename(tmp_path / "moved")
        assert witness.submit(log, 0, 3).status_code == 503
        aside.rename(witness.state)
        assert witness.submit(log, 0, 3).status_code == 200


@pytest.mark.slow
def test_a_killed_process_comes_back_with_its_key_and_its_memory(tmp_path: Path) -> None:
    log = ALog()
    log.grow(9)
    command = [
        sys.executable, "-m", "arenalab.ledger.witness", "--address", "127.0.0.1:0",
        "--name", "witness.example/w1", "--key", str(tmp_path / "key"),
        "--state", str(tmp_path / "state"), "--log", str(SIGNER.verifier_key),
    ]  # fmt: skip

    @contextmanager
    def process(number: signal.Signals) -> Iterator[AWitness]:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:  # noqa: S603 - our own program
            try:
                assert running.stdout is not None
                [(url, key)] = read_witnesses([running.stdout.readline()]).items()
                yield AWitness(url, key, tmp_path / "state")
            finally:
                running.send_signal(number)
        assert running.returncode == (0 if number is signal.SIGTERM else -number)

    with process(signal.SIGKILL) as before:
        assert before.submit(log, 0, 5).status_code == 200
    with process(signal.SIGTERM) as after:
        assert after.key == before.key
        assert after.submit(log, 0, 9).text == "5\n"
        answer = after.submit(log, 5, 9)
    assert WitnessPolicy((after.key,), 1).verify(log.note(9) + answer.text)
