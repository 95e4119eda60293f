import json
import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.mesh import BudgetSpentError, Reason
from arenalab.predictor.monitoring.label_log import LabelLog, LabelStore
from arenalab.predictor.monitoring.labels import Source, label_form, label_from
from arenalab.predictor.monitoring.monitor import Monitor
from arenalab.predictor.monitoring.upkeep import is_due
from arenalab.predictor.monitoring.watch import AUDIT, Status
from tests.unit.predictor.monitoring.labelled import calibrated, label


class _Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def _log(path: Path, max_labels: int = 1000) -> LabelLog:
    return LabelLog(path / "v.ndjson", _Clock(), max_labels=max_labels)


def _monitor(path: Path, max_labels: int = 1000) -> Monitor:
    return Monitor(_log(path, max_labels), calibrated())


@settings(deadline=None)
@given(st.text(), st.booleans(), st.floats(0, 1))
def test_a_label_survives_its_json_form(text: str, flag: bool, confidence: float) -> None:  # noqa: FBT001
    one = label(1, confidence=confidence, correct=flag, turns=(text,), outcomes=(text,))
    assert label_from(label_form(one)) == one


async def test_a_restart_replays_labels_to_the_same_standing(tmp_path: Path) -> None:
    monitor = _monitor(tmp_path)
    id_ = monitor.watch.calibration
    labels = [label(n, correct=n % 3 > 0, calibration=id_) for n in range(40)]
    assert await monitor.report(labels) == 40
    monitor.watch.count_served(0.95)
    await monitor.write_served()
    again = _monitor(tmp_path)
    assert again.standing == monitor.standing
    assert again.standing.status is Status.VOID
    assert again.watch.served == 1
    assert again.gathered() == labels


async def test_a_subjects_words_are_erased_and_the_labels_still_count(tmp_path: Path) -> None:
    monitor = _monitor(tmp_path, 6)
    id_ = monitor.watch.calibration
    labels = [
        label(n, calibration=id_, turns=(f"secret {n}",), subject="ada" if n % 2 else "bob")
        for n in range(9)
    ]
    await monitor.report(labels[:7])  # more than are kept: the older half was rolled up
    await monitor.report(labels[7:])
    before = [test.e for test in _monitor(tmp_path, 6).watch.tests]
    with (tmp_path / "v.ndjson").open("ab") as file:
        file.write(b'{"label": "secret 1\n')
    assert await monitor.erase("ada") == 2
    assert await monitor.erase("ada") == 0
    for known in (monitor, _monitor(tmp_path, 6)):
        assert {one.subject for one in known.gathered()} == {"bob"}
        assert await known.report(labels[7:]) == 0
    assert [test.e for test in _monitor(tmp_path, 6).watch.tests] == before
    text = (tmp_path / "v.ndjson").read_text()
    assert "ada" not in text
    assert "secret 7" not in text
    assert "secret 1" not in text
    assert "secret 8" in text


async def test_the_same_label_again_changes_nothing(tmp_path: Path) -> None:
    monitor = _monitor(tmp_path)
    one = label(1, calibration=monitor.watch.calibration)
    assert await monitor.report([one, label(1, correct=False)]) == 1
    assert await monitor.report([one]) == 0
    assert await _monitor(tmp_path).report([one]) == 0
    assert [kept.correct for kept in monitor.gathered()] == [True]
    # From another source it is another label.
    assert await monitor.report([label(1, source=Source.FEEDBACK)]) == 1


async def test_a_torn_tail_is_dropped_and_a_damaged_line_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = _log(tmp_path)
    log.append([label(1), label(2)])
    path = tmp_path / "v.ndjson"
    whole = path.read_bytes()
    path.write_bytes(b'{"label": 7}\n' + whole + b'{"label": {"pre')
    with caplog.at_level(logging.WARNING):
        again = _log(tmp_path)
    assert "line 1 is not used" in caplog.text
    assert [kept.prediction_id for kept in again.labels] == ["p1", "p2"]
    again.append([label(3)])
    assert [kept.prediction_id for kept in _log(tmp_path).labels] == ["p1", "p2", "p3"]


@settings(deadline=None)
@given(cut=st.integers(0, 2000))
def test_wherever_the_file_is_cut_what_is_left_whole_is_read(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    _log(folder).append([label(n) for n in range(6)])
    path = folder / "v.ndjson"
    data = path.read_bytes()[:cut]
    path.write_bytes(data)
    assert len(_log(folder).labels) == data.count(b"\n")
    assert path.read_bytes().count(b"\n") == data.count(b"\n")


async def test_the_file_stays_bounded_and_what_was_dropped_still_counts(tmp_path: Path) -> None:
    small, large = _monitor(tmp_path / "small", 20), _monitor(tmp_path / "large")
    id_ = small.watch.calibration
    for n in range(100):
        one = label(n, correct=n % 10 > 0, calibration=id_)
        await small.report([one])
        await large.report([one])
    again = _monitor(tmp_path / "small", 20)
    assert len((tmp_path / "small/v.ndjson").read_bytes().splitlines()) <= 32
    for monitor in (small, again):
        tests = {test.name: test for test in monitor.watch.tests}
        whole = {test.name: test for test in large.watch.tests}
        assert tests[AUDIT] == whole[AUDIT]
        assert len(monitor.gathered()) <= 20
    assert await again.report([label(99, calibration=id_)]) == 0


async def test_a_new_calibration_begins_the_tests_anew_even_with_the_same_artefact(
    tmp_path: Path,
) -> None:
    monitor = _monitor(tmp_path)
    before = monitor.watch.calibration
    await monitor.report([label(n, correct=False, calibration=before) for n in range(9)])
    seen = [monitor.standing.status]
    await monitor.restart(calibrated())
    assert monitor.watch.calibration != before
    assert [*seen, monitor.standing.status] == [Status.VOID, Status.VALID]
    again = _monitor(tmp_path)
    assert again.watch.calibration == monitor.watch.calibration
    assert again.standing.status is Status.VALID
    assert len(again.gathered()) == 9
    # Labels that come late for the calibration before are kept, and test nothing.
    await again.report([label(n, correct=False, calibration=before) for n in range(20, 40)])
    assert again.standing.status is Status.VALID
    assert len(again.gathered()) == 29


async def test_a_void_bound_is_renewed_from_what_came_since_its_calibration(
    tmp_path: Path,
) -> None:
    monitor = _monitor(tmp_path)
    first = monitor.watch.calibration
    await monitor.report([label(n, calibration=first) for n in range(5)])
    await monitor.restart(calibrated())
    second = monitor.watch.calibration
    late = [label(n, correct=False, calibration=second) for n in range(5, 14)]
    await monitor.report(late)
    assert monitor.standing.status is Status.VOID
    assert monitor.gathered() == late


def test_feedback_and_labels_without_a_question_calibrate_nothing() -> None:
    assert label(1).can_calibrate
    assert not label(1, source=Source.FEEDBACK).can_calibrate
    assert not label(1, turns=()).can_calibrate


def test_a_disk_that_takes_nothing_is_an_error_and_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("a file where the folder should be")
    log = LabelStore(tmp_path, _Clock()).open("acme", "faq", "a" * 64)
    with pytest.raises(BudgetSpentError) as caught:
        log.append([label(1)])
    assert caught.value.reason is Reason.STORAGE_FULL
    assert log.labels == []


def test_the_tenants_with_labels_are_listed(tmp_path: Path) -> None:
    store = LabelStore(tmp_path, _Clock())
    assert store.tenants() == []
    store.open("acme", "faq", "a" * 64).append([label(1)])
    assert store.tenants() == ["acme"]


async def test_the_count_of_served_answers_is_of_one_calibration(tmp_path: Path) -> None:
    monitor = _monitor(tmp_path)
    monitor.watch.count_served(0.95)
    await monitor.write_served()
    await monitor.restart(calibrated())
    assert monitor.watch.served == 0
    (tmp_path / "v.served").write_bytes(b"{")
    assert _monitor(tmp_path).watch.served == 0


async def test_a_state_that_is_none_leaves_the_tests_as_they_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = _monitor(tmp_path)
    id_ = monitor.watch.calibration
    await monitor.report([label(n, calibration=id_) for n in range(3)])
    path = tmp_path / "v.ndjson"
    form = monitor.watch.state() | {"risk": [0.0], "counts": [9, 9, 9, 9]}
    path.write_bytes(json.dumps({"rolled": form}).encode() + b"\n" + path.read_bytes())
    again = _monitor(tmp_path)
    assert "is not used" in caplog.text
    assert again.watch.audit_labels == 3
    assert {test.observed for test in again.watch.tests} == {0, 3}


async def test_a_calibration_is_due_when_it_is_old_and_there_are_fifty_new_labels(
    tmp_path: Path,
) -> None:
    monitor = _monitor(tmp_path)
    id_ = monitor.watch.calibration
    assert not is_due(monitor, 1e9, 10.0)
    await monitor.report([label(n, calibration=id_) for n in range(49)])
    assert not is_due(monitor, 1e9, 10.0)
    await monitor.report([label(49, calibration=id_)])
    assert not is_due(monitor, 1000.0 + 9.0, 10.0)
    assert is_due(monitor, 1000.0 + 10.0, 10.0)
    await monitor.restart(calibrated())
    assert len(monitor.gathered()) == 50
    assert not is_due(monitor, 1e9, 10.0)
    # Complaints are no reason: they calibrate nothing.
    fresh = monitor.watch.calibration
    complaints = [label(n, source=Source.FEEDBACK, calibration=fresh) for n in range(100, 160)]
    await monitor.report(complaints)
    assert not is_due(monitor, 1e9, 10.0)
