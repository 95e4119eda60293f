import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from arenalab.local.evaluation.contender import Scored
from arenalab.local.evaluation.noise import most_passing, noise_allows, violation_chance
from arenalab.local.evaluation.resampling import AlphaFigures, all_figures, figures_at, make_splits
from arenalab.predictor.guarantee import Kind, fewest_that_can_pass, upper_bound

RISKS = st.sampled_from([0.1, 0.2, 0.3, 0.5])
# None is the tail of a small binomial at one of these risks: rounding decides no comparison.
DELTAS = st.sampled_from([0.06, 0.11, 0.23, 0.37, 0.47])


def _chance(calibrated: int, evaluated: int, alpha: float, delta: float) -> float:
    sizes = np.array([calibrated]), np.array([evaluated])
    return float(violation_chance(*sizes, alpha, delta)[0])


def _passes(errors: int, served: int, alpha: float, delta: float) -> bool:
    tail = sum(
        math.comb(served, k) * alpha**k * (1 - alpha) ** (served - k) for k in range(errors + 1)
    )
    return tail <= delta


def _worst_pool(calibrated: int, evaluated: int, alpha: float, delta: float) -> float:
    """Returns the same by drawing every calibration part of every pool."""
    pool = calibrated + evaluated
    draws = list(combinations(range(pool), calibrated))
    shares = []
    for wrong in range(pool + 1):  # the first so many answers of the pool
        errors = [sum(at < wrong for at in draw) for draw in draws]
        broken = [
            _passes(e, calibrated, alpha, delta) and wrong - e > alpha * evaluated + 1e-9
            for e in errors
        ]
        shares.append(sum(broken) / len(draws))
    return max(shares)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.integers(0, 6), RISKS, DELTAS)
def test_no_pool_violates_more_often_and_one_does_as_often(
    calibrated: int, evaluated: int, alpha: float, delta: float
) -> None:
    expected = _worst_pool(calibrated, evaluated, alpha, delta)
    assert _chance(calibrated, evaluated, alpha, delta) == pytest.approx(expected, abs=1e-12)


@given(st.integers(1, 400), RISKS, DELTAS)
def test_the_most_errors_that_pass_are_the_most(served: int, alpha: float, delta: float) -> None:
    most = int(most_passing(np.array([served]), alpha, delta)[0])
    if most < 0:
        assert served < fewest_that_can_pass(alpha, delta)
        return
    passing, failing = upper_bound(
        np.array([float(most), most + 1.0]), np.full(2, float(served)), delta
    )
    assert passing <= alpha + 1e-9
    assert failing > alpha - 1e-9


@pytest.mark.parametrize(("ratio", "about"), [(1, 0.122), (2, 0.090), (1000, 0.05)])
def test_many_answers_come_near_the_limit_of_the_docstring(ratio: int, about: float) -> None:
    normal = ndtr(ndtri(0.05) * math.sqrt(ratio / (1 + ratio)))
    assert normal == pytest.approx(about, abs=0.001)
    assert _chance(20_000, 20_000 * ratio, 0.05, 0.05) == pytest.approx(normal, abs=0.006)


def test_where_nothing_can_be_served_noise_allows_nothing() -> None:
    assert noise_allows(np.zeros(100, np.intp), 58, 1000, 0.05, 0.05) == 0.0


def test_a_split_without_a_threshold_counts_with_where_the_tests_begin() -> None:
    # 59 of 60 is where the sequence begins: no error passes there, and of 59 at most 2 may err.
    expected = 100 * _chance(59, 59, 0.05, 0.05)
    assert noise_allows(np.zeros(100, np.intp), 60, 60, 0.05, 0.05) == pytest.approx(expected)
    assert noise_allows(np.full(100, 59), 60, 60, 0.05, 0.05) == pytest.approx(expected)


def _figures(evaluated: int) -> AlphaFigures:
    """Returns the figures of a pool of which so many questions are evaluated and 800 calibrate."""
    rng = np.random.default_rng(2)
    size = 800 + evaluated
    score = rng.random(size)
    correct = rng.random(size) >= (1 - score) ** 3 / 2
    scored = Scored("simulated", score, score, correct, np.ones(size, dtype=bool))
    return figures_at(scored, make_splits(size, 800, 600, 0), 0.1, Kind.HIGH_PROBABILITY, 0.05)


def test_a_bound_that_holds_is_violated_by_noise_and_not_more_than_noise_allows() -> None:
    row = _figures(400)
    assert row.violations is not None
    assert row.violations_by_noise is not None
    assert row.violations_noise_allows is not None
    # More than a share delta of the 600 splits, ...
    assert 30 < row.violations <= row.violations_noise_allows
    # ... though what is served is wrong too often over all questions in fewer than that.
    assert row.violations - row.violations_by_noise <= 30
    assert 600 * 0.12 < row.violations_noise_allows < 600 * 0.18


def test_a_violation_is_by_noise_where_all_questions_together_keep_alpha() -> None:
    # One threshold serves all 200: 10 wrong, so at most alpha of all, however they fall.
    score, correct = np.full(200, 0.9), np.arange(200) >= 10
    scored = Scored("level", score, score, correct, np.ones(200, dtype=bool))
    row = figures_at(scored, make_splits(200, 100, 400, 0), 0.05, Kind.EXPECTATION, 0.05)
    assert row.violations
    assert row.violations_by_noise == row.violations
    correct[10:14] = False
    row = figures_at(scored, make_splits(200, 100, 400, 0), 0.05, Kind.EXPECTATION, 0.05)
    assert row.violations
    assert row.violations_by_noise == 0


def test_only_a_bound_of_high_probability_has_a_limit_by_noise() -> None:
    score = np.linspace(0.1, 1.0, 200)
    scored = Scored("right", score, score, np.ones(200, bool), np.ones(200, bool))
    for row in all_figures(scored, make_splits(200, 100, 4, 0), [0.05], 0.05):
        assert row.violations_by_noise == 0
        assert (row.violations_noise_allows is None) == (row.kind == Kind.EXPECTATION)
