"""One contract for every vector index, whatever it is made with and wherever it lives.

A kind of index joins by one entry in KINDS. Each is compared with the definition: the
inner product with every allowed row, in float64.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.search.index import (
    BoolArray,
    BuildStoppedError,
    Effort,
    Engine,
    ExactIndex,
    FloatArray,
    IndexFileError,
    IntArray,
    Nearest,
    ScoreArray,
    Selection,
    VectorIndex,
)
from arenalab.search.index.builders import FAISS, HNSWLIB, build_index, load_index
from arenalab.search.index.hnswlib import is_installed

DIMENSION: Final = 48
SIZE: Final = 2600
GROUPS: Final = 40


@dataclass(frozen=True)
class Kind:
    """A kind of index, and how a test gets one."""

    engine: Engine
    open: Callable[[FloatArray], AbstractContextManager[VectorIndex]]
    is_exact: bool = False
    # Opens what the index saved to a folder; None: it keeps nothing there.
    load: Callable[[Path, FloatArray], VectorIndex] | None = None


def _in_memory(engine: Engine, library: str = FAISS) -> Kind:
    return Kind(
        engine,
        lambda vectors: nullcontext(build_index(engine, vectors, library=library)),
        is_exact=engine is Engine.EXACT,
        load=lambda folder, vectors: load_index(engine, folder, vectors, library=library),
    )


needs_hnswlib = pytest.mark.skipif(not is_installed(), reason="the extra hnswlib is missing")
KINDS = [
    pytest.param(_in_memory(Engine.EXACT), id="exact"),
    pytest.param(_in_memory(Engine.HNSW), id="faiss-hnsw"),
    pytest.param(_in_memory(Engine.IVF), id="faiss-ivf"),
    pytest.param(_in_memory(Engine.HNSW, HNSWLIB), id="hnswlib", marks=needs_hnswlib),
    pytest.param(Engine.PGVECTOR, id="pgvector", marks=pytest.mark.slow),
    pytest.param(Engine.MILVUS, id="milvus-lite", marks=pytest.mark.slow),
]


def _unit(vectors: np.ndarray) -> FloatArray:
    unit: FloatArray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _groups(size: int) -> tuple[FloatArray, IntArray]:
    """Returns vectors in groups, every tenth a near duplicate of another, and their groups."""
    rng = np.random.default_rng(7)
    centres = rng.standard_normal((GROUPS, DIMENSION))
    group = rng.integers(0, GROUPS, size)
    vectors = centres[group] + 0.7 * rng.standard_normal((size, DIMENSION))
    copied = rng.integers(0, size, size // 10)
    vectors[::10] = vectors[copied] + 1e-3 * rng.standard_normal((size // 10, DIMENSION))
    group[::10] = group[copied]
    return _unit(vectors), group.astype(np.int64)


VECTORS, GROUP = _groups(SIZE)
QUERIES = _unit(VECTORS[::101] + 0.1 * np.random.default_rng(8).standard_normal((26, DIMENSION)))


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    if isinstance(request.param, Engine):  # on a server, which starts when it is first needed
        return Kind(request.param, request.getfixturevalue(f"{request.param.value}_segments"))
    found: Kind = request.param
    return found


@pytest.fixture(scope="module")
def index(kind: Kind) -> Iterator[VectorIndex]:
    with kind.open(VECTORS) as opened:
        yield opened


@pytest.fixture
def build(kind: Kind) -> Iterator[Callable[[FloatArray], VectorIndex]]:
    with ExitStack() as stack:
        yield lambda vectors: stack.enter_context(kind.open(vectors))


Build = Callable[[FloatArray], VectorIndex]


def similarities_of(query: FloatArray, vectors: FloatArray = VECTORS) -> ScoreArray:
    scores: ScoreArray = (vectors.astype(np.float64) * query.astype(np.float64)).sum(axis=1)
    return scores


def by_definition(
    query: FloatArray, limit: int, rows: IntArray | None = None, vectors: FloatArray = VECTORS
) -> list[int]:
    scores = similarities_of(query, vectors)
    every = range(len(vectors)) if rows is None else rows.tolist()
    return sorted(every, key=lambda row: (-scores[row], row))[:limit]


def recall(index: VectorIndex, allowed: Selection | None = None) -> float:
    rows = None if allowed is None else allowed.rows
    found = 0
    wanted = 0
    for query in QUERIES:
        expected = by_definition(query, 10, rows)
        found += len(set(expected) & set(index.search(query, 10, allowed=allowed).rows.tolist()))
        wanted += len(expected)
    return found / wanted


def rows_of(nearest: Nearest) -> list[int]:
    rows: list[int] = nearest.rows.tolist()
    return rows


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
    close = _unit(VECTORS[:1] + 3e-4 * rng.standard_normal((20, DIMENSION)))
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


needs_files = pytest.mark.parametrize(
    "kind",
    [param for param in KINDS if isinstance(found := param.values[0], Kind) and found.load],
    indirect=True,
    scope="module",
)


@pytest.fixture
def vectors_file(tmp_path: Path) -> FloatArray:
    """The vectors, mapped from a file."""
    np.save(tmp_path / "vectors.npy", VECTORS)
    mapped: FloatArray = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    return mapped


@needs_files
def test_a_loaded_index_answers_as_the_saved_one(
    kind: Kind, index: VectorIndex, tmp_path: Path, vectors_file: FloatArray
) -> None:
    index.save(tmp_path)
    assert kind.load is not None
    loaded = kind.load(tmp_path, vectors_file)
    assert (loaded.engine, loaded.library) == (index.engine, index.library)
    allowed = Selection.of_rows(np.arange(0, SIZE, 5), SIZE)
    for query in QUERIES:
        for selected in (None, allowed):
            one = index.search(query, 10, allowed=selected)
            other = loaded.search(query, 10, allowed=selected)
            assert rows_of(one) == rows_of(other)
            assert one.similarities.tolist() == other.similarities.tolist()
    rows = np.arange(1, SIZE, 2)
    assert rows_of(loaded.scan(QUERIES[0], 20, rows)) == by_definition(QUERIES[0], 20, rows)


@needs_files
def test_vectors_that_are_mapped_take_no_memory(
    kind: Kind, index: VectorIndex, tmp_path: Path, vectors_file: FloatArray
) -> None:
    assert index.memory_bytes > VECTORS.nbytes
    index.save(tmp_path)
    assert kind.load is not None
    loaded = kind.load(tmp_path, vectors_file)
    assert 0 < loaded.memory_bytes <= index.memory_bytes - VECTORS.nbytes


@needs_files
@pytest.mark.parametrize("size", [0, 1, 30])
def test_small_indexes_are_saved_too(kind: Kind, build: Build, tmp_path: Path, size: int) -> None:
    build(VECTORS[:size]).save(tmp_path)
    assert kind.load is not None
    found = kind.load(tmp_path, VECTORS[:size]).search(QUERIES[0], 3)
    assert rows_of(found) == by_definition(QUERIES[0], 3, vectors=VECTORS[:size])


@needs_files
def test_a_file_that_was_cut_short_is_refused(
    kind: Kind, index: VectorIndex, tmp_path: Path
) -> None:
    assert kind.load is not None
    index.save(tmp_path)
    for path in sorted(tmp_path.iterdir()):
        whole = path.read_bytes()
        for kept in (0, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:kept])
            with pytest.raises(IndexFileError):
                kind.load(tmp_path, VECTORS)
        path.unlink()
        with pytest.raises(IndexFileError):
            kind.load(tmp_path, VECTORS)
        path.write_bytes(whole)
    kind.load(tmp_path, VECTORS)


@needs_files
def test_an_index_of_other_vectors_is_refused(
    kind: Kind, index: VectorIndex, tmp_path: Path
) -> None:
    assert kind.load is not None
    index.save(tmp_path)
    with pytest.raises(IndexFileError, match="size of the index is 2600, expected 2599"):
        kind.load(tmp_path, VECTORS[:-1])
    with pytest.raises(IndexFileError, match="dimension of the index is 48, expected 40"):
        kind.load(tmp_path, VECTORS[:, :40])


@needs_files
def test_an_index_of_another_engine_is_refused(
    kind: Kind, index: VectorIndex, tmp_path: Path
) -> None:
    index.save(tmp_path)
    other = Engine.IVF if kind.engine is Engine.HNSW else Engine.HNSW
    with pytest.raises(IndexFileError, match="engine of the index"):
        load_index(other, tmp_path, VECTORS)


@needs_files
def test_a_failed_save_leaves_the_last_one(
    index: VectorIndex, kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kind.load is not None
    index.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            index.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


LIBRARIES = [
    (Engine.HNSW, FAISS),
    (Engine.IVF, FAISS),
    pytest.param(Engine.HNSW, HNSWLIB, marks=needs_hnswlib),
]


@pytest.mark.parametrize(("engine", "library"), LIBRARIES)
def test_a_build_that_is_told_to_stop_stops(engine: Engine, library: str) -> None:
    with pytest.raises(BuildStoppedError):
        build_index(engine, VECTORS, stopped=lambda: True, library=library)


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "library"), LIBRARIES)
def test_a_build_on_two_threads_finds_as_much(engine: Engine, library: str) -> None:
    assert recall(build_index(engine, VECTORS, threads=2, library=library)) >= 0.98


def test_an_unknown_engine_is_not_built() -> None:
    with pytest.raises(ValueError, match="no milvus index is made here with 'faiss'"):
        build_index(Engine.MILVUS, VECTORS)
    with pytest.raises(ValueError, match="no hnsw index is made here with 'annoy'"):
        build_index(Engine.HNSW, VECTORS, library="annoy")


def _close(size: int) -> FloatArray:
    """Returns vectors closer to each other than codes can tell, some of them equal."""
    rng = np.random.default_rng(3)
    close = VECTORS[:1] + 1e-4 * rng.standard_normal((size, DIMENSION))
    close[::50] = close[0]
    return _unit(close)


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
    query = _unit(VECTORS[row : row + 1] + noise * rng.standard_normal((1, DIMENSION)))[0]
    rows = np.flatnonzero(np.isin(GROUP, list(group)))
    found = EXACT.scan(query, limit, rows)
    assert rows_of(found) == by_definition(query, limit, rows)
    for (_, one), (_, other) in pairwise(zip(found.rows, found.similarities, strict=True)):
        assert one >= other
