from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.ensemble.journal import Journal
from arenalab.mesh import BudgetSpentError


def _entry(name: str) -> ledger_pb.AppendRequest:
    return ledger_pb.AppendRequest(
        entry_id=name, kind=ledger_pb.ENTRY_KIND_PREDICTION, content={"answer": "a\nb"}
    )


def test_entries_survive_reopening(tmp_path: Path) -> None:
    path = tmp_path / "unsealed.ndjson"
    journal = Journal(path, 10)
    journal.add(_entry("a"))
    journal.add(_entry("b"))
    journal.remove_first(1)
    assert [entry.entry_id for entry in Journal(path, 10).pending()] == ["b"]


def test_a_full_journal_refuses(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", 1)
    journal.add(_entry("a"))
    with pytest.raises(BudgetSpentError, match="1 answers wait"):
        journal.add(_entry("b"))


@given(torn=st.binary(min_size=1, max_size=40).filter(lambda tail: b"\n" not in tail))
def test_a_torn_tail_is_dropped(torn: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"
    Journal(path, 10).add(_entry("a"))
    with path.open("ab") as file:
        file.write(torn)
    again = Journal(path, 10)
    again.add(_entry("b"))
    assert [entry.entry_id for entry in Journal(path, 10).pending()] == ["a", "b"]
