"""Witnesses asked over real HTTP: they cosign a log that only grows, and find a fork."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from arenalab.ledger.witness import (
    Witnesses,
    WitnessForkError,
    read_witnesses,
)
from arenalab.ledger.witness.submission import MAX_BYTES
from arenalab.mesh import ConfigError
from arenalab.proof import (
    Checkpoint,
    Cosigner,
    NoteError,
    WitnessKey,
    WitnessPolicy,
    open_checkpoint,
)
from tests.mesh.witnessing import NOW_S, ORIGIN, SIGNER, ALog, AWitness, serving, witness_in

NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[AWitness]:
    with witness_in(tmp_path / "one") as started:
        yield started


async def no_sleep(_: float) -> None:
    """Stands for the wait between two tries."""


def asking(*witnesses: AWitness, down: WitnessKey | None = None) -> Witnesses:
    keys = {one.url: one.key for one in witnesses} | ({NOBODY: down} if down else {})
    return Witnesses(keys, sleep=no_sleep)


async def test_every_witness_that_answers_cosigns(tmp_path: Path) -> None:
    log, down = ALog(), Cosigner("witness.example/down", bytes([9]) * 32).witness_key
    with ExitStack() as stack:
        one, two = (stack.enter_context(witness_in(tmp_path / str(n), n)) for n in (1, 2))
        async with asking(one, two, down=down) as witnesses:
            for size in (1, 2, 7, 7, 300):  # a checkpoint may be submitted again
                note = await witnesses.cosign(log.grow(size), log.tree.consistency_path)
                policy = WitnessPolicy((one.key, two.key, down), 2)
                assert policy.verify(note) == {one.key.name: NOW_S, two.key.name: NOW_S}
                assert open_checkpoint(note, SIGNER.verifier_key).size == size
                assert list(witnesses.failures) == [NOBODY]
            with pytest.raises(NoteError, match="3 witnesses"):
                WitnessPolicy((one.key, two.key, down), 3).verify(note)


async def test_a_client_that_forgot_goes_on_from_the_size_that_the_witness_names(
    witness: AWitness,
) -> None:
    log = ALog()
    for size in (5, 9):
        async with asking(witness) as witnesses:  # each time a new one
            note = await witnesses.cosign(log.grow(size), log.tree.consistency_path)
            assert WitnessPolicy((witness.key,), 1).verify(note)


async def test_a_forked_log_is_refused_by_the_witness(witness: AWitness) -> None:
    log, fork = ALog(), ALog()
    note = log.grow(8)
    fork.grow(5)
    fork.grow(8, "other")
    async with asking(witness) as witnesses:
        await witnesses.cosign(note, log.tree.consistency_path)
        assert await witnesses.cosign(fork.note(8), fork.tree.consistency_path) == fork.note(8)
        assert isinstance(witnesses.failures[witness.url], WitnessForkError)
        [evidence] = witness.state.glob("*.fork")
        assert open_checkpoint(evidence.read_text(), SIGNER.verifier_key).root == fork.tree.root()
        longer = fork.grow(20)
        assert await witnesses.cosign(longer, fork.tree.consistency_path) == longer
        assert isinstance(witnesses.failures[witness.url], WitnessForkError)
        grown = await witnesses.cosign(log.grow(20), log.tree.consistency_path)
        assert WitnessPolicy((witness.key,), 1).verify(grown)
        assert not witnesses.failures


async def test_a_log_cut_short_is_found_out(witness: AWitness) -> None:
    log = ALog()
    async with asking(witness) as witnesses:
        await witnesses.cosign(log.grow(8), log.tree.consistency_path)
        shorter = log.note(6)
        assert await witnesses.cosign(shorter, log.tree.consistency_path) == shorter
        assert "saw 8 leaves already" in str(witnesses.failures[witness.url])
    async with asking(witness) as witnesses:  # as after a restart
        assert await witnesses.cosign(shorter, log.tree.consistency_path) == shorter
        failure = witnesses.failures[witness.url]
        assert isinstance(failure, WitnessForkError)
        assert "8 leaves, more than the 6" in str(failure)


async def test_a_witness_that_lost_its_memory_starts_over(tmp_path: Path) -> None:
    log = ALog()
    with witness_in(tmp_path / "a") as before, witness_in(tmp_path / "b") as after:
        async with asking(before) as witnesses:
            await witnesses.cosign(log.grow(4), log.tree.consistency_path)
            witnesses._keys = {after.url: after.key}
            witnesses._sizes = {after.url: 4}
            note = await witnesses.cosign(log.grow(6), log.tree.consistency_path)
    assert WitnessPolicy((after.key,), 1).verify(note)


Reply = tuple[int, bytes]


@contextmanager
def answering(replies: Callable[[bytes], Reply]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status, answer = replies(body)
            with suppress(OSError):  # the client may have left
                self.send_response(status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name above
            del format, args

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as url:
        yield url


OTHER = Cosigner("witness.example/other", bytes([3]) * 32)
TEXT = ALog().grow(3).split("\n\n")[0] + "\n"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ((404, b"no such log\n"), "404: 'no such log'"),
        ((403, b""), "403"),
        ((400, b""), "400"),
        ((422, b"no"), "does not continue"),
        ((301, b""), "301"),
        ((200, b""), "does not hold"),
        ((200, b"nonsense\n"), "does not hold"),
        ((200, OTHER.cosign(TEXT, 1).encode()), "does not hold"),
        ((200, b"x" * (MAX_BYTES + 1)), "longer than"),
        ((409, b"soon\n"), "named no other"),
        ((409, b""), "named no other"),
        ((409, b"0\n"), "another tree of 0"),
        ((409, b"99999999999999999999\n"), "more than the 3"),
        ((500, b"broken"), "500: 'broken'"),
        ((429, b""), "429"),
    ],
)
async def test_a_wrong_answer_costs_the_cosignature_and_nothing_else(
    reply: Reply, said: str
) -> None:
    log, key = ALog(), Cosigner("witness.example/w1", bytes(32)).witness_key
    asked: list[bytes] = []

    def replies(body: bytes) -> Reply:
        asked.append(body)
        return reply

    with answering(replies) as url:
        async with Witnesses({url: key}, sleep=no_sleep, attempts=3) as witnesses:
            note = log.grow(3)
            assert await witnesses.cosign(note, log.tree.consistency_path) == note
            assert said in str(witnesses.failures[url])
    assert len(asked) == (3 if reply[0] in {500, 429} else 1)


async def test_a_cosignature_that_fails_is_not_taken() -> None:
    log, cosigner = ALog(), Cosigner("witness.example/w1", bytes(32))
    line = cosigner.cosign(Checkpoint(ORIGIN, 3, bytes(32)).text(), 1)
    with answering(lambda _: (200, line.encode())) as url:
        async with Witnesses({url: cosigner.witness_key}) as witnesses:
            note = log.grow(3)
            assert await witnesses.cosign(note, log.tree.consistency_path) == note
            assert "does not hold" in str(witnesses.failures[url])


async def test_a_witness_that_comes_back_is_asked_again() -> None:
    log, cosigner = ALog(), Cosigner("witness.example/w1", bytes(32))
    waits: list[float] = []
    replies = iter([(503, b""), (503, b""), (200, cosigner.cosign(TEXT, 7).encode())])

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    with answering(lambda _: next(replies)) as url:
        async with Witnesses({url: cosigner.witness_key}, sleep=sleep) as witnesses:
            note = await witnesses.cosign(log.grow(3), log.tree.consistency_path)
            assert not witnesses.failures
    assert WitnessPolicy((cosigner.witness_key,), 1).verify(note) == {"witness.example/w1": 7}
    assert waits == [0.2, 0.4]


async def test_a_witness_that_never_answers_is_given_up(witness: AWitness) -> None:
    log, answer = ALog(), threading.Event()

    def never(_: bytes) -> Reply:
        answer.wait(30)
        return (200, b"")

    with answering(never) as url:
        silent = Cosigner("witness.example/silent", bytes(32)).witness_key
        keys = {url: silent, witness.url: witness.key}
        async with Witnesses(keys, timeout_s=0.2, attempts=1) as witnesses:
            note = await witnesses.cosign(log.grow(3), log.tree.consistency_path)
        answer.set()
        assert list(witnesses.failures) == [url]
    assert WitnessPolicy((witness.key,), 1).verify(note)


async def test_checkpoints_are_submitted_in_turn(witness: AWitness) -> None:
    log = ALog()
    notes = [log.grow(size) for size in (2, 3, 5, 8)]
    async with asking(witness) as witnesses:
        grown = await asyncio.gather(
            *(witnesses.cosign(note, log.tree.consistency_path) for note in notes)
        )
    for note in grown:
        assert WitnessPolicy((witness.key,), 1).verify(note)


def test_witnesses_are_read_as_they_print_themselves() -> None:
    key = str(OTHER.witness_key)
    assert read_witnesses([f" http://a:1 {key}\n"]) == {"http://a:1": OTHER.witness_key}
    for lines in (
        ["x"],
        [f"ftp://a {key}"],
        ["http://a"],
        [f"http://a {key}"] * 2,
        [f"http://a {SIGNER.verifier_key}"],
    ):
        with pytest.raises(ConfigError):
            read_witnesses(lines)
