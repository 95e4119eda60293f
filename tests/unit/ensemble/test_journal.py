from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.ensemble.journal import Journal
from arenalab.mesh import BudgetSpentError, scope_for


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


def test_a_subjects_entries_lose_their_content_and_are_still_sealed(tmp_path: Path) -> None:
    path = tmp_path / "unsealed.ndjson"
    journal = Journal(path, 10)
    for name, tenant, subject in (("a", "", "ada"), ("b", "", "bob"), ("c", "acme", "ada")):
        entry = _entry(name)
        entry.scope.tenant = tenant
        entry.subject = subject
        entry.content_salt = bytes(32)
        entry.evidence_ids.append("s1")
        journal.add(entry)
    assert journal.erase("default", "ada") == 1
    for known in (journal, Journal(path, 10)):
        erased, *others = known.pending()
        assert erased == ledger_pb.AppendRequest(
            scope=scope_for(""),
            entry_id="a",
            kind=ledger_pb.ENTRY_KIND_PREDICTION,
            evidence_ids=["s1"],
        )
        assert [dict(entry.content) for entry in others] == [{"answer": "a\nb"}] * 2


@given(torn=st.binary(min_size=1, max_size=40).filter(lambda tail: b"\n" not in tail))
def test_a_torn_tail_is_dropped(torn: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"
    Journal(path, 10).add(_entry("a"))
    with path.open("ab") as file:
        file.write(torn)
    again = Journal(path, 10)
    again.add(_entry("b"))
    assert [entry.entry_id for entry in Journal(path, 10).pending()] == ["a", "b"]
