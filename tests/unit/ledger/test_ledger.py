"""Several logs: each entry in the log of its scope and period, each log whole by itself."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.ledger.committer import Committer
from arenalab.ledger.division import Division, LogName
from arenalab.ledger.ledger import Ledger
from arenalab.ledger.local_storage import LocalStorage
from arenalab.ledger.log import Log
from arenalab.ledger.subjects import SubjectKeys
from arenalab.ledger.verify import verify_directory
from arenalab.mesh import BudgetSpentError, NotFoundError, Reason
from arenalab.proof import KeyRing, Receipt, Signer, VerifierKey, open_checkpoint, verify_receipt

from .conftest import an_entry

BASE = "example.org/log"
NOVEMBER = datetime(2026, 11, 28, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)


class Clock:
    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> int:
        return int(self.now.timestamp() * 1e9)


def seed_of(name: LogName) -> bytes:
    return (name.shard or "one").encode().ljust(32, b"\0")[:32]


def open_ledger(root: Path, division: Division, clock: Clock, max_logs: int = 8) -> Ledger:
    def open_log(name: LogName, subjects: SubjectKeys) -> Log:
        return Log(
            name.directory(root),
            KeyRing(Signer(name.origin(BASE), seed_of(name))),
            now_ns=clock,
            random=os.urandom,
            subjects=subjects,
        )

    return Ledger(
        root,
        BASE,
        division,
        open_log=open_log,
        open_subjects=lambda name: LocalStorage().open_keys(name.shard_directory(root), os.urandom),
        start_committer=lambda log: Committer(log.commit, max_queued=10),
        now_ns=clock,
        max_logs=max_logs,
    )


@pytest.fixture
def clock() -> Clock:
    return Clock(NOVEMBER)


@pytest.fixture
def monthly(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    ledger = open_ledger(tmp_path, Division.parse("one", "month"), clock)
    yield ledger
    ledger.close()


def seal(ledger: Ledger, name: str, tenant: str = "default", subject: str = "") -> Receipt:
    entry = an_entry(name, tenant=tenant, subject=subject)
    return ledger.current(tenant).committer.seal(entry)


def test_each_scope_has_a_log_with_a_tree_and_a_key_of_its_own(
    tmp_path: Path, clock: Clock
) -> None:
    ledger = open_ledger(tmp_path, Division.parse("scope", "none"), clock)
    receipts = {tenant: seal(ledger, "e1", tenant) for tenant in ("acme", "other")}
    keys = {VerifierKey.parse(receipt.log_public_key) for receipt in receipts.values()}
    assert {key.name for key in keys} == {f"{BASE}/scope-acme", f"{BASE}/scope-other"}
    assert len({key.public_key for key in keys}) == 2
    for tenant, receipt in receipts.items():
        assert receipt.leaf_index == 0
        verify_receipt(receipt, receipt.log_public_key)
        assert ledger.named(tenant, f"{BASE}/scope-{tenant}").log.head.size == 1
    ledger.close()
    for tenant, receipt in receipts.items():
        found = verify_directory(tmp_path / f"scope-{tenant}", receipt.log_public_key)
        assert (found.valid, found.entries) == (True, 1)


@settings(max_examples=20)
@given(st.lists(st.from_regex(r"[a-z0-9_-]{1,64}", fullmatch=True), min_size=20, unique=True))
def test_shards_are_fixed_by_the_scope_alone(tenants: list[str]) -> None:
    division = Division.parse("shards:4", "none")
    shards = [division.shard_of(tenant) for tenant in tenants]
    assert shards == [division.shard_of(tenant) for tenant in tenants]
    assert set(shards) <= {f"shard-{n:04}" for n in range(4)}


@given(
    st.sampled_from(["", "scope-a-b", "scope-2026", "shard-0003"]),
    st.sampled_from(["", "2026", "2026-11", "2026-11-28"]),
)
def test_a_logs_directory_names_it(shard: str, period: str) -> None:
    name = LogName(shard, period)
    root = Path("/ledger")
    assert LogName.of_path(name.directory(root).relative_to(root).parts) == name


def test_a_new_period_begins_a_log_that_names_the_one_before(monthly: Ledger, clock: Clock) -> None:
    old = seal(monthly, "e1")
    clock.now = DECEMBER
    new = seal(monthly, "e2")
    assert VerifierKey.parse(old.log_public_key).name == f"{BASE}/2026-11"
    assert VerifierKey.parse(new.log_public_key).name == f"{BASE}/2026-12"
    first, last = (monthly.named("default", f"{BASE}/{p}").log for p in ("2026-11", "2026-12"))
    said = json.loads(last.get("default", 0).leaf)
    assert said["kind"] == "succession"
    assert said["facts"]["previous_log"] == first.origin
    final = open_checkpoint(said["facts"]["previous_checkpoint"], first.keys.verifier_keys)
    assert final.size == first.head.size == said["facts"]["previous_size"]
    assert json.loads(first.get("default", 1).leaf)["facts"] == {"next_log": last.origin}
    assert [monthly.is_open(opened) for opened in monthly.all()] == [False, True]
    # The old log still proves what it sealed.
    verify_receipt(first.prove("default", 0), first.public_key)


def test_a_clock_set_back_does_not_reopen_a_period(monthly: Ledger, clock: Clock) -> None:
    clock.now = DECEMBER
    seal(monthly, "e1")
    clock.now = NOVEMBER
    assert VerifierKey.parse(seal(monthly, "e2").log_public_key).name == f"{BASE}/2026-12"


def test_a_succession_that_a_crash_left_unsaid_is_sealed_at_the_start(
    tmp_path: Path, clock: Clock
) -> None:
    division = Division.parse("one", "month")
    ledger = open_ledger(tmp_path, division, clock)
    seal(ledger, "e1")
    ledger.close()
    # As if killed when the new log was there and nothing was in it yet.
    clock.now = DECEMBER
    name = LogName("", "2026-12")
    keys = KeyRing(Signer(name.origin(BASE), seed_of(name)))
    Log(name.directory(tmp_path), keys, now_ns=clock, random=os.urandom).close()
    ledger = open_ledger(tmp_path, division, clock)
    log = ledger.current("default").log
    assert json.loads(log.get("default", 0).leaf)["facts"]["previous_log"] == f"{BASE}/2026-11"
    ledger.close()
    again = open_ledger(tmp_path, division, clock)
    assert [opened.log.head.size for opened in again.all()] == [2, 1]
    again.close()


def test_erasing_reaches_every_period(monthly: Ledger, clock: Clock) -> None:
    seal(monthly, "e1", subject="ann")
    clock.now = DECEMBER
    seal(monthly, "e2", subject="ann")
    erased = monthly.erase("default", "ann")
    assert erased.entries == 2
    assert VerifierKey.parse(erased.receipt.log_public_key).name == f"{BASE}/2026-12"
    old, new = (opened.log for opened in monthly.all())
    assert old.get("default", old.find("default", "e1")).private is None
    assert new.get("default", new.find("default", "e2")).private is None


def test_no_more_logs_are_opened_than_may_be(tmp_path: Path, clock: Clock) -> None:
    ledger = open_ledger(tmp_path, Division.parse("scope", "none"), clock, max_logs=2)
    seal(ledger, "e1", "a")
    seal(ledger, "e1", "b")
    with pytest.raises(BudgetSpentError) as caught:
        ledger.current("c")
    assert caught.value.reason is Reason.OVERLOADED
    seal(ledger, "e2", "a")
    ledger.close()


def test_a_log_that_is_not_kept_is_not_found(monthly: Ledger) -> None:
    with pytest.raises(NotFoundError) as caught:
        monthly.named("default", "example.org/other")
    assert caught.value.reason is Reason.UNKNOWN_LOG


def test_a_rotated_key_is_sealed_by_the_log_itself(tmp_path: Path, clock: Clock) -> None:
    name = LogName("", "")
    old, new = (Signer(BASE, bytes([n]) * 32) for n in (1, 2))

    def opened(keys: KeyRing) -> Ledger:
        return Ledger(
            tmp_path,
            BASE,
            Division(),
            open_log=lambda _name, subjects: Log(
                name.directory(tmp_path), keys, now_ns=clock, random=os.urandom, subjects=subjects
            ),
            open_subjects=lambda _name: LocalStorage().open_keys(tmp_path, os.urandom),
            start_committer=lambda log: Committer(log.commit, max_queued=10),
            now_ns=clock,
            max_logs=1,
        )

    ledger = opened(KeyRing(old))
    before = seal(ledger, "e1")
    ledger.close()
    ledger = opened(KeyRing(new, [old]))
    said = ledger.current("default").log.get("default", 1)
    keys = [str(new.verifier_key), str(old.verifier_key)]
    assert json.loads(said.leaf)["facts"]["public_keys"] == keys
    during = seal(ledger, "e2")
    verify_receipt(during, keys[:1])
    for trusted in keys:  # while both sign, either key is enough
        open_checkpoint(during.checkpoint, [VerifierKey.parse(trusted)])
    ledger.close()
    ledger = opened(KeyRing(new, retired=[old.verifier_key]))
    assert ledger.current("default").log.damage is None
    verify_receipt(seal(ledger, "e3"), keys)
    verify_receipt(before, keys)
    ledger.close()
    assert verify_directory(tmp_path, keys).valid
    assert not verify_directory(tmp_path, keys[:1]).valid  # the first checkpoint is the old key's
