"""Links that lead to every row of a graph, in the memory that the graph has."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from arenalab.search.index.hnsw import EF_CONSTRUCTION, LINKS, HnswIndex
from arenalab.search.index.linking import lead_to_all
from arenalab.search.index.protocol import FloatArray
from arenalab.vectors import load_faiss

TEXTS, COPIES, DIMENSION = 100, 60, 48


def unit(vectors: npt.NDArray[Any]) -> FloatArray:
    scaled: FloatArray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("f4")
    return scaled


def copies() -> FloatArray:
    """Returns noisy copies of few texts, the texts first: each is linked by all its copies."""
    random = np.random.default_rng(2)
    texts = unit(random.standard_normal((TEXTS, DIMENSION)))
    noise = unit(random.standard_normal((TEXTS * COPIES, DIMENSION)))
    return np.concatenate([texts, unit(np.tile(texts, (COPIES, 1)) + 0.3 * noise)])


def graph_of(vectors: FloatArray) -> Any:
    faiss = load_faiss()
    graph = faiss.IndexHNSWSQ(
        DIMENSION, faiss.ScalarQuantizer.QT_bf16, LINKS, faiss.METRIC_INNER_PRODUCT
    )
    graph.hnsw.efConstruction = EF_CONSTRUCTION
    graph.is_trained = True
    graph.add(vectors)
    return graph


def links_of(graph: Any) -> list[list[int]]:
    """Returns the links of each row on the ground floor, by faiss's own account."""
    faiss, hnsw = load_faiss(), graph.hnsw
    links = faiss.vector_to_array(hnsw.neighbors)
    first = faiss.vector_to_array(hnsw.offsets).astype(np.int64)
    rows = [links[place : place + 2 * LINKS].tolist() for place in first[:-1]]
    return [row[: row.index(-1)] if -1 in row else row for row in rows]


def led_to(graph: Any) -> npt.NDArray[np.int64]:
    """Returns how many links lead to each row."""
    ends = [end for row in links_of(graph) for end in row]
    return np.bincount(ends, minlength=graph.ntotal)


@pytest.fixture(scope="module")
def vectors() -> FloatArray:
    return copies()


def test_links_lead_to_rows_that_nothing_led_to(vectors: FloatArray) -> None:
    graph = graph_of(vectors)
    few = int((led_to(graph) < 3).sum())
    assert few > 20
    lead_to_all(graph, vectors)
    assert int((led_to(graph) < 3).sum()) < few / 10


def test_no_link_is_lost_nor_there_twice_nor_leads_to_its_own_row(vectors: FloatArray) -> None:
    graph = graph_of(vectors)
    before = links_of(graph)
    size = graph.hnsw.neighbors.size()
    lead_to_all(graph, vectors)
    for row, (old, new) in enumerate(zip(before, links_of(graph), strict=True)):
        assert new[: len(old)] == old
        assert len(set(new)) == len(new) <= 2 * LINKS
        assert row not in new
    assert graph.hnsw.neighbors.size() == size


def test_a_graph_that_is_built_finds_every_row_of_its_own(vectors: FloatArray) -> None:
    index = HnswIndex.build(vectors)
    found = index.search_batch(vectors, 1)
    own = [near.rows[0] == row for row, near in enumerate(found)]
    assert np.mean(own) > 0.999


@pytest.mark.parametrize("size", [0, 1, 2, 5])
def test_graphs_of_few_rows_are_linked_too(vectors: FloatArray, size: int) -> None:
    index = HnswIndex.build(vectors[:size])
    lead_to_all(graph_of(vectors[:size]), vectors[:size])
    assert index.size == size
