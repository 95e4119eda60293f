import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from arenalab.local.evaluation.contender import Scored
from arenalab.local.evaluation.figures import auroc, ece, quality_of

# Few different values, so that many are equal.
PAIRS = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        nps.arrays(np.float64, n, elements=st.sampled_from([0.0, 0.2, 0.5, 0.8, 0.95, 1.0])),
        nps.arrays(np.bool_, n, elements=st.booleans()),
    )
)


@settings(max_examples=40)
@given(PAIRS)
def test_auroc_is_the_share_of_pairs_in_order(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    score, positive = pairs
    wins = [
        1.0 if high > low else 0.5 if high == low else 0.0
        for high in score[positive]
        for low in score[~positive]
    ]
    if not wins:
        assert auroc(score, positive) is None
    else:
        assert np.isclose(auroc(score, positive), np.mean(wins))


@settings(max_examples=40)
@given(PAIRS)
def test_ece_weighs_the_gap_of_each_of_fifteen_bins(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    confidence, correct = pairs
    order = np.argsort(confidence, kind="stable")
    expected = sum(
        abs(float((confidence[part] - correct[part]).sum())) / len(order)
        for part in np.array_split(order, 15)
    )
    assert np.isclose(ece(confidence, correct), expected)


def _scored(confidence: np.ndarray, correct: np.ndarray) -> Scored:
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
