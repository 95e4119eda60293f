"""Every vector index keeps the same promises; the exact scan is the reference."""

import importlib.util
from collections.abc import Callable

import numpy as np
import pytest

from arenalab.search.index import BoolArray, Engine, ExactIndex, FloatArray, VectorIndex
from arenalab.search.index.hnsw import BuildStoppedError, HnswIndex
from arenalab.search.index.hnswlib import HnswlibIndex

DIMENSION = 48
Build = Callable[[FloatArray], VectorIndex]

needs_hnswlib = pytest.mark.skipif(
    importlib.util.find_spec("hnswlib") is None, reason="the extra hnswlib is not installed"
)


@pytest.fixture(
    params=[
        pytest.param(ExactIndex, id="exact"),
        pytest.param(HnswIndex.build, id="faiss-hnsw"),
        pytest.param(HnswlibIndex.build, id="hnswlib", marks=needs_hnswlib),
    ]
)
def build(request: pytest.FixtureRequest) -> Build:
    made: Build = request.param
    return made


def clustered(count: int, seed: int = 7, clusters: int = 40) -> FloatArray:
    """Returns unit vectors in clusters, as questions on a few subjects are."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((clusters, DIMENSION))
    points = centres[rng.integers(clusters, size=count)]
    points = points + 0.4 * rng.standard_normal((count, DIMENSION))
    unit: FloatArray = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    return unit


VECTORS = clustered(3000)
QUERIES = clustered(40, seed=8)


@pytest.fixture
def index(build: Build) -> VectorIndex:
    return build(VECTORS)


def by_definition(query: FloatArray, limit: int, allowed: BoolArray | None = None) -> list[int]:
    scores = VECTORS.astype(np.float64) @ query.astype(np.float64)
    rows = np.arange(len(VECTORS)) if allowed is None else np.flatnonzero(allowed)
    return sorted(rows.tolist(), key=lambda row: (-scores[row], row))[:limit]


def recall(index: VectorIndex, allowed: BoolArray | None = None) -> float:
    found = 0
    for query in QUERIES:
        rows = index.search(query, 10, allowed=allowed, candidates=20).rows
        found += len(set(rows.tolist()) & set(by_definition(query, 10, allowed)))
    return found / (10 * len(QUERIES))


def test_finds_the_true_nearest(index: VectorIndex) -> None:
    assert recall(index) >= (1.0 if index.engine is Engine.EXACT else 0.95)


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
def test_finds_the_true_nearest_among_the_allowed(index: VectorIndex, share: float) -> None:
    allowed = np.random.default_rng(1).random(len(VECTORS)) < share
    assert recall(index, allowed) >= (1.0 if index.engine is Engine.EXACT else 0.95)


def test_the_exact_scan_equals_the_definition() -> None:
    index = ExactIndex(VECTORS)
    for query in QUERIES:
        assert index.search(query, 25).rows.tolist() == by_definition(query, 25)


def test_rows_come_nearest_first_and_once(index: VectorIndex) -> None:
    rows, similarities = index.search(QUERIES[0], 50)
    assert len(set(rows.tolist())) == 50
    assert similarities.tolist() == sorted(similarities.tolist(), reverse=True)


def test_similarity_is_the_same_number_whatever_the_engine(index: VectorIndex) -> None:
    exact = ExactIndex(VECTORS)
    for query in QUERIES:
        reference = dict(zip(*map(np.ndarray.tolist, exact.search(query, 200)), strict=True))
        for row, similarity in zip(*map(np.ndarray.tolist, index.search(query, 10)), strict=True):
            assert reference[row] == similarity


def test_a_stored_vector_is_its_own_nearest(index: VectorIndex) -> None:
    rows, similarities = index.search(VECTORS[123], 1)
    assert rows.tolist() == [123]
    assert similarities[0] == pytest.approx(1.0, abs=1e-6)


def test_equal_vectors_come_in_the_order_of_their_rows(build: Build) -> None:
    vectors = np.concatenate([VECTORS[:50], np.repeat(VECTORS[60:61], 5, axis=0)])
    rows, similarities = build(vectors).search(VECTORS[60], 5)
    assert rows.tolist() == [50, 51, 52, 53, 54]
    assert len(set(similarities.tolist())) == 1


def test_a_limit_above_the_size_returns_every_row(build: Build) -> None:
    rows, _ = build(VECTORS[:7]).search(QUERIES[0], 100)
    assert sorted(rows.tolist()) == list(range(7))


@pytest.mark.parametrize("count", [1, 5, 12])
def test_a_filter_gives_as_many_as_there_are(index: VectorIndex, count: int) -> None:
    # The farthest rows: none lies where the query leads a graph.
    farthest = by_definition(QUERIES[0], len(VECTORS))[-count:]
    allowed = np.zeros(len(VECTORS), bool)
    allowed[farthest] = True
    rows, _ = index.search(QUERIES[0], 10, allowed=allowed)
    assert len(rows) == min(10, count)
    assert set(rows.tolist()) <= set(farthest)


def test_a_filter_that_passes_nothing_returns_nothing(index: VectorIndex) -> None:
    rows, similarities = index.search(QUERIES[0], 10, allowed=np.zeros(len(VECTORS), bool))
    assert (len(rows), len(similarities)) == (0, 0)


def test_an_empty_index_returns_nothing(build: Build) -> None:
    index = build(np.empty((0, DIMENSION), np.float32))
    assert index.size == 0
    assert len(index.search(QUERIES[0], 3).rows) == 0


def test_the_same_search_returns_the_same(build: Build) -> None:
    first, second = build(VECTORS[:500]), build(VECTORS[:500])
    for query in QUERIES:
        one, other = first.search(query, 10), second.search(query, 10)
        assert one.rows.tolist() == other.rows.tolist()
        assert one.similarities.tolist() == other.similarities.tolist()


def test_a_query_of_another_dimension_is_refused(index: VectorIndex) -> None:
    with pytest.raises(ValueError, match=r"query must have shape \(48,\), got \(47,\)"):
        index.search(QUERIES[0][:-1], 3)


def test_a_filter_of_another_length_is_refused(index: VectorIndex) -> None:
    with pytest.raises(ValueError, match="allowed must have shape"):
        index.search(QUERIES[0], 3, allowed=np.ones(2, bool))


def test_a_limit_below_one_is_refused(index: VectorIndex) -> None:
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        index.search(QUERIES[0], 0)


@pytest.mark.parametrize("vectors", [np.zeros(4, np.float32), np.zeros((2, 3), np.float64)])
def test_vectors_of_another_form_are_refused(build: Build, vectors: FloatArray) -> None:
    with pytest.raises(ValueError, match="vectors must"):
        build(vectors)


def test_memory_covers_the_vectors(index: VectorIndex) -> None:
    assert index.memory_bytes >= VECTORS.nbytes
    assert (index.size, index.dimension) == VECTORS.shape


@pytest.mark.parametrize(
    "kind", [HnswIndex, pytest.param(HnswlibIndex, marks=needs_hnswlib)], ids=lambda k: k.__name__
)
def test_a_build_that_is_told_to_stop_stops(kind: type[HnswIndex | HnswlibIndex]) -> None:
    with pytest.raises(BuildStoppedError):
        kind.build(VECTORS, lambda: True)


@pytest.mark.parametrize("share", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("limit", [1, 10, 500])
def test_the_exact_scan_is_exact_among_near_duplicates(share: float, limit: int) -> None:
    # Closer to each other than codes can tell, and some of them equal.
    rng = np.random.default_rng(3)
    close = VECTORS[:1] + 1e-4 * rng.standard_normal((2500, DIMENSION))
    close[::50] = close[0]
    unit = (close / np.linalg.norm(close, axis=1, keepdims=True)).astype(np.float32)
    allowed = rng.random(len(unit)) < share
    query = unit[7]
    scores = (unit.astype(np.float64) * query.astype(np.float64)).sum(axis=1)
    expected = sorted(np.flatnonzero(allowed).tolist(), key=lambda row: (-scores[row], row))
    found = ExactIndex(unit).search(query, limit, allowed=allowed)
    assert found.rows.tolist() == expected[:limit]
