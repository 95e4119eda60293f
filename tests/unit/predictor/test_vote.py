import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.predictor.vote import NOISE, dual_weights, gram_of, similarity_weights


def _unit(rng: np.random.Generator, n: int) -> np.ndarray:
    vectors = rng.normal(size=(n, 16)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_copies_share_one_vote() -> None:
    one, other = np.eye(2, 16, dtype=np.float32)
    similarities = np.array([0.7, 0.7, 0.7, 0.7, 0.7])
    vectors = np.stack([one, one, one, one, other])
    weights = dual_weights(gram_of(vectors), similarities, np.ones(5))
    # Four copies say little more than one; by similarity alone they would say four times as much.
    assert weights[:4].sum() < 1.5 * weights[4]
    assert weights[:4] == pytest.approx(weights[0])


def test_a_doubtful_span_has_less_say() -> None:
    vectors = np.eye(2, 16, dtype=np.float32)
    weights = dual_weights(gram_of(vectors), np.array([0.7, 0.7]), np.array([1.0, 0.1]))
    assert weights[0] == pytest.approx(0.7 / (1 + NOISE))
    assert weights[1] == pytest.approx(0.7 / (1 + 10 * NOISE))


@given(st.integers(1, 50), st.integers(0, 1000))
def test_the_weights_solve_the_regression(k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, query = _unit(rng, k), _unit(rng, 1)[0]
    gram = gram_of(vectors)
    similarities = (vectors @ query).astype(np.float64)
    reliability = rng.uniform(0.1, 1.0, k)
    weights = dual_weights(gram, similarities, reliability)
    assert gram @ weights + NOISE / reliability * weights == pytest.approx(similarities, abs=1e-9)
    # What is explained is never more than there is.
    assert 0.0 <= similarities @ weights <= 1.0 + 1e-6


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=50))
def test_similarity_weights_are_shares_in_the_order_of_similarity(values: list[float]) -> None:
    similarities = np.array(sorted(values, reverse=True))
    weights = similarity_weights(similarities)
    assert weights.sum() == pytest.approx(1.0)
    assert (np.diff(weights) <= 0).all()
