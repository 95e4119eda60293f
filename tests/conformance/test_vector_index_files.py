"""What every vector index that is saved to files keeps, and which files it refuses."""

from pathlib import Path

import numpy as np
import pytest

from arenalab.search.index import Engine, FloatArray, IndexFileError, Selection, VectorIndex
from arenalab.search.index.builders import load_index
from tests.conformance.vector_kinds import (
    KINDS,
    QUERIES,
    SIZE,
    VECTORS,
    Build,
    Kind,
    by_definition,
    rows_of,
)

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
