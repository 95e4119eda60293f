import numpy as np
import pytest

from arenalab.predictor.artefact import Artefact, Basis, Pairs
from arenalab.predictor.guarantee import Kind, bound_of, group_bounds
from arenalab.predictor.risk_report import MAX_GROUPS, Wanted, risk_report, void_report
from arenalab.predictor.training import calibration


def _artefact(groups: int = 3, size: int = 900) -> Artefact:
    rng = np.random.default_rng(3)
    confidences = rng.random(size)
    correct = rng.random(size) >= (1 - confidences) / 4
    names = tuple(f"g{n % (groups + 1)}" if n % (groups + 1) else "" for n in range(size))
    pairs = Pairs(confidences, correct, np.full(size, np.nan), names)
    return calibration(
        None,
        pairs,
        0,
        basis=Basis.LABELLED_TRAFFIC,
        alpha=0.05,
        delta=0.1,
        recorded=0.9,
        mixing=None,
    )


@pytest.mark.parametrize("kind", list(Kind))
def test_rows_are_the_bounds_of_the_pairs(kind: Kind) -> None:
    artefact = _artefact()
    report = risk_report(artefact, Wanted(alphas=(0.05, 0.1), kinds=(kind,), with_groups=True))
    pairs = artefact.pairs
    for row, alpha in zip(report.rows, (0.05, 0.1), strict=True):
        assert row.bound == bound_of(pairs.confidences, pairs.correct, alpha, 0.1, kind)
    found = group_bounds(pairs.confidences, pairs.correct, pairs.groups, 0.1, 0.1, kind)
    mine = {row.group: row.bound for row in report.groups if row.bound.alpha == 0.1}
    assert mine == found
    assert set(mine) == {"g1", "g2", "g3"}


def test_a_group_without_enough_questions_is_void_with_its_size() -> None:
    report = risk_report(_artefact(groups=60), Wanted(alphas=(0.01,), with_groups=True))
    for row in report.groups:
        assert row.bound.threshold is None
        assert row.bound.size in range(14, 16)
        assert row.bound.delta == (0.1 if row.bound.kind is Kind.HIGH_PROBABILITY else 0.0)


def test_more_groups_than_are_shown_are_counted() -> None:
    report = risk_report(_artefact(groups=80), Wanted(alphas=(0.1,), with_groups=True))
    assert len({row.group for row in report.groups}) == MAX_GROUPS
    assert report.groups_left_out == 80 - MAX_GROUPS
    assert risk_report(_artefact(groups=80), Wanted()).groups_left_out == 0


def test_limits_speak_of_what_was_computed() -> None:
    both = " ".join(risk_report(_artefact(), Wanted(with_groups=True)).limits)
    one = " ".join(risk_report(_artefact(), Wanted(kinds=(Kind.HIGH_PROBABILITY,))).limits)
    assert "on average" in both
    assert "delta is shared" in both
    assert "on average" not in one
    assert "delta is shared" not in one
    assert "held out" not in one  # these labels are of traffic


def test_a_void_report_says_why() -> None:
    report = void_report("it was never made", Wanted(), 0.05)
    assert [row.bound.threshold for row in report.rows] == [None] * 8
    assert report.limits == ["Nothing is served: it was never made."]
