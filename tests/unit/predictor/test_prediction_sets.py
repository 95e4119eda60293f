import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.predictor.prediction_sets import MISSED, prediction_set, set_level, set_score

SHARES = st.lists(st.floats(0.01, 1.0), min_size=1, max_size=8).map(
    lambda raw: sorted((value / sum(raw) for value in raw), reverse=True)
)


@given(SHARES, st.floats(0.0, 1.0), st.data())
def test_an_outcome_is_in_the_set_just_when_its_score_is_within_the_level(
    shares: list[float], level: float, data: st.DataObject
) -> None:
    right = data.draw(st.integers(0, len(shares) - 1))
    inside = right < prediction_set(shares, level)
    assert inside == (right == 0 or set_score(shares, right) <= level + 1e-9)


@given(SHARES, st.floats(0.0, 0.5), st.floats(0.0, 0.5))
def test_a_higher_level_never_takes_an_outcome_away(
    shares: list[float], level: float, more: float
) -> None:
    assert prediction_set(shares, level) <= prediction_set(shares, level + more)


def test_too_few_questions_or_too_many_misses_have_no_level() -> None:
    assert set_level(np.zeros(18), 0.05) is None
    assert set_level(np.zeros(19), 0.05) == 0.0
    assert set_level(np.zeros(0), 0.5) is None
    assert set_level(np.full(100, np.nan), 0.5) is None
    assert set_level(np.array([0.0] * 80 + [MISSED] * 20), 0.1) is None
    assert set_score([0.6, 0.4], None) == MISSED
    assert prediction_set([], 0.5) == 0


@pytest.mark.parametrize("epsilon", [0.05, 0.2])
def test_sets_hold_the_right_outcome_as_often_as_they_say(epsilon: float) -> None:
    rng = np.random.default_rng(2)
    held = []
    for _ in range(300):
        scores, probabilities = [], []
        for _ in range(101):
            shares = np.sort(rng.dirichlet(np.full(6, 0.5)))[::-1]
            # Overconfident: the right one is drawn from flatter probabilities.
            flat = np.sqrt(shares) / np.sqrt(shares).sum()
            right = int(rng.choice(6, p=flat))
            scores.append(set_score(shares.tolist(), right))
            probabilities.append((shares.tolist(), right))
        level = set_level(np.array(scores[:100]), epsilon)
        assert level is not None
        shares_of_new, right = probabilities[100]
        held.append(right < prediction_set(shares_of_new, level))
    slack = 3 * math.sqrt(epsilon * (1 - epsilon) / len(held))
    assert np.mean(held) >= 1 - epsilon - slack
