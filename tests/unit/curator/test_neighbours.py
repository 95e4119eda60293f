"""Neighbours are the true nearest, exactly or nearly, and come in a fixed order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.curator.neighbours import Vectors, nearest


def unit(size: int, seed: int, dimension: int = 8) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=(size, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 1000))
def test_exact_neighbours_are_those_of_a_plain_sort(size: int, count: int, seed: int) -> None:
    vectors = unit(size, seed)
    found = nearest(vectors, count)
    assert found.rows.shape == found.similarities.shape == (size, count)
    whole = vectors @ vectors.T
    for row in range(size):
        others = [other for other in np.argsort(-whole[row]) if other != row][:count]
        kept = found.rows[row][found.rows[row] >= 0]
        assert row not in kept
        assert len(set(kept)) == len(kept) == len(others)
        np.testing.assert_allclose(
            found.similarities[row][: len(kept)], whole[row][others], atol=1e-6
        )
        assert (found.similarities[row][len(kept) :] == -1).all()


@pytest.mark.slow
def test_approximate_neighbours_are_nearly_the_exact_ones_and_the_same_each_time() -> None:
    vectors = unit(3000, 1, dimension=16)
    exact = nearest(vectors, 5)
    found = nearest(vectors, 5, max_exact=100)
    again = nearest(vectors, 5, max_exact=100)
    np.testing.assert_array_equal(found.rows, again.rows)
    shared = [len({*a} & {*b}) for a, b in zip(exact.rows, found.rows, strict=True)]
    assert np.mean(shared) > 4
    assert not (found.rows == np.arange(3000)[:, None]).any()


def test_progress_ends_with_the_last_vector() -> None:
    reports: list[int] = []
    nearest(unit(3000, 2), 2, report=reports.append)
    assert reports == sorted(reports)
    assert reports[-1] == 3000


@pytest.mark.parametrize("size", [0, 1])
def test_who_is_alone_has_no_neighbour(size: int) -> None:
    assert (nearest(unit(size, 3), 4).rows == -1).all()
