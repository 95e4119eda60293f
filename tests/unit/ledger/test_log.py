"""The log seals, proves, finds, and keeps what it said across openings."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from arenalab.ledger.entry import Entry
from arenalab.ledger.log import Log
from arenalab.ledger.ranges import verify_open_log
from arenalab.ledger.verify import verify_directory
from arenalab.mesh import BusyError, InvalidInputError, MeshError, NotFoundError, Reason
from arenalab.proof import (
    Receipt,
    leaf_hash,
    open_checkpoint,
    verify_consistency,
    verify_receipt,
)

from .conftest import PUBLIC_KEY, SIGNER, OpenLog, an_entry, open_log


def sealed(log: Log, *entries: Entry) -> list[Receipt]:
    receipts = []
    for outcome in log.commit(entries):
        assert isinstance(outcome, Receipt), outcome
        verify_receipt(outcome, PUBLIC_KEY)
        receipts.append(outcome)
    return receipts


def test_a_new_log_is_empty_and_whole(opened: OpenLog) -> None:
    log = opened()
    assert log.head.size == 0
    assert not log.head.note
    assert verify_open_log(log).valid
    with pytest.raises(NotFoundError):
        log.get("default", 0)


def test_a_batch_is_sealed_with_one_checkpoint(opened: OpenLog) -> None:
    log = opened()
    receipts = sealed(log, *(an_entry(f"e{n}") for n in range(5)))
    assert [r.leaf_index for r in receipts] == [0, 1, 2, 3, 4]
    assert len({r.checkpoint for r in receipts}) == 1
    assert json.loads(receipts[3].leaf)["entry_id"] == "e3"
    found = verify_open_log(log)
    assert (found.entries, found.checkpoints, found.problems) == (5, 1, ())


def test_leaves_carry_the_time_of_the_injected_clock(opened: OpenLog) -> None:
    receipt = sealed(opened(), an_entry())[0]
    assert json.loads(receipt.leaf)["time"] == "2026-01-01T00:00:00.000000123Z"


def test_everything_is_there_after_reopening(opened: OpenLog) -> None:
    log = opened(segment_bytes=4000)
    for n in range(40):
        sealed(log, an_entry(f"e{n}", content={"n": str(n)}, subject=f"user-{n % 3}"))
    head = log.head
    assert len(log.segment_paths) > 3
    again = opened(segment_bytes=4000)
    assert again.damage is None
    assert (again.head.size, again.head.note) == (head.size, head.note)
    for n in range(40):
        stored = again.get("default", again.find("default", f"e{n}"))
        assert stored.private is not None
        assert (stored.leaf_index, stored.private.content) == (n, {"n": str(n)})
        verify_receipt(again.prove("default", n), PUBLIC_KEY)
    assert verify_directory(again.directory, PUBLIC_KEY).entries == 40


def test_an_entry_that_comes_again_gets_the_leaf_that_is_there(opened: OpenLog) -> None:
    log = opened()
    first = sealed(log, an_entry("e1", subject="ann"))[0]
    sealed(log, an_entry("e2"))
    for reopened in (False, True):
        log = opened() if reopened else log
        again = sealed(log, an_entry("e1", subject="ann"), an_entry("e1", subject="ann"))
        assert [r.leaf for r in again] == [first.leaf, first.leaf]
        assert log.head.size == 2


def test_one_batch_may_hold_an_entry_twice(opened: OpenLog) -> None:
    log = opened()
    first, second, third = sealed(log, an_entry("a"), an_entry("a"), an_entry("b"))
    assert first == second
    assert third.leaf_index == 1


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "publication"},
        {"facts": b'{"route":"fallback"}'},
        {"facts": b'{"more":true,"route":"memory"}'},
        {"content": {"question": "Why?", "answer": "No."}},
        {"content": {"question": "Why?"}},
        {"subject": "somebody"},
    ],
)
@pytest.mark.parametrize("batches", [1, 2])
def test_an_entry_id_that_is_taken_by_another_entry_is_refused(
    opened: OpenLog, change: dict[str, object], batches: int
) -> None:
    log = opened()
    entry, other = an_entry("e1"), replace(an_entry("e1"), **change)  # type: ignore[arg-type]
    outcome: Receipt | MeshError
    if batches == 1:
        _, outcome = log.commit([entry, other])
    else:
        sealed(log, entry)
        (outcome,) = log.commit([other])
    assert isinstance(outcome, InvalidInputError)
    assert outcome.metadata == {"field": "entry_id"}
    assert log.head.size == 1


def test_a_number_that_python_reads_back_otherwise_is_the_same_fact(opened: OpenLog) -> None:
    log = opened()
    for facts_json in ('{"a":9007199254740992.0}', '{"a":-0.0}', '{"a":1e22,"b":1.0}'):
        first, second = (
            sealed(log, an_entry(facts_json, facts_json=facts_json))[0] for _ in range(2)
        )
        assert first.leaf == second.leaf


def test_true_and_one_are_two_facts(opened: OpenLog) -> None:
    log = opened()
    sealed(log, an_entry("e1", facts_json='{"a":true}'))
    (outcome,) = log.commit([an_entry("e1", facts_json='{"a":1}')])
    assert isinstance(outcome, InvalidInputError)


def test_tenants_do_not_see_each_other(opened: OpenLog) -> None:
    log = opened()
    ours, theirs = sealed(log, an_entry("same"), an_entry("same", tenant="other"))
    assert (ours.leaf_index, theirs.leaf_index) == (0, 1)
    assert log.find("default", "same") == 0
    assert log.find("other", "same") == 1
    for call in (log.get, log.prove):
        with pytest.raises(NotFoundError) as caught:
            call("default", 1)
        assert caught.value.reason is Reason.UNKNOWN_LEAF
        assert caught.value.metadata == {"leaf_index": "1"}
    with pytest.raises(NotFoundError):
        log.find("third", "same")


def test_every_checkpoint_is_consistent_with_the_newest(opened: OpenLog) -> None:
    log = opened()
    notes = [sealed(log, an_entry(f"e{n}"))[0].checkpoint for n in range(9)]
    newest = open_checkpoint(notes[-1], SIGNER.verifier_key)
    for note in notes:
        older = open_checkpoint(note, SIGNER.verifier_key)
        path, second = log.consistency(older.size, 0)
        assert second == 9
        verify_consistency(older.size, second, older.root, newest.root, path)
    for first, second in ((0, 3), (4, 3), (1, 10), (10, 0)):
        with pytest.raises(InvalidInputError):
            log.consistency(first, second)


def test_a_second_writer_is_kept_out_until_the_first_is_done(
    opened: OpenLog, tmp_path: Path
) -> None:
    log = opened()
    with pytest.raises(BusyError, match="open in another process"):
        open_log(tmp_path / "log")
    sealed(log, an_entry())
    assert opened().head.size == 1


def test_a_line_changed_under_an_open_log_is_not_handed_out(opened: OpenLog) -> None:
    log = opened()
    receipt = sealed(log, an_entry())[0]
    path = log.segment_paths[0]
    path.write_bytes(path.read_bytes().replace(b'"memory"', b'"forged"'))
    with pytest.raises(MeshError) as caught:
        log.get("default", 0)
    assert caught.value.reason is Reason.CORRUPT_LEDGER
    assert caught.value.metadata == {"file": "00000000.ndjson", "offset": "0"}
    assert not verify_open_log(log).valid
    assert leaf_hash(receipt.leaf) == receipt.leaf_hash
