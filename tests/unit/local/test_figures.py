import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.local.evaluation.contender import Scored
from arenalab.local.evaluation.figures import auroc, ece, quality_of
from arenalab.predictor.guarantee import BoolArray
from arenalab.predictor.neighbourhood import FloatArray


def _pairs(seed: int) -> tuple[FloatArray, BoolArray]:
    """Returns confidences, many of them equal, and which are right; 1 to 60 of them."""
    rng = np.random.default_rng(seed)
    confidence = rng.choice([0.0, 0.2, 0.5, 0.8, 0.95, 1.0], rng.integers(1, 61))
    return confidence, rng.random(len(confidence)) < rng.choice([0.0, 0.5, 1.0])


@settings(max_examples=40)
@given(st.integers(0, 100_000))
def test_auroc_is_the_share_of_pairs_in_order(seed: int) -> None:
    score, positive = _pairs(seed)
    wins = [
        1.0 if high > low else 0.5 if high == low else 0.0
        for high in score[positive]
        for low in score[~positive]
    ]
    if not wins:
        assert auroc(score, positive) is None
    else:
        assert auroc(score, positive) == pytest.approx(np.mean(wins))


@settings(max_examples=40)
@given(st.integers(0, 100_000))
def test_ece_weighs_the_gap_of_each_of_fifteen_bins(seed: int) -> None:
    confidence, correct = _pairs(seed)
    order = np.argsort(confidence, kind="stable")
    expected = sum(
        abs(float((confidence[part] - correct[part]).sum())) / len(order)
        for part in np.array_split(order, 15)
    )
    assert np.isclose(ece(confidence, correct), expected)


def _scored(confidence: FloatArray, correct: BoolArray) -> Scored:
    return Scored("one", confidence, confidence, correct, np.arange(len(correct)) % 2 == 0)


def test_a_confidence_that_tells_the_truth_has_a_small_error() -> None:
    rng = np.random.default_rng(1)
    confidence = rng.random(4_000)
    quality = quality_of(_scored(confidence, rng.random(4_000) < confidence), seed=0)
    assert quality.ece.value is not None
    assert quality.ece.value < 0.03
    assert quality.auroc.interval is not None
    low, high = quality.auroc.interval
    assert low < (quality.auroc.value or 0.0) < high
    assert quality.oos_auroc.value is not None
    assert abs(quality.oos_auroc.value - 0.5) < 0.05


def test_no_figure_is_made_up_for_a_contender_without_a_model() -> None:
    quality = quality_of(_scored(np.zeros(20), np.arange(20) % 3 == 0), seed=0)
    assert quality.ece.value is quality.brier.value is quality.auroc.value is None
    assert quality.accuracy == 7 / 20


def test_there_is_no_ranking_where_everything_is_right() -> None:
    quality = quality_of(_scored(np.linspace(0.1, 1, 20), np.ones(20, dtype=bool)), seed=0)
    assert quality.auroc.value is None
    assert quality.brier.value is not None
