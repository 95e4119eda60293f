"""Indexes of vectors that many rows share: as good for the others, and complete for the shared."""

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.search.index import (
    BuildStoppedError,
    Engine,
    FloatArray,
    IndexFileError,
    IntArray,
    Nearest,
    Selection,
    VectorIndex,
)
from arenalab.search.index.builders import build_index, load_index
from arenalab.search.index.distinct import MAX_EQUAL, DistinctIndex
from arenalab.search.index.equal_rows import EqualRows
from arenalab.search.index.hnsw import HnswIndex
from tests.conformance.vector_kinds import DIMENSION, by_definition, rows_of, similarities_of, unit

SIZES = (1, 2, 5, 9, 40, 100, 100, 200, 300, 500)  # of the groups of equal vectors
DISTINCT = 2500


def _vectors() -> tuple[FloatArray, IntArray]:
    """Returns vectors in clusters, some of them many times, shuffled; and what each holds."""
    rng = np.random.default_rng(11)
    centres = rng.standard_normal((100, DIMENSION))
    distinct = unit(
        centres[rng.integers(0, 100, DISTINCT)] + 0.7 * rng.standard_normal((DISTINCT, DIMENSION))
    )
    held = np.concatenate([np.arange(DISTINCT), np.repeat(np.arange(len(SIZES)), SIZES)])
    rng.shuffle(held)
    return distinct[held], held


VECTORS, held_by_row = _vectors()
SIZE = len(VECTORS)
# Near vectors that one row holds, and near some that many do.
_NEAR = np.concatenate(
    [
        np.flatnonzero(held_by_row >= len(SIZES))[::40],
        *(np.flatnonzero(held_by_row == i)[:2] for i in range(10)),
    ]
)
QUERIES = unit(
    VECTORS[_NEAR] + 0.02 * np.random.default_rng(8).standard_normal((len(_NEAR), DIMENSION))
)
FILTERS = [
    None,
    Selection.of_rows(np.arange(0, SIZE, 3), SIZE),
    Selection.of_rows(np.flatnonzero((held_by_row == 9) | (held_by_row > 2000)), SIZE),
    Selection.of_rows(np.flatnonzero(held_by_row == 8)[100:130], SIZE),
]


@pytest.fixture(scope="module", params=[Engine.HNSW, Engine.IVF])
def index(request: pytest.FixtureRequest) -> VectorIndex:
    return build_index(request.param, VECTORS)


def _is_full(found: Nearest, query: FloatArray, limit: int, allowed: Selection | None) -> bool:
    count = SIZE if allowed is None else allowed.count
    assert len(found.rows) == len(set(rows_of(found))) == min(limit, count)
    assert allowed is None or allowed.mask[found.rows].all()
    scores = similarities_of(query, VECTORS)
    np.testing.assert_allclose(found.similarities, scores[found.rows], atol=1e-9)
    order = list(zip((-found.similarities).tolist(), rows_of(found), strict=True))
    return order == sorted(order)


def test_an_index_of_many_equal_vectors_holds_each_once(index: VectorIndex) -> None:
    assert isinstance(index, DistinctIndex)
    assert (index.size, index.dimension) == VECTORS.shape
    assert index.library == "faiss"


@pytest.mark.slow
@pytest.mark.parametrize("allowed", FILTERS)
@pytest.mark.parametrize("limit", [1, 10, 60])
def test_equal_vectors_cost_no_recall(
    index: VectorIndex, allowed: Selection | None, limit: int
) -> None:
    rows = None if allowed is None else allowed.rows
    wanted = found = 0
    batch = index.search_batch(QUERIES, limit, allowed=allowed)
    for query, one in zip(QUERIES, batch, strict=True):
        assert _is_full(one, query, limit, allowed)
        expected = by_definition(query, limit, rows, VECTORS)
        found += len(set(expected) & set(rows_of(one)))
        wanted += len(expected)
        single = index.search(query, limit, allowed=allowed)
        assert rows_of(single) == rows_of(one)
        assert single.similarities.tolist() == one.similarities.tolist()
    assert found / wanted >= 0.99


def test_one_vector_beside_thousands_of_equal_ones_is_found() -> None:
    vectors = np.repeat(VECTORS[:1], 3000, axis=0)
    vectors[1234] = VECTORS[1]
    for engine in (Engine.HNSW, Engine.IVF):
        index = build_index(engine, vectors)
        assert rows_of(index.search(VECTORS[1], 3)) == [1234, 0, 1]
        assert rows_of(index.search(VECTORS[0], 4)) == [0, 1, 2, 3]
        assert len(index.search(VECTORS[0], 5000).rows) == 3000


def test_a_scan_is_exact(index: VectorIndex) -> None:
    for query in QUERIES[::4]:
        assert rows_of(index.scan(query, 30, None)) == by_definition(query, 30, vectors=VECTORS)
        for allowed in FILTERS[1:]:
            assert allowed is not None
            for rows in (allowed.rows, allowed.rows[:7]):
                expected = by_definition(query, 30, rows, VECTORS)
                assert rows_of(index.scan(query, 30, rows)) == expected
    assert rows_of(index.scan(QUERIES[0], 3, np.empty(0, np.int64))) == []


def test_vectors_come_back_as_they_were_given(index: VectorIndex) -> None:
    rows = np.random.default_rng(1).permutation(SIZE)
    np.testing.assert_array_equal(index.vectors(rows), VECTORS[rows])


@pytest.mark.parametrize("engine", [Engine.HNSW, Engine.IVF])
def test_few_equal_vectors_are_left_as_they_are(engine: Engine) -> None:
    vectors = np.concatenate([VECTORS[held_by_row >= len(SIZES)][:900], VECTORS[:1]])
    for times, is_wrapped in ((MAX_EQUAL, False), (MAX_EQUAL + 1, True)):
        repeated = np.concatenate([vectors[:-1], np.repeat(vectors[:1], times - 1, axis=0)])
        assert isinstance(build_index(engine, repeated), DistinctIndex) == is_wrapped


@pytest.mark.slow
def test_a_graph_of_few_equal_vectors_loses_none() -> None:
    distinct = VECTORS[np.unique(held_by_row, return_index=True)[1]]
    vectors = np.concatenate([distinct] + [distinct[:300]] * (MAX_EQUAL - 1))
    index = build_index(Engine.HNSW, vectors)
    assert isinstance(index, HnswIndex)
    found = wanted = 0
    for query in QUERIES:
        scores = similarities_of(query, vectors)
        least = np.sort(scores)[-10] - 1e-9  # any of those that are equal
        found += int((scores[index.search(query, 10).rows] >= least).sum())
        wanted += 10
    assert found / wanted >= 0.99


def _mapped(folder: Path) -> FloatArray:
    np.save(folder / "vectors.npy", VECTORS)
    mapped: FloatArray = np.load(folder / "vectors.npy", mmap_mode="r")
    return mapped


def test_a_loaded_index_answers_as_the_saved_one(index: VectorIndex, tmp_path: Path) -> None:
    vectors = _mapped(tmp_path)
    index.save(tmp_path)
    index.save(tmp_path)  # again, over itself
    loaded = load_index(index.engine, tmp_path, vectors)
    assert isinstance(loaded, DistinctIndex)
    assert (loaded.engine, loaded.library) == (index.engine, index.library)
    for allowed in FILTERS:
        batches = [one.search_batch(QUERIES, 10, allowed=allowed) for one in (index, loaded)]
        for one, other in zip(*batches, strict=True):
            assert rows_of(one) == rows_of(other)
            assert one.similarities.tolist() == other.similarities.tolist()
    # The distinct vectors are mapped now, and were held before.
    held = DISTINCT * DIMENSION * 4
    assert 8 * SIZE < loaded.memory_bytes <= index.memory_bytes - held


def test_a_file_that_is_damaged_or_missing_is_refused(index: VectorIndex, tmp_path: Path) -> None:
    index.save(tmp_path)
    paths = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(paths) == 4
    for path in paths:
        whole = path.read_bytes()
        for kept in (0, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:kept])
            with pytest.raises(IndexFileError):
                load_index(index.engine, tmp_path, VECTORS)
        path.unlink()
        with pytest.raises(IndexFileError):
            load_index(index.engine, tmp_path, VECTORS)
        path.write_bytes(whole)
    load_index(index.engine, tmp_path, VECTORS)


def test_numbers_of_other_vectors_are_refused(index: VectorIndex, tmp_path: Path) -> None:
    index.save(tmp_path)
    path = tmp_path / "numbers.npy"
    numbers = np.load(path)
    for wrong, why in (
        (numbers[::-1], "do not ascend"),
        (numbers[:-1], "size of the index"),
        (np.zeros_like(numbers), "shape of the index"),
        (numbers.astype(np.int64), "holds int64, expected uint32"),
    ):
        np.save(path, wrong)
        with pytest.raises(IndexFileError, match=why):
            load_index(index.engine, tmp_path, VECTORS)


def test_an_index_of_another_engine_or_of_other_vectors_is_refused(
    index: VectorIndex, tmp_path: Path
) -> None:
    index.save(tmp_path)
    other = Engine.IVF if index.engine is Engine.HNSW else Engine.HNSW
    with pytest.raises(IndexFileError, match="engine of the index"):
        load_index(other, tmp_path, VECTORS)
    with pytest.raises(IndexFileError, match="size of the index"):
        load_index(index.engine, tmp_path, VECTORS[:-1])
    with pytest.raises(IndexFileError, match="shape of the index"):
        load_index(index.engine, tmp_path, VECTORS[:, :40])


def test_a_failed_save_leaves_the_last_one(
    index: VectorIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.save(tmp_path)

    def files() -> dict[str, bytes]:
        paths = (path for path in tmp_path.rglob("*") if path.is_file())
        return {str(path): path.read_bytes() for path in paths}

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    before = files()
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            index.save(tmp_path)
    assert files() == before


def test_what_is_wrong_with_a_vector_is_told_by_its_own_row() -> None:
    vectors = VECTORS.copy()
    vectors[SIZE - 5] *= 2
    with pytest.raises(ValueError, match=f"row {SIZE - 5} has 2"):
        build_index(Engine.HNSW, vectors)


def test_a_search_that_is_out_of_range_is_refused(index: VectorIndex) -> None:
    with pytest.raises(ValueError, match="limit must be at least 1"):
        index.search(QUERIES[0], 0)
    with pytest.raises(ValueError, match=f"allowed must be of {SIZE} rows, got 2"):
        index.search(QUERIES[0], 1, allowed=Selection.of_rows([0], 2))


def test_looking_for_equal_vectors_stops_when_told() -> None:
    with pytest.raises(BuildStoppedError):
        EqualRows.of(VECTORS, lambda: True)


@settings(deadline=None)
@given(held=st.lists(st.integers(0, 6), max_size=40), is_hash_poor=st.booleans())
def test_equal_rows_are_those_of_the_same_bytes(*, held: list[int], is_hash_poor: bool) -> None:
    rows = VECTORS[np.array(held, np.int64)]
    with pytest.MonkeyPatch.context() as patch:
        if is_hash_poor:  # as if all hashes met
            patch.setattr(
                "arenalab.search.index.equal_rows._hashes",
                lambda vectors, _stopped: np.zeros(len(vectors), np.uint64),
            )
        equal = EqualRows.of(rows)
    first: dict[bytes, list[int]] = {}
    for row, vector in enumerate(rows):
        first.setdefault(vector.tobytes(), []).append(row)
    assert equal.count == len(first)
    assert [equal.rows_of(number).tolist() for number in range(len(first))] == [*first.values()]
    assert equal.firsts.tolist() == [group[0] for group in first.values()]


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=25),
    limit=st.integers(1, 80),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_small_indexes_equal_the_definition(
    sizes: list[int], limit: int, share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    held = np.array([*chain.from_iterable([i] * n for i, n in enumerate([12, *sizes]))])
    rng.shuffle(held)
    vectors = unit(rng.standard_normal((len(sizes) + 1, 8)))[held]
    rows = np.flatnonzero(rng.random(len(held)) < share)
    allowed = Selection.of_rows(rows, len(held))
    query = unit(vectors[:1] + 0.1 * rng.standard_normal((1, 8)))[0]
    index = build_index(Engine.HNSW, vectors)
    assert isinstance(index, DistinctIndex)
    for found, expected in (
        (index.search(query, limit), by_definition(query, limit, vectors=vectors)),
        (index.search(query, limit, allowed=allowed), by_definition(query, limit, rows, vectors)),
        (index.scan(query, limit, rows), by_definition(query, limit, rows, vectors)),
    ):
        assert rows_of(found) == expected
