"""One contract for every vector index, whatever it is made with and wherever it lives.

A kind of index joins by one entry in KINDS. Each is compared with the definition: the
inner product with every allowed row, in float64.
"""

import threading

import numpy as np
import pytest

from arenalab.search.index import Effort, ExactIndex, FloatArray, Selection, VectorIndex
from tests.conformance.vector_kinds import (
    DIMENSION,
    GROUP,
    GROUPS,
    QUERIES,
    SIZE,
    VECTORS,
    Build,
    Kind,
    by_definition,
    recall,
    rows_of,
    similarities_of,
    unit,
)


def test_it_says_what_it_is(kind: Kind, index: VectorIndex) -> None:
    assert index.engine is kind.engine
    assert index.library
    assert (index.size, index.dimension) == VECTORS.shape


def test_the_nearest_are_found(kind: Kind, index: VectorIndex) -> None:
    assert recall(index) >= (1.0 if kind.is_exact else 0.98)


def test_rows_come_nearest_first_and_once(index: VectorIndex) -> None:
    rows, similarities = index.search(QUERIES[0], 50)
    assert (rows.dtype.name, similarities.dtype.name) == ("int64", "float64")
    assert len(set(rows.tolist())) == 50
    assert similarities.tolist() == sorted(similarities.tolist(), reverse=True)


def test_similarity_is_the_same_number_whatever_the_engine(index: VectorIndex) -> None:
    for query in QUERIES:
        exact = ExactIndex(VECTORS).search(query, 200)
        reference = dict(zip(exact.rows.tolist(), exact.similarities.tolist(), strict=True))
        found = index.search(query, 10)
        for row, similarity in zip(found.rows.tolist(), found.similarities.tolist(), strict=True):
            assert reference[row] == similarity


def test_a_stored_vector_is_its_own_nearest(index: VectorIndex) -> None:
    rows, similarities = index.search(VECTORS[123], 1)
    assert rows.tolist() == [123]
    assert similarities[0] == pytest.approx(1.0, abs=1e-6)


def test_equal_vectors_come_in_the_order_of_their_rows(build: Build) -> None:
    vectors = np.concatenate([VECTORS[:50], np.repeat(VECTORS[65:66], 5, axis=0)])
    rows, similarities = build(vectors).search(VECTORS[65], 5)
    assert rows.tolist() == [50, 51, 52, 53, 54]
    assert len(set(similarities.tolist())) == 1


def test_near_duplicates_are_told_apart(build: Build) -> None:
    rng = np.random.default_rng(3)
    close = unit(VECTORS[:1] + 3e-4 * rng.standard_normal((20, DIMENSION)))
    vectors = np.concatenate([close, VECTORS[:1500]])
    index = build(vectors)
    for query in close[:10]:
        assert index.search(query, 1).rows.tolist() == by_definition(query, 1, vectors=vectors)


def test_a_limit_above_the_size_returns_every_row(build: Build) -> None:
    for size in (1, 7, 120):
        found = build(VECTORS[:size]).search(QUERIES[0], 200)
        assert rows_of(found) == by_definition(QUERIES[0], 200, vectors=VECTORS[:size])


def test_an_empty_index_returns_nothing(build: Build) -> None:
    index = build(np.empty((0, DIMENSION), np.float32))
    assert (index.size, index.dimension) == (0, DIMENSION)
    assert rows_of(index.search(QUERIES[0], 3)) == []
    assert rows_of(index.scan(QUERIES[0], 3, None)) == []
    nothing = Selection.of_rows([], 0)
    assert [rows_of(one) for one in index.search_batch(QUERIES[:2], 3, allowed=nothing)] == [[], []]


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1, 0.01, 0.001])
def test_a_random_filter_keeps_the_nearest(kind: Kind, index: VectorIndex, share: float) -> None:
    rng = np.random.default_rng(int(1000 * share))
    allowed = Selection.of_rows(rng.permutation(SIZE)[: round(share * SIZE)], SIZE)
    for query in QUERIES:
        rows = rows_of(index.search(query, 10, allowed=allowed))
        assert len(rows) == min(10, allowed.count)
        assert set(rows) <= set(allowed.rows.tolist())
    assert recall(index, allowed) >= (1.0 if kind.is_exact else 0.97)


@pytest.mark.parametrize("groups", [1, 4, 20])
def test_a_filter_on_another_region_still_fills_the_limit(index: VectorIndex, groups: int) -> None:
    # The groups that are farthest from where the query leads.
    for query in QUERIES[:8]:
        means = [similarities_of(query)[group == GROUP].mean() for group in range(GROUPS)]
        far = np.argsort(means)[:groups]
        allowed = Selection.of_rows(np.flatnonzero(np.isin(GROUP, far)), SIZE)
        rows = rows_of(index.search(query, 30, allowed=allowed))
        assert len(set(rows)) == min(30, allowed.count)
        assert set(rows) <= set(allowed.rows.tolist())


@pytest.mark.parametrize("count", [0, 1, 5, 12])
def test_a_filter_gives_as_many_as_there_are(index: VectorIndex, count: int) -> None:
    farthest = by_definition(QUERIES[0], SIZE)[SIZE - count :]
    allowed = Selection.of_rows(farthest, SIZE)
    for found in (
        index.search(QUERIES[0], 10, allowed=allowed),
        *index.search_batch(QUERIES[:1], 10, allowed=allowed),
    ):
        assert len(found.rows) == len(found.similarities) == min(10, count)
        assert set(rows_of(found)) <= set(farthest)


@pytest.mark.parametrize("share", [None, 0.3, 0.02])
def test_a_batch_returns_what_single_searches_do(index: VectorIndex, share: float | None) -> None:
    allowed = None
    if share is not None:
        chosen = np.flatnonzero(np.random.default_rng(4).random(SIZE) < share)
        allowed = Selection.of_rows(chosen, SIZE)
    for size in (1, 3, len(QUERIES)):
        batch = index.search_batch(QUERIES[:size], 10, allowed=allowed)
        assert len(batch) == size
        for query, found in zip(QUERIES, batch, strict=False):
            single = index.search(query, 10, allowed=allowed)
            assert rows_of(found) == rows_of(single)
            assert found.similarities.tolist() == single.similarities.tolist()
    assert index.search_batch(QUERIES[:0], 10, allowed=allowed) == []


def test_a_scan_is_exact(index: VectorIndex) -> None:
    rng = np.random.default_rng(5)
    for share in (0.002, 0.1, 0.4, 0.9):
        rows = np.flatnonzero(rng.random(SIZE) < share)
        for query in QUERIES[:5]:
            assert rows_of(index.scan(query, 10, rows)) == by_definition(query, 10, rows)
    for query in QUERIES[:5]:
        assert rows_of(index.scan(query, 25, None)) == by_definition(query, 25)


def test_a_scan_of_no_rows_finds_none(index: VectorIndex) -> None:
    assert rows_of(index.scan(QUERIES[0], 3, np.empty(0, np.int64))) == []


def test_vectors_come_back_as_they_were_given(index: VectorIndex) -> None:
    rows = np.array([5, 0, 2000], np.int64)
    np.testing.assert_array_equal(index.vectors(rows), VECTORS[rows])


def test_effort_never_costs_a_row(index: VectorIndex) -> None:
    for effort in (Effort(1, 1, 1), Effort(ef_search=400, n_probe=400, candidates=300)):
        assert len(index.search(QUERIES[0], 20, effort=effort).rows) == 20


def test_more_effort_finds_all(index: VectorIndex) -> None:
    effort = Effort(ef_search=2000, n_probe=65_536, candidates=200)
    for query in QUERIES[:5]:
        assert rows_of(index.search(query, 10, effort=effort)) == by_definition(query, 10)


def test_the_same_search_returns_the_same(build: Build) -> None:
    first, second = build(VECTORS[:500]), build(VECTORS[:500])
    for query in QUERIES:
        one, other = first.search(query, 10), second.search(query, 10)
        assert rows_of(one) == rows_of(other)
        assert one.similarities.tolist() == other.similarities.tolist()


def test_threads_search_at_once(index: VectorIndex) -> None:
    allowed = Selection.of_rows(np.arange(0, SIZE, 3), SIZE)
    expected = [rows_of(index.search(query, 10, allowed=allowed)) for query in QUERIES]
    found: dict[int, list[list[int]]] = {}

    def search(number: int) -> None:
        found[number] = [
            rows_of(index.search(query, 10, allowed=allowed, effort=Effort())) for query in QUERIES
        ]

    threads = [threading.Thread(target=search, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(found.values()) == [expected] * 3


def test_a_query_of_another_dimension_is_refused(index: VectorIndex) -> None:
    with pytest.raises(ValueError, match=r"query must have shape \(48,\), got \(47,\)"):
        index.search(QUERIES[0][:-1], 3)
    with pytest.raises(ValueError, match=r"queries must have shape \(q, 48\), got \(26, 47\)"):
        index.search_batch(QUERIES[:, :-1], 3)


@pytest.mark.parametrize("fill", [0.0, np.nan, np.inf])
def test_a_query_that_is_no_unit_vector_is_refused(index: VectorIndex, fill: float) -> None:
    query = np.full(DIMENSION, fill, np.float32)
    with pytest.raises(ValueError, match="query must have length 1"):
        index.search(query, 3)
    with pytest.raises(ValueError, match="query must have length 1"):
        index.search_batch(np.stack([QUERIES[0], query]), 3)


def test_a_filter_of_another_size_is_refused(index: VectorIndex) -> None:
    with pytest.raises(ValueError, match="allowed must be of 2600 rows, got 2"):
        index.search(QUERIES[0], 3, allowed=Selection.of_rows([0, 1], 2))
    with pytest.raises(ValueError, match="allowed must be of 2600 rows, got 2"):
        index.search_batch(QUERIES, 3, allowed=Selection.of_rows([0, 1], 2))


def test_a_limit_below_one_is_refused(index: VectorIndex) -> None:
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        index.search(QUERIES[0], 0)
    with pytest.raises(ValueError, match="limit must be at least 1, got -1"):
        index.search_batch(QUERIES, -1)


@pytest.mark.parametrize(
    "vectors", [np.zeros(4, np.float32), np.zeros((2, 3)), np.zeros((2, 0), np.float32)]
)
def test_vectors_of_another_form_are_refused(build: Build, vectors: FloatArray) -> None:
    with pytest.raises(ValueError, match="vectors must"):
        build(vectors)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 1.0])
def test_vectors_that_are_no_unit_vectors_are_refused(build: Build, value: float) -> None:
    vectors = VECTORS[:20].copy()
    vectors[17] = value
    with pytest.raises(ValueError, match="vectors must have length 1, row 17"):
        build(vectors)
