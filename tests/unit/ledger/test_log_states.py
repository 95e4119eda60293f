"""Any order of appends, reopenings and torn tails keeps exactly what was acknowledged."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from arenalab.ledger.ranges import verify_open_log
from arenalab.ledger.verify import verify_directory
from arenalab.proof import Receipt, verify_receipt

from .conftest import PUBLIC_KEY, an_entry, open_log

SEGMENT_BYTES = 5000


class LogStates(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.log = open_log(self.directory, SEGMENT_BYTES)
        self.acknowledged: dict[str, bytes] = {}
        self.torn = b""

    def teardown(self) -> None:
        self.log.close()
        shutil.rmtree(self.directory)

    @rule(numbers=st.lists(st.integers(0, 60), min_size=1, max_size=8))
    def append(self, numbers: list[int]) -> None:
        names = [f"e{n}" for n in numbers]
        outcomes = self.log.commit([an_entry(name, subject=name[-1]) for name in names])
        for name, receipt in zip(names, outcomes, strict=True):
            assert isinstance(receipt, Receipt)
            verify_receipt(receipt, PUBLIC_KEY)
            assert self.acknowledged.setdefault(name, receipt.leaf) == receipt.leaf

    @rule()
    def reopen(self) -> None:
        self.log.close()
        self.log = open_log(self.directory, SEGMENT_BYTES)

    @precondition(lambda self: self.acknowledged)
    @rule(data=st.data())
    def tear(self, data: st.DataObject) -> None:
        """As after a kill while a batch was written: a part of its lines, of any length."""
        self.log.close()
        last = self.log.segment_paths[-1]
        whole = b"".join(path.read_bytes() for path in self.log.segment_paths)
        end = whole.rindex(b'{"checkpoint"')
        tail = whole[whole[:end].rindex(b'{"content"') : end]
        with last.open("ab") as file:
            file.write(tail[: data.draw(st.integers(0, len(tail)))])
        assert verify_directory(self.directory, PUBLIC_KEY).valid
        self.log = open_log(self.directory, SEGMENT_BYTES)

    @invariant()
    def everything_acknowledged_is_there(self) -> None:
        assert self.log.damage is None
        assert self.log.head.size == len(self.acknowledged)
        for name, leaf in self.acknowledged.items():
            index = self.log.find("default", name)
            assert self.log.get("default", index).leaf == leaf
        found = verify_open_log(self.log)
        assert (found.entries, found.problems) == (len(self.acknowledged), ())


TestLogStates = pytest.mark.slow(LogStates.TestCase)
TestLogStates.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
