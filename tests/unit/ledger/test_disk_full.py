"""A disk that is full keeps nothing of a batch, loses nothing before it, and is got over.

The limit on a process's file size stands in for the disk: the kernel then cuts a
write short and refuses the rest, as it does when space runs out.
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from arenalab.ledger.key_file import NAME
from arenalab.ledger.key_records import RECORD_BYTES
from arenalab.ledger.log import Log
from arenalab.ledger.verify import verify_directory
from arenalab.mesh import BudgetSpentError, Reason
from arenalab.proof import Receipt, verify_receipt

from .conftest import PUBLIC_KEY, OpenLog, an_entry


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def refuse(log: Log, batch: list[str], subject: str = "") -> None:
    with pytest.raises(BudgetSpentError) as caught:
        log.commit([an_entry(name, subject=subject) for name in batch])
    assert caught.value.reason is Reason.STORAGE_FULL
    assert caught.value.metadata == {"path": "log"}


def accept(log: Log, batch: list[str], subject: str = "") -> None:
    for outcome in log.commit([an_entry(name, subject=subject) for name in batch]):
        assert isinstance(outcome, Receipt)
        verify_receipt(outcome, PUBLIC_KEY)


@pytest.mark.parametrize("room_bytes", [0, 1, 500, 1500])
def test_a_batch_that_does_not_fit_leaves_no_trace(opened: OpenLog, room_bytes: int) -> None:
    log = opened()
    accept(log, ["a", "b"])
    path = log.segment_paths[0]
    before = path.read_bytes()
    with files_of_at_most(len(before) + room_bytes):
        refuse(log, ["c", "d", "e"])
        refuse(log, ["f", "c"])
        assert path.read_bytes() == before
        assert log.get("default", 1).leaf
    accept(log, ["c", "g"])  # space is back
    for reopened in (False, True):
        log = opened() if reopened else log
        assert log.head.size == 4
        assert [log.find("default", name) for name in "abcg"] == [0, 1, 2, 3]
    assert verify_directory(log.directory, PUBLIC_KEY).valid


def test_a_new_subjects_key_that_does_not_fit_leaves_no_trace(opened: OpenLog) -> None:
    log = opened()
    accept(log, ["a"], subject="ann")
    keys = log.directory / NAME
    with files_of_at_most(2 * RECORD_BYTES + 40):
        refuse(log, ["b"], subject="bob")
        assert keys.stat().st_size == 2 * RECORD_BYTES
    accept(log, ["b"], subject="bob")
    again = opened()
    private = again.get("default", 1).private
    assert private is not None
    assert private.subject == "bob"


def test_a_new_segment_that_does_not_fit_is_begun_again(opened: OpenLog) -> None:
    log = opened(segment_bytes=1000)
    accept(log, ["a"])
    accept(log, ["b"])
    with files_of_at_most(200):
        refuse(log, ["c"])
        refuse(log, ["c"])
    accept(log, ["c"])
    assert opened(segment_bytes=1000).head.size == 3
