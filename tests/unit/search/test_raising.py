"""Efforts that go up once searches have shown that an index finds too little."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.planning import EFFORTS, UNREACHABLE, Engine, Plan, Strategy
from arenalab.search.collection.tuning import Tuning
from arenalab.search.finding.query import Query
from arenalab.search.index.protocol import FloatArray
from arenalab.search.recall.certificate import Band, Certificates
from arenalab.search.recall.measuring import Measuring
from arenalab.search.recall.raising import LEAST_SEARCHES, Raising, is_as_hard
from arenalab.search.recall.shadow import Overlap, Shadows
from arenalab.testing.spans import make_span
from tests.unit.search.shelf import Shelf, walk

DIMENSION, LIMIT = 256, 10
BAND = Band.of("faq", Plan(engine=Engine.HNSW, strategy=Strategy.NONE, ef_search=128), None, 10)
TOO_LITTLE, ENOUGH = Overlap(9, 10), Overlap(10, 10)


def unit_vectors(count: int, seed: int) -> FloatArray:
    rows = np.random.default_rng(seed).standard_normal((count, DIMENSION))
    unit: FloatArray = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    """Vectors in all directions, where a walk finds less than the tables say."""
    made = Shelf(tmp_path, dimension=DIMENSION)
    made.publish([make_span(f"question {n}", "answer") for n in range(2500)], unit_vectors(2500, 1))
    made.upkeep.wait()
    yield made
    made.close()


def asked(shelf: Shelf, count: int, seed: int, plan: Plan | None = None) -> float:
    """Returns the mean recall of searches that are all repeated, one after another."""
    certificates = Certificates()
    shadows = Shadows(certificates, rate=1.0, core_share=1.0)
    measuring = Measuring(certificates, shadows)
    shadows.start()
    recalls = []
    try:
        for question in unit_vectors(count, seed):
            query = Query(limit=LIMIT, plan=plan)
            found = shelf.retrieval.nearest(shelf.now, question, query, LIMIT)
            true = shelf.now.base.index.scan(question, LIMIT, None)
            recalls.append(np.isin(true.rows, found.rows).mean())
            measuring.offer(found, question)
            shadows.wait()
    finally:
        shadows.stop()
    return float(np.mean(recalls))


def test_traffic_that_finds_too_little_raises_the_effort_until_it_finds_enough(
    shelf: Shelf,
) -> None:
    assert shelf.now.base.tuning.effort == 1.0
    assert asked(shelf, 100, seed=2) < 0.99
    asked(shelf, 900, seed=3)
    effort = shelf.now.base.tuning.effort
    assert effort > 1.0
    assert asked(shelf, 100, seed=4) > 0.985
    # Enough by now, so that it stays.
    asked(shelf, 300, seed=5)
    assert shelf.now.base.tuning.effort == effort


def test_a_raised_effort_outlasts_a_restart(shelf: Shelf) -> None:
    asked(shelf, 300, seed=2)
    effort = shelf.now.base.tuning.effort
    assert effort > 1.0
    shelf.close()
    again = Shelf(shelf.root, dimension=DIMENSION)
    again.upkeep.wait()
    assert again.now.base.tuning.effort == effort
    again.close()


def test_a_new_index_starts_anew(shelf: Shelf) -> None:
    shelf.now.base.tuning.raise_from(1.0)
    built = shelf.now.base.with_index(shelf.now.base.index, shelf.now.base.made)
    assert built.tuning.effort == 1.0
    assert shelf.now.base.removing([1]).tuning is shelf.now.base.tuning


def test_a_short_list_that_came_with_a_search_says_nothing_of_the_index(shelf: Shelf) -> None:
    assert asked(shelf, 200, seed=2, plan=walk(ef_search=16)) < 0.9
    assert shelf.now.base.tuning.effort == 1.0


def test_few_searches_or_ones_that_find_enough_raise_nothing() -> None:
    tuning, raising = Tuning(), Raising()
    for _ in range(LEAST_SEARCHES - 1):
        assert not raising.record(tuning, BAND, 0.99, TOO_LITTLE)
    for _ in range(3000):
        assert not raising.record(tuning, replace(BAND, effort=1), 0.99, ENOUGH)
        assert not raising.record(tuning, replace(BAND, effort=2), 0.8, TOO_LITTLE)
        assert not raising.record(tuning, replace(BAND, effort=4), 0.99, Overlap(0, 0))
    assert tuning.effort == 1.0


def test_each_step_needs_evidence_of_its_own_and_the_last_is_a_scan() -> None:
    tuning, raising = Tuning(), Raising()
    steps = [
        tuning.effort
        for _ in range(LEAST_SEARCHES * 2 * len(EFFORTS))
        if raising.record(tuning, BAND, 0.99, Overlap(5, 10))
    ]
    assert tuple(steps) == EFFORTS[1:]
    assert tuning.effort == UNREACHABLE


@given(st.lists(st.integers(0, 10), max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
def test_an_effort_never_falls_and_stays_within_bounds(hits: list[int], target: float) -> None:
    tuning, raising = Tuning(), Raising()
    before = tuning.effort
    for found in hits:
        raising.record(tuning, BAND, target, Overlap(found, 10))
        assert before <= tuning.effort <= UNREACHABLE
        assert tuning.effort in EFFORTS
        before = tuning.effort


def test_only_plans_that_look_hard_enough_count() -> None:
    graph = Plan(engine=Engine.HNSW, strategy=Strategy.NONE, ef_search=170)
    assert is_as_hard(graph, 100_000, 10, 1.0)
    assert not is_as_hard(graph, 100_000, 10, 2.0)
    assert not is_as_hard(graph, 100_000, 10, UNREACHABLE)
    assert not is_as_hard(replace(graph, recall_target=0.999), 100_000, 10, 1.0)
    lists = Plan(engine=Engine.IVF, strategy=Strategy.NONE, n_probe=105)
    assert is_as_hard(lists, 100_000, 10, 1.0)
    assert not is_as_hard(replace(lists, n_probe=104), 100_000, 10, 1.0)
    assert not is_as_hard(Plan(engine=Engine.MILVUS, strategy=Strategy.NONE), 100_000, 10, 1.0)
