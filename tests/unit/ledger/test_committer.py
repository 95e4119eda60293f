"""Group commit: batches gather while one is sealed, and the queue is bounded."""

import threading
from collections.abc import Iterator, Sequence

import pytest

from arenalab.ledger.committer import Committer
from arenalab.ledger.entry import Entry
from arenalab.mesh import BudgetSpentError, InvalidInputError, MeshError, NotReadyError, Reason
from arenalab.proof import Receipt

from .conftest import an_entry

WAIT_S = 10


class Gate:
    """A commit that waits to be let through, and remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.entered = threading.Semaphore(0)
        self.let = threading.Semaphore(0)

    def commit(self, batch: Sequence[Entry]) -> list[Receipt | MeshError]:
        self.batches.append([entry.entry_id for entry in batch])
        self.entered.release()
        assert self.let.acquire(timeout=WAIT_S)
        if batch[0].entry_id == "fails":
            raise BudgetSpentError("full", Reason.STORAGE_FULL)
        return [
            InvalidInputError("bad")
            if entry.entry_id == "bad"
            else Receipt(n, b"", b"", (), "", entry.entry_id)
            for n, entry in enumerate(batch)
        ]


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def committer(gate: Gate) -> Iterator[Committer]:
    committer = Committer(gate.commit, max_queued=4)
    yield committer
    gate.let.release(100)
    committer.close()


def test_entries_that_come_while_a_batch_is_sealed_form_the_next(
    gate: Gate, committer: Committer
) -> None:
    first = committer.submit(an_entry("a"))
    assert gate.entered.acquire(timeout=WAIT_S)
    rest = [committer.submit(an_entry(name)) for name in "bcd"]
    gate.let.release(2)
    assert first.result(WAIT_S).log_public_key == "a"
    assert [future.result(WAIT_S).log_public_key for future in rest] == ["b", "c", "d"]
    assert gate.batches == [["a"], ["b", "c", "d"]]


def test_a_full_queue_refuses_and_then_takes_again(gate: Gate, committer: Committer) -> None:
    committer.submit(an_entry("a"))
    assert gate.entered.acquire(timeout=WAIT_S)
    waiting = [committer.submit(an_entry(name)) for name in "bcde"]
    with pytest.raises(BudgetSpentError) as caught:
        committer.submit(an_entry("f"))
    assert caught.value.reason is Reason.OVERLOADED
    assert caught.value.metadata == {"queue": "ledger"}
    gate.let.release(2)
    assert waiting[-1].result(WAIT_S)
    gate.let.release()
    assert committer.submit(an_entry("f")).result(WAIT_S)


def test_the_queue_is_bounded_by_bytes_too(gate: Gate) -> None:
    committer = Committer(gate.commit, max_queued=1000)
    large = {"a": "x" * (1 << 20)}
    committer.submit(an_entry("first", content=large))
    assert gate.entered.acquire(timeout=WAIT_S)
    for n in range(63):
        committer.submit(an_entry(f"e{n}", content=large))
    with pytest.raises(BudgetSpentError):
        committer.submit(an_entry("one-more", content=large))
    gate.let.release(100)
    committer.close()
    assert max(map(len, gate.batches)) < 9


def test_an_entry_that_fails_does_not_fail_its_batch(gate: Gate, committer: Committer) -> None:
    gate.let.release(10)
    committer.submit(an_entry("x")).result(WAIT_S)
    good, bad = committer.submit(an_entry("good")), committer.submit(an_entry("bad"))
    assert good.result(WAIT_S)
    with pytest.raises(InvalidInputError):
        bad.result(WAIT_S)


def test_a_batch_that_fails_fails_all_of_it_and_the_next_goes_on(
    gate: Gate, committer: Committer
) -> None:
    gate.let.release(10)
    with pytest.raises(BudgetSpentError, match="full"):
        committer.seal(an_entry("fails"))
    assert committer.seal(an_entry("later"))


def test_a_caller_that_goes_away_in_time_appends_nothing(gate: Gate, committer: Committer) -> None:
    committer.submit(an_entry("a"))
    assert gate.entered.acquire(timeout=WAIT_S)
    gone, stays = committer.submit(an_entry("gone")), committer.submit(an_entry("stays"))
    assert gone.cancel()
    gate.let.release(2)
    assert stays.result(WAIT_S)
    assert gate.batches == [["a"], ["stays"]]


def test_closing_seals_what_waits_and_refuses_more(gate: Gate) -> None:
    committer = Committer(gate.commit, max_queued=4)
    waiting = [committer.submit(an_entry(name)) for name in "abc"]
    gate.let.release(10)
    committer.close()
    assert all(future.done() for future in waiting)
    with pytest.raises(NotReadyError):
        committer.submit(an_entry("late"))
