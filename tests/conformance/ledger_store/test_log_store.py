"""What a log promises, it promises in every storage."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from arenalab.ledger.committer import Committer
from arenalab.ledger.erasure import erase
from arenalab.ledger.log import Log
from arenalab.ledger.verify import verify_directory
from arenalab.mesh import BusyError, InvalidInputError, Reason
from arenalab.proof import (
    Receipt,
    open_checkpoint,
    receipt_from_json,
    verify_consistency,
    verify_receipt,
)
from tests.conformance.ledger_store.conftest import PUBLIC_KEY, SIGNER, Opener, lines_of, seal
from tests.unit.ledger.conftest import an_entry

WRITER = Path(__file__).with_name("writer.py")


def test_everything_is_there_after_reopening(opened: Opener) -> None:
    log = opened()
    receipts: list[Receipt] = []
    for batch in range(12):
        receipts += seal(
            log,
            *(
                an_entry(f"e{batch}.{n}", content={"n": f"{batch}.{n}"}, subject=f"user-{n}")
                for n in range(4)
            ),
        )
    head, lines = log.head, lines_of(log)
    assert len(lines) > 2
    log = opened()
    assert log.damage is None
    assert (log.head, lines_of(log)) == (head, lines)
    for index, receipt in enumerate(receipts):
        stored = log.get("default", index)
        assert (receipt.leaf_index, stored.leaf) == (index, receipt.leaf)
        assert stored.private is not None
        assert stored.private.content == {"n": json.loads(receipt.leaf)["entry_id"][1:]}
        verify_receipt(log.prove("default", index), PUBLIC_KEY)
    assert verify_directory(log.directory, PUBLIC_KEY).valid
    assert seal(log, an_entry("next"))[0].leaf_index == 48


def test_an_entry_that_comes_again_gets_the_leaf_that_is_there(opened: Opener) -> None:
    first = seal(opened(), an_entry("e1", subject="ann"))
    log = opened()
    assert seal(log, an_entry("e1", subject="ann")) == first
    with pytest.raises(InvalidInputError):
        seal(log, an_entry("e1", subject="bob"))


def test_a_second_process_cannot_open_the_directory(opened: Opener) -> None:
    log = opened()
    with pytest.raises(BusyError):
        Log(
            log.directory,
            log.keys,
            now_ns=lambda: 0,
            random=bytes,
            storage=opened.storage(),
        )
    assert seal(log, an_entry())[0].leaf_index == 0


@pytest.mark.parametrize("torn", [b'{"content":[0,9],"ha', b"\0" * 700])
def test_a_torn_tail_is_cut_and_kept(opened: Opener, torn: bytes) -> None:
    log = opened()
    seal(log, an_entry("e0"))
    seal(log, an_entry("e1"))
    whole, files = lines_of(log), log.segment_files[-1]
    opened.close(log)
    for path in (files.lines, files.content):
        with path.open("ab") as file:
            file.write(torn)
    log = opened()
    assert log.damage is None
    assert lines_of(log) == whole
    kept = [path.read_bytes() for path in (log.directory / "quarantine").iterdir()]
    assert kept == [torn, torn]
    assert seal(log, an_entry("e2"))[0].leaf_index == 2
    assert verify_directory(log.directory, PUBLIC_KEY).valid


@pytest.mark.slow
def test_a_writer_that_is_killed_loses_nothing_acknowledged(opened: Opener) -> None:
    directory = opened.directory / "log"
    where = (opened.stream, *opened.cluster.urls) if opened.cluster else ()
    receipts: list[Receipt] = []
    for kill, lines in enumerate((1, 60, 300)):
        command = [sys.executable, str(WRITER), str(directory), str(100_000 * kill), *where]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:  # noqa: S603 - our own
            assert writer.stdout is not None
            read = [writer.stdout.readline() for _ in range(lines)]
            writer.kill()
            read += writer.stdout.readlines()
        receipts += [receipt_from_json(json.loads(line)) for line in read if line[-1:] == b"\n"]
        log = opened()
        assert log.damage is None
        for receipt in receipts:
            stored = log.get("default", receipt.leaf_index)
            entry_id = json.loads(receipt.leaf)["entry_id"]
            assert log.find("default", entry_id) == receipt.leaf_index
            assert stored.leaf == receipt.leaf
            assert stored.private is not None
            assert stored.private.content == {"answer": entry_id[1:]}
        check_consistent(log, receipts)
        opened.close(log)
        assert verify_directory(directory, PUBLIC_KEY).valid
    assert len(receipts) >= 361


def check_consistent(log: Log, receipts: list[Receipt]) -> None:
    """Asserts that the log extends every checkpoint that was given out."""
    newest = open_checkpoint(log.head.note, SIGNER.verifier_key)
    for note in {receipt.checkpoint for receipt in receipts}:
        older = open_checkpoint(note, SIGNER.verifier_key)
        path, second = log.consistency(older.size, 0)
        verify_consistency(older.size, second, older.root, newest.root, path)


def test_what_is_erased_stays_unreadable(opened: Opener) -> None:
    log = opened()
    seal(log, *(an_entry(f"e{n}", subject="ann" if n % 2 else "bob") for n in range(6)))
    erased = erase([log], lambda entry: seal(log, entry)[0], "default", "ann")
    assert erased.entries == 3
    for reopened in (False, True):
        log = opened() if reopened else log
        assert log.damage is None
        for n in range(6):
            assert (log.get("default", n).private is None) == bool(n % 2)
            verify_receipt(log.prove("default", n), PUBLIC_KEY)
    assert verify_directory(log.directory, PUBLIC_KEY).valid
    seal(log, an_entry("again", subject="ann"))
    assert log.get("default", log.find("default", "again")).private is not None


def test_keys_last_until_they_are_destroyed(opened: Opener) -> None:
    ann, bob = ("default", "ann"), ("default", "bob")
    log = opened()
    first = log.subjects.ensure([ann, bob])
    assert opened().subjects.ensure([bob, ann]) == first
    keys = opened().subjects
    assert keys.destroy(*ann) == [first[ann].key_id]
    again = keys.ensure([ann])[ann]
    assert again.key_id != first[ann].key_id
    # Told again until it is confirmed, also after a crash.
    keys = opened().subjects
    assert keys.find(first[ann].key_id) is None
    assert keys.destroy(*ann) == [first[ann].key_id, again.key_id]
    for key_id in (first[ann].key_id, again.key_id):
        keys.confirm_erased(key_id)
    keys = opened().subjects
    assert keys.destroy(*ann) == []
    assert keys.find(first[bob].key_id) == first[bob]


def test_many_callers_share_batches(opened: Opener) -> None:
    log = opened(segment_bytes=1 << 20)
    sizes: list[int] = []
    committer = Committer(log.commit, max_queued=1000, on_batch=sizes.append)
    waiting = [committer.submit(an_entry(f"e{n}", subject=f"user-{n % 7}")) for n in range(400)]
    receipts = [each.result(timeout=60) for each in waiting]
    committer.close()
    assert sorted(receipt.leaf_index for receipt in receipts) == list(range(400))
    assert len(sizes) < 100
    check_consistent(log, receipts)
    assert opened().head.size == 400


def test_a_batch_above_what_the_storage_takes_is_cut(opened: Opener) -> None:
    log = opened(segment_bytes=1 << 30)
    large = "x" * 400_000
    receipts = seal(log, *(an_entry(f"e{n}", content={"answer": large}) for n in range(5)))
    assert [receipt.leaf_index for receipt in receipts] == [0, 1, 2, 3, 4]
    limit = log._store.max_batch_bytes
    assert len({receipt.checkpoint for receipt in receipts}) == 1
    log = opened(segment_bytes=1 << 30)
    assert verify_directory(log.directory, PUBLIC_KEY).checkpoints == (3 if limit else 1)
    largest = an_entry("largest", content={"answer": "x" * 1_048_576})
    if limit is None:
        assert seal(log, largest)[0].leaf_index == 5
        return
    ordinary, refused, other = log.commit([an_entry("e5"), largest, an_entry("e6")])
    assert isinstance(refused, InvalidInputError)
    assert refused.reason is Reason.TOO_LARGE
    assert isinstance(ordinary, Receipt)
    assert isinstance(other, Receipt)
    assert (ordinary.leaf_index, other.leaf_index) == (5, 6)
