"""The exact scan against the definition, also among vectors that codes cannot tell apart."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.search.index import BoolArray, Engine, ExactIndex, FloatArray, Selection
from arenalab.search.index.builders import build_index
from tests.conformance.vector_kinds import (
    DIMENSION,
    GROUP,
    GROUPS,
    SIZE,
    VECTORS,
    by_definition,
    rows_of,
    unit,
)


def _close(size: int) -> FloatArray:
    """Returns vectors closer to each other than codes can tell, some of them equal."""
    rng = np.random.default_rng(3)
    close = VECTORS[:1] + 1e-4 * rng.standard_normal((size, DIMENSION))
    close[::50] = close[0]
    return unit(close)


CLOSE = _close(2500)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4, 1.0])
@pytest.mark.parametrize("limit", [1, 10, 500])
def test_the_exact_scan_is_exact_among_near_duplicates(share: float, limit: int) -> None:
    mask: BoolArray = np.random.default_rng(3).random(len(CLOSE)) < share
    rows = np.flatnonzero(mask)
    for found in (
        ExactIndex(CLOSE).search(CLOSE[7], limit, allowed=Selection.of_rows(rows, len(CLOSE))),
        build_index(Engine.HNSW, CLOSE[:600]).scan(CLOSE[7], limit, rows[rows < 600]),
    ):
        within = rows if found.rows.max(initial=0) >= 600 else rows[rows < 600]
        assert rows_of(found)[:1] == by_definition(CLOSE[7], 1, within, CLOSE)
    exact = ExactIndex(CLOSE).scan(CLOSE[7], limit, rows)
    assert rows_of(exact) == by_definition(CLOSE[7], limit, rows, CLOSE)


def test_an_exact_batch_is_exact_among_near_duplicates() -> None:
    index = ExactIndex(CLOSE)
    batch = index.search_batch(CLOSE[:60], 10)
    for query, found in zip(CLOSE, batch, strict=False):
        assert rows_of(found) == by_definition(query, 10, vectors=CLOSE)


EXACT = ExactIndex(VECTORS)


@settings(max_examples=60, deadline=None)
@given(
    row=st.integers(0, SIZE - 1),
    noise=st.floats(0, 2),
    limit=st.integers(1, 300),
    group=st.sets(st.integers(0, GROUPS - 1), max_size=GROUPS),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_exact_scan_equals_the_definition(
    row: int, noise: float, limit: int, group: set[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    query = unit(VECTORS[row : row + 1] + noise * rng.standard_normal((1, DIMENSION)))[0]
    rows = np.flatnonzero(np.isin(GROUP, list(group)))
    found = EXACT.scan(query, limit, rows)
    assert rows_of(found) == by_definition(query, limit, rows)
    for (_, one), (_, other) in pairwise(zip(found.rows, found.similarities, strict=True)):
        assert one >= other
