"""The costs of this machine: measured once, kept, measured anew when what is kept is not right."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from arenalab.planning import DEFAULT_MODEL, CostModel
from arenalab.search.costs.calibration import Costs, load, load_or_measure, save
from arenalab.search.costs.machine import measure

NAMES = ("scan_ns", "gather_ns", "graph_ns", "list_ns", "rescore_ns", "select_ns", "call_us")
MEASURED = replace(DEFAULT_MODEL, dimension=16, scan_ns=7.0, measured_at_ns=5)
WAY = "hnsw/none"


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "search" / "costs.json"


@pytest.mark.slow
def test_every_cost_is_measured() -> None:
    model = measure(16, budget_s=0.5, now=lambda: 42)
    assert model.dimension == 16
    assert model.measured_at_ns == 42
    assert all(getattr(model, name) > 0 for name in NAMES)


def test_without_time_the_costs_are_the_usual_ones_of_the_dimension() -> None:
    model = measure(768, budget_s=0.0, now=lambda: 42)
    assert model.scan_ns == pytest.approx(2 * DEFAULT_MODEL.scan_ns)
    assert model.call_us == pytest.approx(DEFAULT_MODEL.call_us)


def test_what_is_kept_is_not_measured_again(path: Path) -> None:
    save(path, MEASURED)
    assert vars(load_or_measure(path, 16, budget_s=0.0)) == vars(MEASURED)


def test_another_dimension_is_measured_anew(path: Path) -> None:
    save(path, MEASURED)
    assert load(path, 32) is None
    assert load_or_measure(path, 32, lambda: 9, budget_s=0.0).measured_at_ns == 9
    assert load(path, 32) is not None


@pytest.mark.parametrize(
    "change",
    [
        lambda kept: kept["costs"].pop("scan_ns"),
        lambda kept: kept["costs"].update(scan_ns=-1),
        lambda kept: kept["costs"].update(scan_ns="fast"),
        lambda kept: kept["costs"].update(scan_ns=float("nan")),
        lambda kept: kept.update(costs=[]),
        lambda kept: kept.update(corrections={"hnsw/none": 3}),
        lambda kept: kept["machine"].update(cpu="another"),
        lambda kept: kept.pop("machine"),
    ],
)  # fmt: skip
def test_a_damaged_file_or_one_of_another_machine_is_measured_anew(
    path: Path, change: object
) -> None:
    save(path, MEASURED)
    kept = json.loads(path.read_text())
    change(kept)  # type: ignore[operator]
    path.write_text(json.dumps(kept))
    assert load(path, 16) is None
    assert load_or_measure(path, 16, lambda: 9, budget_s=0.0).measured_at_ns == 9
    again = load(path, 16)
    assert again is not None
    assert again.measured_at_ns == 9


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe"])
def test_a_file_that_is_no_object_is_measured_anew(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    assert load_or_measure(path, 16, lambda: 9, budget_s=0.0).measured_at_ns == 9


def test_a_folder_that_cannot_be_written_keeps_nothing_and_fails_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    model = load_or_measure(file / "costs.json", 16, lambda: 9, budget_s=0.0)
    assert model.measured_at_ns == 9


def test_plans_are_made_from_the_default_until_the_machine_is_measured(path: Path) -> None:
    costs = Costs(path, 16, now=lambda: 9, budget_s=0.0)
    assert costs.model() is DEFAULT_MODEL
    costs.keep()
    assert not path.exists()  # what was not measured is not kept
    costs.calibrate()
    measured = costs.model()
    assert measured.measured_at_ns == 9
    costs.calibrate()  # once is enough
    assert costs.model() is measured
    assert Costs(path, 16).model().measured_at_ns == 9


def test_what_was_learned_comes_into_the_model_and_survives_a_restart(path: Path) -> None:
    save(path, MEASURED)
    clock = Clock()
    costs = Costs(path, 16, clock=clock)
    first = costs.model()
    for _ in range(500):
        costs.latencies.observe(WAY, 100.0, 300.0)
    assert costs.model() is first  # not with every search
    clock.now_s = 10.0
    assert costs.model().factor(WAY) == pytest.approx(3.0, rel=0.1)
    costs.keep()
    assert _factor(Costs(path, 16).model()) == pytest.approx(3.0, rel=0.1)


def test_a_model_that_hardly_changes_stays_the_same_object(path: Path) -> None:
    save(path, MEASURED)
    clock = Clock()
    costs = Costs(path, 16, clock=clock)
    first = costs.model()
    for _ in range(100):
        costs.latencies.observe(WAY, 100.0, 101.0)
    clock.now_s = 10.0
    assert costs.model() is first


def _factor(model: CostModel) -> float:
    return model.factor(WAY)
