import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.ensemble.predictions import MAX_TURNS_BYTES, Prediction, Predictions, Said, kept_turns
from arenalab.mesh import BudgetSpentError, Reason


def _prediction(n: int, **fields: Any) -> Prediction:
    given: dict[str, Any] = {
        "prediction_id": f"p{n}",
        "tenant": "default",
        "dataset": "faq",
        "dataset_version": "ab" * 32,
        "creature": "faq",
        "calibration": "c" * 16,
        "turns": ("Wie heißt es?",),
        "output": "So.",
        "confidence": 0.9,
        "admissible": True,
        "served": True,
        "audited": True,
        "propensity": 0.01,
    }
    return Prediction(**(given | fields))


def _journal(folder: Path, limit: int = 100) -> Predictions:
    return Predictions(folder, "recent", limit)


@pytest.mark.parametrize("sync", [True, False])
def test_a_restart_knows_what_was_kept_and_said(tmp_path: Path, *, sync: bool) -> None:
    journal = _journal(tmp_path)
    journal.add(_prediction(1), sync=sync)
    journal.say(Said("p1", audit=True, verdict=2))
    for known in (journal, _journal(tmp_path)):
        assert known.find("default", "p1") == _prediction(1)
        assert known.verdict("p1", audit=True) == 2
        assert known.verdict("p1", audit=False) is None


def test_another_tenants_prediction_is_not_found(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    journal.add(_prediction(1, tenant="acme"), sync=False)
    assert journal.find("default", "p1") is None
    assert list(journal.pending("default")) == []
    assert [one.prediction_id for one in journal.pending("acme")] == ["p1"]


@settings(deadline=None)
@given(limit=st.integers(2, 12), count=st.integers(0, 60))
def test_the_newest_half_is_known_and_never_more_than_the_limit(
    tmp_path_factory: pytest.TempPathFactory, limit: int, count: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = _journal(folder, limit)
    for n in range(count):
        journal.add(_prediction(n), sync=False)
    for known in (journal, _journal(folder, limit)):
        ids = [one.prediction_id for one in known.pending("default")]
        assert ids == [f"p{n}" for n in range(count - len(ids), count)]
        assert min(count, limit // 2) <= len(ids) <= limit


def test_what_has_a_verdict_waits_no_more_and_stays_so_when_segments_turn(tmp_path: Path) -> None:
    journal = _journal(tmp_path, 4)
    for n in range(2):
        journal.add(_prediction(n), sync=False)
    journal.say(Said("p1", audit=True, verdict=1))
    journal.add(_prediction(2), sync=False)  # the segments turn
    for known in (journal, _journal(tmp_path, 4)):
        assert [one.prediction_id for one in known.pending("default")] == ["p0", "p2"]


def test_a_torn_tail_is_dropped_and_the_file_goes_on(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    journal.add(_prediction(1), sync=False)
    path = tmp_path / "recent.ndjson"
    path.write_bytes(path.read_bytes() + b"[]\n" + b'{"prediction": {"predic')
    again = _journal(tmp_path)
    again.add(_prediction(2), sync=False)
    known = _journal(tmp_path)
    assert [one.prediction_id for one in known.pending("default")] == ["p1", "p2"]
    assert [json.loads(line) for line in path.read_bytes().splitlines()[1:2]] == [[]]


def test_a_users_predictions_are_forgotten_in_both_segments(tmp_path: Path) -> None:
    journal = _journal(tmp_path, 4)
    journal.add(_prediction(1, user="ada", turns=("My secret?",)), sync=False)
    journal.add(_prediction(2, user="bob"), sync=False)
    journal.add(_prediction(3, user="ada", turns=("A secret too?",)), sync=False)
    journal.add(_prediction(4, user="ada", tenant="acme"), sync=False)
    journal.say(Said("p1", audit=True, verdict=2))
    journal.say(Said("p2", audit=True, verdict=1))
    with (tmp_path / "recent.ndjson").open("ab") as file:
        file.write(b'{"damaged secret\n')
    (tmp_path / "recent.ndjson.new").write_bytes(b"secret, left behind")
    journal = _journal(tmp_path, 4)
    assert journal.forget("default", "ada") == 2
    assert journal.forget("default", "ada") == 0
    for known in (journal, _journal(tmp_path, 4)):
        found = [known.find("default", f"p{n}") for n in (1, 2, 3)]
        assert [one is not None for one in found] == [False, True, False]
        assert known.find("acme", "p4") is not None
        assert known.verdict("p1", audit=True) is None
        assert known.verdict("p2", audit=True) == 1
    for path in tmp_path.iterdir():
        assert b"secret" not in path.read_bytes()
    journal.add(_prediction(5), sync=False)
    assert _journal(tmp_path, 4).find("default", "p5") is not None


def test_a_disk_that_takes_nothing_is_an_error(tmp_path: Path) -> None:
    journal = _journal(tmp_path)
    (tmp_path / "recent.ndjson").mkdir()
    with pytest.raises(BudgetSpentError) as caught:
        journal.add(_prediction(1), sync=False)
    assert caught.value.reason is Reason.STORAGE_FULL
    assert journal.find("default", "p1") is None


def test_turns_that_are_too_long_are_not_kept() -> None:
    assert kept_turns(["a", "b"]) == ("a", "b")
    assert kept_turns(["a" * MAX_TURNS_BYTES]) != ()
    assert kept_turns(["é" * MAX_TURNS_BYTES]) == ()
