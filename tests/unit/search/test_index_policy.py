"""The engine that a size and its limits ask for."""

import pytest

from arenalab.planning import Engine
from arenalab.search.index.policy import build_cpu_seconds, bytes_per_vector, choose

DIMENSION = 384


def test_a_small_index_is_scanned_whatever_its_limits() -> None:
    assert choose(20_000, DIMENSION, memory_budget_bytes=1, build_seconds=0.0) is Engine.EXACT
    assert choose(0, DIMENSION, exact_limit=0) is Engine.EXACT


def test_a_large_one_gets_a_graph() -> None:
    for size in (20_001, 100_000, 1_000_000, 10_000_000):
        assert choose(size, DIMENSION) is Engine.HNSW


def test_the_limit_of_the_scan_is_the_callers() -> None:
    assert choose(50_000, DIMENSION, exact_limit=50_000) is Engine.EXACT
    assert choose(50_001, DIMENSION, exact_limit=50_000) is Engine.HNSW


def test_a_memory_budget_that_a_graph_exceeds_gets_lists() -> None:
    graph = int(1e6 * bytes_per_vector(Engine.HNSW, DIMENSION, 1_000_000))
    assert choose(1_000_000, DIMENSION, memory_budget_bytes=graph) is Engine.HNSW
    assert choose(1_000_000, DIMENSION, memory_budget_bytes=graph - 10) is Engine.IVF
    assert choose(1_000_000, DIMENSION, memory_budget_bytes=1) is Engine.IVF


def test_a_budget_counts_what_the_library_needs() -> None:
    budget = 100_000 * 1000
    assert choose(100_000, DIMENSION, memory_budget_bytes=budget) is Engine.HNSW
    assert choose(100_000, DIMENSION, memory_budget_bytes=budget, library="hnswlib") is Engine.IVF


def test_a_build_that_would_take_too_long_gets_lists() -> None:
    needed_s = build_cpu_seconds(Engine.HNSW, DIMENSION, 1_000_000)
    assert choose(1_000_000, DIMENSION, build_seconds=needed_s / 2, threads=1) is Engine.IVF
    assert choose(1_000_000, DIMENSION, build_seconds=needed_s / 2, threads=2) is Engine.HNSW


@pytest.mark.parametrize("size", [20_000, 100_000, 1_000_000])
def test_lists_are_smaller_and_quicker_to_build_than_a_graph(size: int) -> None:
    lists, graph = (
        bytes_per_vector(engine, DIMENSION, size) for engine in (Engine.IVF, Engine.HNSW)
    )
    assert lists < graph / 2
    assert build_cpu_seconds(Engine.IVF, DIMENSION, size) < build_cpu_seconds(
        Engine.HNSW, DIMENSION, size
    )


def test_a_server_takes_no_memory_here() -> None:
    with pytest.raises(ValueError, match="milvus keeps nothing in memory here"):
        bytes_per_vector(Engine.MILVUS, DIMENSION, 100)
    with pytest.raises(ValueError, match="milvus is not built here"):
        build_cpu_seconds(Engine.MILVUS, DIMENSION, 100)
