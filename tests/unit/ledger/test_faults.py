"""A disk that fails is reported, once and for good where it must be, and loses nothing."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from arenalab.ledger.disk import Disk
from arenalab.ledger.erasure import erase
from arenalab.ledger.key_file import NAME as KEYS
from arenalab.ledger.log import Log
from arenalab.ledger.segment_files import QUARANTINE
from arenalab.ledger.verify import verify_directory
from arenalab.mesh import BudgetSpentError, DataLossError, MeshError, Reason
from arenalab.proof import Receipt, verify_receipt

from .conftest import PUBLIC_KEY, an_entry, open_log


class FailingDisk(Disk):
    """Fails where it is told to: at the n-th write, sync or truncation from now."""

    def __init__(self) -> None:
        self.fail: dict[str, int] = {}
        self.calls: list[str] = []

    def _call(self, name: str) -> None:
        self.calls.append(name)
        left = self.fail.get(name, 0)
        if left:
            self.fail[name] = left - 1
            if left == 1:
                raise OSError(errno.EIO, os.strerror(errno.EIO))

    def write(self, fd: int, data: bytes | memoryview) -> int:
        self._call("write")
        return super().write(fd, data[:100])  # always short

    def sync(self, fd: int) -> None:
        self._call("sync")
        super().sync(fd)

    def truncate(self, fd: int, size_bytes: int) -> None:
        self._call("truncate")
        super().truncate(fd, size_bytes)


def accept(log: Log, *names: str) -> list[Receipt]:
    receipts = []
    for outcome in log.commit([an_entry(name) for name in names]):
        assert isinstance(outcome, Receipt)
        verify_receipt(outcome, PUBLIC_KEY)
        receipts.append(outcome)
    return receipts


@pytest.fixture
def disk() -> FailingDisk:
    return FailingDisk()


@pytest.fixture
def log(tmp_path: Path, disk: FailingDisk) -> Log:
    return open_log(tmp_path / "log", disk=disk)


@pytest.mark.parametrize("nth", [1, 2, 5, 9, 12])
def test_a_failed_write_is_taken_back_and_got_over(log: Log, disk: FailingDisk, nth: int) -> None:
    accept(log, "a")
    before = {path.name: path.read_bytes() for path in log.directory.glob("0*")}
    disk.fail = {"write": nth}
    with pytest.raises(BudgetSpentError) as caught:
        log.commit([an_entry("b"), an_entry("c")])
    assert caught.value.reason is Reason.STORAGE_FULL
    assert {path.name: path.read_bytes() for path in log.directory.glob("0*")} == before
    accept(log, "b")
    log.close()
    assert verify_directory(log.directory, PUBLIC_KEY).entries == 2


@pytest.mark.parametrize("nth", [1, 2])
def test_a_failed_sync_stops_the_log_and_is_never_tried_again(
    log: Log, disk: FailingDisk, nth: int
) -> None:
    (first,) = accept(log, "a")
    disk.calls.clear()
    disk.fail = {"sync": nth}
    with pytest.raises(DataLossError, match="failed to sync") as caught:
        log.commit([an_entry("b")])
    assert caught.value.reason is Reason.CORRUPT_LEDGER
    assert disk.calls.count("sync") == nth
    for call in (lambda: log.commit([an_entry("c")]), lambda: log.prove("default", 0)):
        with pytest.raises(DataLossError):
            call()
    assert disk.calls.count("sync") == nth
    log.close()
    again = open_log(log.directory)
    assert again.damage is None
    assert again.head.size == 1  # what was not acknowledged is not there
    assert again.get("default", 0).leaf == first.leaf
    accept(again, "b")
    again.close()


def test_a_write_that_cannot_be_taken_back_stops_the_log(log: Log, disk: FailingDisk) -> None:
    accept(log, "a")
    disk.fail = {"write": 8, "truncate": 1}
    with pytest.raises(DataLossError, match="cannot undo"):
        log.commit([an_entry("b")])
    log.close()
    again = open_log(log.directory)
    assert (again.damage, again.head.size) == (None, 1)
    again.close()


def test_a_torn_tail_is_kept_in_quarantine(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    accept(log, "a")
    log.close()
    torn = {".ndjson": b'{"content":[412,30],"hash":"', ".content": b"\x01\x02\x03"}
    ends = {}
    for suffix, tail in torn.items():
        path = log.directory / f"00000000{suffix}"
        ends[suffix] = path.stat().st_size
        with path.open("ab") as file:
            file.write(tail)
    again = open_log(log.directory)
    assert (again.damage, again.head.size) == (None, 1)
    for suffix, tail in torn.items():
        kept = log.directory / QUARANTINE / f"00000000{suffix}.{ends[suffix]}"
        assert kept.read_bytes() == tail
        assert (log.directory / f"00000000{suffix}").stat().st_size == ends[suffix]
    again.close()


def test_a_batch_ahead_of_the_mark_is_written_again_before_it_counts(
    log: Log, disk: FailingDisk
) -> None:
    accept(log, "a")
    mark = (log.directory / "high-water").read_bytes()
    accept(log, "b")
    log.close()
    (log.directory / "high-water").write_bytes(mark)  # as if killed before it was written
    disk.calls.clear()
    again = open_log(log.directory, disk=disk)
    assert again.head.size == 2
    assert disk.calls.count("sync") == 2
    assert "write" in disk.calls
    again.close()


def test_indexes_that_are_lost_or_damaged_are_made_again(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log", segment_bytes=1500)
    receipts = accept(log, *(f"e{n}" for n in range(3)))
    for n in range(3, 12):
        receipts += accept(log, f"e{n}")
    log.close()
    indexes = sorted(log.directory.glob("*.index"))
    assert len(indexes) > 2
    indexes[0].unlink()
    whole = indexes[1].read_bytes()
    indexes[1].write_bytes(whole[: len(whole) // 2])
    changed = bytearray(indexes[2].read_bytes())
    changed[-200] ^= 1
    indexes[2].write_bytes(changed)
    again = open_log(log.directory, segment_bytes=1500)
    assert again.damage is None
    for receipt in receipts:
        assert again.prove("default", receipt.leaf_index).leaf == receipt.leaf
    again.close()
    assert indexes[0].exists()
    assert indexes[1].read_bytes() == whole


def test_a_key_that_a_backup_brings_back_is_destroyed_again(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    (outcome,) = log.commit([an_entry("e1", subject="ann", content={"answer": "a secret"})])
    assert isinstance(outcome, Receipt)
    backup = tmp_path / "backup"
    shutil.copytree(log.directory, backup)
    erase([log], lambda entry: _sealed(log, entry), "default", "ann")
    log.close()
    shutil.copy(backup / KEYS, log.directory / KEYS)
    again = open_log(log.directory)
    assert again.get("default", 0).private is None
    verify_receipt(again.prove("default", 0), PUBLIC_KEY)
    again.close()
    # Segments of a backup hold no key: with the log's own keys, nothing opens.
    for path in log.directory.glob("0*"):
        path.unlink()
    for path in backup.glob("0*"):
        shutil.copy(path, log.directory)
    shutil.copy(backup / "high-water", log.directory)
    restored = open_log(log.directory)
    assert restored.damage is None
    assert restored.get("default", 0).private is None
    verify_receipt(restored.prove("default", 0), PUBLIC_KEY)
    restored.close()
    assert verify_directory(log.directory, PUBLIC_KEY).valid


def _sealed(log: Log, entry: object) -> Receipt:
    (outcome,) = log.commit([entry])  # type: ignore[list-item]
    if isinstance(outcome, MeshError):
        raise outcome
    return outcome
