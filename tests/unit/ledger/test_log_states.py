"""Any order of appends, crashes, rotations, erasures and reopenings keeps what was told."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from arenalab.ledger.entry import Entry
from arenalab.ledger.erasure import erase
from arenalab.ledger.log import Log, Rolling
from arenalab.ledger.ranges import verify_open_log, verify_range
from arenalab.ledger.verify import verify_directory
from arenalab.mesh import MeshError, NotFoundError
from arenalab.proof import (
    KeyRing,
    Receipt,
    Signer,
    open_checkpoint,
    verify_consistency,
    verify_receipt,
)

from .conftest import ORIGIN, START_NS, an_entry

SEGMENT_BYTES = 4000


class LogStates(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.keys = KeyRing(Signer(ORIGIN, bytes(32)))
        self.compress = False
        self.now_ns = START_NS
        self.log = self.opened()
        self.leaves: dict[str, bytes] = {}  # by entry id
        self.erased: set[str] = set()  # entry ids
        self.notes: list[str] = []

    def opened(self) -> Log:
        return Log(
            self.directory,
            self.keys,
            now_ns=self.clock,
            random=os.urandom,
            rolling=Rolling(SEGMENT_BYTES, compress=self.compress),
        )

    def clock(self) -> int:
        self.now_ns += 1
        return self.now_ns

    @property
    def public_keys(self) -> list[str]:
        return [str(key) for key in self.keys.verifier_keys]

    def teardown(self) -> None:
        self.log.close()
        shutil.rmtree(self.directory)

    def sealed(self, entry: Entry) -> Receipt:
        (outcome,) = self.log.commit([entry])
        if isinstance(outcome, MeshError):
            raise outcome
        return outcome

    @rule(numbers=st.lists(st.integers(0, 60), min_size=1, max_size=8))
    def append(self, numbers: list[int]) -> None:
        names = [f"e{n}" for n in numbers]
        outcomes = self.log.commit([an_entry(name, subject=name[-1]) for name in names])
        for name, receipt in zip(names, outcomes, strict=True):
            assert isinstance(receipt, Receipt)
            verify_receipt(receipt, self.public_keys)
            assert self.leaves.setdefault(name, receipt.leaf) == receipt.leaf
        self.notes.append(self.log.head.note)

    @rule()
    def reopen(self) -> None:
        self.log.close()
        self.log = self.opened()

    @rule()
    def compress_from_now_on(self) -> None:
        self.log.close()
        self.compress = True
        self.log = self.opened()

    @rule()
    def lose_the_indexes(self) -> None:
        self.log.close()
        for path in self.directory.glob("*.index"):
            path.unlink()
        self.log = self.opened()

    @rule(keep=st.booleans())
    def rotate(self, keep: bool) -> None:  # noqa: FBT001 - Hypothesis passes it by name
        """Another key signs from now on; the one before beside it, or no more."""
        self.log.close()
        old = self.keys
        number = len(old.verifier_keys)
        new = Signer(ORIGIN, bytes([number]) * 32)
        before = Signer(ORIGIN, bytes([number - 1]) * 32)
        retired = [key for key in old.verifier_keys if not keep or key != before.verifier_key]
        self.keys = KeyRing(new, [before] if keep else [], retired)
        self.log = self.opened()

    @rule(digit=st.integers(0, 9))
    def erase(self, digit: int) -> None:
        own = {name for name in self.leaves if not name.startswith("erasure-")}
        held = {name for name in own if name[-1] == str(digit)} - self.erased
        if not held:
            with pytest.raises(NotFoundError):
                erase([self.log], self.sealed, "default", str(digit))
            return
        done = erase([self.log], self.sealed, "default", str(digit))
        verify_receipt(done.receipt, self.public_keys)
        assert done.entries == len(held)
        self.erased |= held
        key_id = done.receipt.leaf.split(b'"key_id":"')[1][:32].decode()
        self.leaves[f"erasure-{key_id}"] = done.receipt.leaf

    @precondition(lambda self: self.leaves)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """As after a kill while a batch was written: a part of it, of any length."""
        self.log.close()
        last = self.log.segment_files[-1]
        tail = b'{"content":[0,9],"hash":"' + b"0" * 64 + b'","key":"' + b"0" * 32
        for path, torn in ((last.content, b"\x01" * 90), (last.lines, tail)):
            with path.open("ab") as file:
                file.write(torn[: data.draw(st.integers(0, len(torn)))])
        assert verify_directory(self.directory, self.public_keys).valid
        self.log = self.opened()

    @invariant()
    def everything_acknowledged_is_there(self) -> None:
        assert self.log.damage is None
        assert self.log.head.size == len(self.leaves)
        for name, leaf in self.leaves.items():
            stored = self.log.get("default", self.log.find("default", name))
            assert stored.leaf == leaf
            assert (stored.private is None) == (name in self.erased)

    @invariant()
    def everything_verifies(self) -> None:
        found = verify_open_log(self.log)
        assert (found.entries, found.problems) == (len(self.leaves), ())
        size = self.log.head.size
        assert verify_range(self.log, size // 2, 0).valid

    @invariant()
    def every_checkpoint_told_is_of_this_log(self) -> None:
        for note in self.notes[-3:]:
            older = open_checkpoint(note, self.keys.verifier_keys)
            newest = open_checkpoint(self.log.head.note, self.keys.verifier_keys)
            path, _ = self.log.consistency(older.size, newest.size)
            verify_consistency(older.size, newest.size, older.root, newest.root, path)


TestLogStates = pytest.mark.slow(LogStates.TestCase)
TestLogStates.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
