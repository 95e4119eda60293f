"""Erasing a subject makes its content unreadable and leaves every proof valid."""

import json

import pytest

from arenalab.ledger.entry import Entry
from arenalab.ledger.erasure import erase
from arenalab.ledger.log import Log
from arenalab.ledger.verify import verify_directory
from arenalab.mesh import BudgetSpentError, MeshError, NotFoundError, Reason
from arenalab.proof import Receipt, verify_receipt

from .conftest import PUBLIC_KEY, OpenLog, an_entry


def seal_in(log: Log, entry: Entry) -> Receipt:
    (outcome,) = log.commit([entry])
    if isinstance(outcome, MeshError):
        raise outcome
    return outcome


def test_erasing_keeps_proofs_and_loses_content(opened: OpenLog) -> None:
    log = opened()
    receipts = [
        seal_in(log, an_entry(f"e{n}", subject="ann" if n % 2 else "bob")) for n in range(6)
    ]
    erased = erase([log], lambda entry: seal_in(log, entry), "default", "ann")
    assert erased.entries == 3
    verify_receipt(erased.receipt, PUBLIC_KEY)
    leaf = json.loads(erased.receipt.leaf)
    assert (leaf["kind"], leaf["facts"]["entries"]) == ("erasure", 3)
    assert "ann" not in erased.receipt.leaf.decode()
    for reopened in (False, True):
        log = opened() if reopened else log
        assert log.damage is None
        for n, receipt in enumerate(receipts):
            verify_receipt(receipt, PUBLIC_KEY)
            verify_receipt(log.prove("default", n), PUBLIC_KEY)
            stored = log.get("default", n)
            assert stored.leaf == receipt.leaf
            assert (stored.private is None) == bool(n % 2)
    assert verify_directory(log.directory, PUBLIC_KEY).valid


def test_a_subject_without_content_cannot_be_erased(opened: OpenLog) -> None:
    log = opened()
    seal_in(log, an_entry(subject="ann"))
    for tenant, subject in (("default", "bob"), ("other", "ann")):
        with pytest.raises(NotFoundError) as caught:
            erase([log], lambda entry: seal_in(log, entry), tenant, subject)
        assert caught.value.reason is Reason.UNKNOWN_LEAF
    assert log.head.size == 1


def test_an_erasure_that_could_not_be_sealed_is_sealed_when_asked_again(opened: OpenLog) -> None:
    log = opened()
    seal_in(log, an_entry(subject="ann"))

    def full(entry: Entry) -> Receipt:
        raise BudgetSpentError(f"no room for {entry.entry_id}", Reason.STORAGE_FULL)

    with pytest.raises(BudgetSpentError):
        erase([log], full, "default", "ann")
    assert log.get("default", 0).private is None
    log = opened()
    assert erase([log], lambda entry: seal_in(log, entry), "default", "ann").entries == 1
    with pytest.raises(NotFoundError):
        erase([log], lambda entry: seal_in(log, entry), "default", "ann")


def test_an_erased_entry_that_comes_again_is_compared_by_what_is_public(opened: OpenLog) -> None:
    log = opened()
    receipt = seal_in(log, an_entry("e1", subject="ann"))
    erase([log], lambda entry: seal_in(log, entry), "default", "ann")
    assert seal_in(log, an_entry("e1", subject="ann")).leaf == receipt.leaf
    with pytest.raises(MeshError):
        seal_in(log, an_entry("e1", subject="ann", facts_json='{"route":"fallback"}'))
