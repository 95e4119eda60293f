from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from arenalab.local.evaluation.contender import OwnRule, Scored
from arenalab.local.evaluation.resampling import (
    all_figures,
    figures_at,
    make_splits,
    oracle_coverage,
    own_rule_figures,
    too_few,
)
from arenalab.predictor.guarantee import BoolArray, Kind, bound_of
from arenalab.predictor.neighbourhood import FloatArray

SEEDS = st.integers(0, 100_000)
ALPHAS = st.sampled_from([0.01, 0.05, 0.1, 0.3, 0.5])


def _pairs(seed: int) -> tuple[FloatArray, BoolArray]:
    """Returns scores, many of them equal, and which are right; 1 to 150 of them."""
    rng = np.random.default_rng(seed)
    score = rng.choice([0.0, 0.3, 0.5, 0.8, 0.9, 1.0], rng.integers(1, 151))
    return score, rng.random(len(score)) < rng.choice([0.0, 0.5, 0.95, 1.0])


def _simulated(size: int, seed: int) -> Scored:
    """Scores that rank well: an answer is right with a probability that its score hints at."""
    rng = np.random.default_rng(seed)
    score = rng.random(size)
    correct = rng.random(size) < 1 - (1 - score) ** 2
    return Scored("simulated", score, score, correct, np.ones(size, dtype=bool))


@settings(max_examples=40)
@given(st.integers(2, 60), st.integers(0, 5))
def test_a_split_parts_the_questions_and_the_seed_decides_it(size: int, seed: int) -> None:
    splits = make_splits(size, size // 2, 3, seed)
    for split in splits:
        assert sorted([*split.calibration, *split.evaluation]) == list(range(size))
        assert len(split.calibration) == size // 2
    more = make_splits(size, size // 2, 5, seed)
    for one, same in zip(splits, more, strict=False):
        assert (one.calibration == same.calibration).all()


def test_another_seed_gives_other_splits() -> None:
    one, other = (make_splits(200, 100, 1, seed)[0] for seed in (0, 1))
    assert (one.calibration != other.calibration).any()


@settings(max_examples=40)
@given(SEEDS, ALPHAS)
def test_the_oracle_serves_the_most_that_any_ranking_could(seed: int, alpha: float) -> None:
    _, correct = _pairs(seed)
    right, wrong = int(correct.sum()), int((~correct).sum())
    best = max(
        (r + w) / len(correct)
        for r, w in product(range(right + 1), range(wrong + 1))
        if w <= alpha * (r + w) + 1e-9
    )
    assert np.isclose(oracle_coverage(correct, alpha), best)


@settings(max_examples=40)
@given(SEEDS, ALPHAS)
def test_conformal_selection_takes_the_largest_set_that_passes(seed: int, alpha: float) -> None:
    score, correct = _pairs(seed)
    passing = [
        level
        for level in np.unique(score[score > 0])
        if 1 + (~correct[score >= level]).sum() <= alpha * (score >= level).sum()
    ]
    expected = min(passing) if passing else None
    assert bound_of(score, correct, alpha, 0.05, Kind.EXPECTATION).threshold == expected


def test_figures_are_those_of_serving_each_split() -> None:
    scored, alpha = _simulated(600, 3), 0.1
    splits = make_splits(600, 200, 7, 0)
    coverages, risks = [], []
    for split in splits:
        labels = scored.correct[split.calibration]
        scores = scored.score[split.calibration]
        at = bound_of(scores, labels, alpha, 0.05, Kind.EXPECTATION).threshold
        assert at is not None
        served = [i for i in split.evaluation if scored.score[i] >= at]
        coverages.append(len(served) / 400)
        risks.append(sum(not scored.correct[i] for i in served) / len(served))
    row = figures_at(scored, splits, alpha, Kind.EXPECTATION, 0.05)
    assert row.coverage == pytest.approx(np.mean(coverages))
    assert row.risk == pytest.approx(np.mean(risks))
    assert row.violations == sum(risk > alpha for risk in risks)
    assert row.coverage_interval == pytest.approx(np.quantile(coverages, (0.025, 0.975)))


def test_the_bound_fails_in_a_share_of_delta_of_all_draws_at_most() -> None:
    # The pool is so large that the measured risk is the true one.
    scored, draws, delta = _simulated(20_000, 5), 200, 0.1
    splits = make_splits(20_000, 400, draws, 1)
    row = figures_at(scored, splits, 0.1, Kind.HIGH_PROBABILITY, delta)
    assert row.violations is not None
    assert row.violations <= binom.ppf(0.9999, draws, delta)
    assert row.coverage is not None
    assert row.coverage > 0.2


def test_selection_holds_its_promise_on_average() -> None:
    scored = _simulated(20_000, 6)
    row = figures_at(scored, make_splits(20_000, 400, 200, 1), 0.1, Kind.EXPECTATION, 0.05)
    assert row.risk is not None
    assert row.risk <= 0.1 + 0.005
    assert row.violations is not None
    assert row.violations > 20  # and no more than on average


def test_nothing_served_has_no_risk() -> None:
    zeros = np.zeros(200)
    scored = Scored("none", zeros, zeros, zeros > 0, zeros == 0)
    for row in all_figures(scored, make_splits(200, 100, 4, 0), [0.05], 0.05):
        assert (row.coverage, row.risk, row.served_in, row.violations) == (0.0, None, 0, 0)


def test_a_random_rule_counts_in_expectation() -> None:
    scored = _simulated(100, 7)
    rule = OwnRule({0.1: np.full(100, 0.25)}, np.arange(100) % 2 == 0)
    row = own_rule_figures(scored, rule, make_splits(100, 0, 2, 0), 0.1)
    assert row.coverage == pytest.approx(0.25)
    assert row.risk == pytest.approx(0.5)
    assert row.error_rate == pytest.approx(0.125)


def test_too_few_questions_are_named() -> None:
    assert too_few(50, 50) is None
    assert "49 questions to calibrate" in (too_few(49, 500) or "")
    assert "7 to evaluate" in (too_few(50, 7) or "")
