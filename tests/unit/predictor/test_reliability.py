import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.predictor.reliability import brier, expected_calibration_error, reliability_bins

PAIRS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=200)


def _arrays(pairs: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([c for c, _ in pairs]), np.array([y for _, y in pairs])


@given(PAIRS)
def test_bins_have_equal_mass_and_both_scores_are_shares(pairs: list[tuple[float, bool]]) -> None:
    confidences, correct = _arrays(pairs)
    bins = reliability_bins(confidences, correct)
    sizes = [part.size for part in bins]
    assert sum(sizes) == len(pairs)
    assert max(sizes) - min(sizes) <= 1
    assert [b.confidence for b in bins] == sorted(b.confidence for b in bins)
    assert 0 <= expected_calibration_error(bins) <= 1
    assert 0 <= brier(confidences, correct) <= 1


def test_certainty_that_is_right_is_perfect_and_wrong_is_worst() -> None:
    correct = np.array([True, False] * 30)
    right, wrong = correct.astype(float), 1.0 - correct
    assert brier(right, correct) == 0.0
    assert brier(wrong, correct) == 1.0
    assert expected_calibration_error(reliability_bins(right, correct)) == 0.0
    # The middle one of fifteen bins holds both kinds.
    assert expected_calibration_error(reliability_bins(wrong, correct)) == pytest.approx(14 / 15)


def test_nothing_to_judge_is_no_error() -> None:
    assert reliability_bins(np.zeros(0), np.zeros(0, bool)) == []
    assert expected_calibration_error([]) == brier(np.zeros(0), np.zeros(0, bool)) == 0.0
