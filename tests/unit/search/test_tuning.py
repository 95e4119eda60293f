"""The effort of an index: what is kept of it, and that it never falls."""

from pathlib import Path

import pytest

from arenalab.planning import EFFORTS, UNREACHABLE
from arenalab.search.collection.tuning import Tuning


def test_before_it_is_measured_an_index_is_like_most(tmp_path: Path) -> None:
    tuning = Tuning.load(tmp_path)
    assert (tuning.effort, tuning.is_measured) == (1.0, False)


def test_what_was_measured_is_kept_and_so_is_what_changes_later(tmp_path: Path) -> None:
    tuning = Tuning()
    tuning.keep_in(tmp_path)
    assert not Tuning.load(tmp_path).is_measured
    tuning.measured(3.0)
    assert (Tuning.load(tmp_path).effort, Tuning.load(tmp_path).is_measured) == (3.0, True)
    loaded = Tuning.load(tmp_path)
    assert loaded.raise_from(3.0)
    assert Tuning.load(tmp_path).effort == 4.0


def test_a_change_of_folder_takes_the_effort_along(tmp_path: Path) -> None:
    tuning = Tuning(2.0, is_measured=True)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        tuning.keep_in(tmp_path / name)
    tuning.raise_from(2.0)
    assert Tuning.load(tmp_path / "first").effort == 2.0
    assert Tuning.load(tmp_path / "second").effort == 3.0


def test_a_folder_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    tuning = Tuning.load(tmp_path / "gone")
    tuning.measured(2.0)
    assert tuning.effort == 2.0


@pytest.mark.parametrize(
    "body", ["", "{}", "[]", '{"effort": "much"}', '{"effort": 0.5}', '{"effort": NaN}']
)
def test_a_damaged_file_has_it_measured_again(tmp_path: Path, body: str) -> None:
    (tmp_path / "effort.json").write_text(body)
    tuning = Tuning.load(tmp_path)
    assert (tuning.effort, tuning.is_measured) == (1.0, False)


def test_it_goes_up_one_step_for_each_effort_that_was_too_little_and_never_down() -> None:
    tuning = Tuning()
    assert tuning.raise_from(1.0)
    assert not tuning.raise_from(1.0)  # seen of searches of before
    assert tuning.effort == EFFORTS[1]
    tuning.measured(1.0)
    assert tuning.effort == EFFORTS[1]
    for effort in EFFORTS[1:-1]:
        assert tuning.raise_from(effort)
    assert tuning.effort == UNREACHABLE
    assert not tuning.raise_from(UNREACHABLE)
