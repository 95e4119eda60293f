"""Builds of vector indexes: told to stop, on several threads, of an engine that is not there."""

import pytest

from arenalab.search.index import BuildStoppedError, Engine
from arenalab.search.index.builders import FAISS, HNSWLIB, build_index
from tests.conformance.vector_kinds import (
    VECTORS,
    needs_hnswlib,
    recall,
)

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
