"""What search learns from the searches that it serves."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from arenalab.planning import DEFAULT_MODEL, Correction
from arenalab.search.costs.latencies import Latencies
from arenalab.search.finding.choosing import Chooser
from arenalab.search.finding.query import Query
from arenalab.search.finding.retrieval import Retrieval
from arenalab.testing.spans import make_span
from tests.unit.search.shelf import Shelf, walk


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    made.publish([make_span(f"question {n}", f"answer {n}") for n in range(300)])
    made.upkeep.wait()
    yield made
    made.close()


def learned(shelf: Shelf, query: Query) -> dict[str, Correction]:
    """Returns what a few searches teach."""
    latencies = Latencies()
    retrieval = Retrieval(Chooser(lambda: DEFAULT_MODEL, latencies))
    (vector,) = shelf.embed(["question 7"])
    for _ in range(3):
        retrieval.nearest(shelf.now, vector, query, query.limit)
    return latencies.corrections()


def test_a_search_that_planned_for_itself_teaches_what_it_cost(shelf: Shelf) -> None:
    (correction,) = learned(shelf, Query(limit=5)).values()
    assert correction.searches == 3


def test_the_cost_that_a_given_plan_names_teaches_nothing(shelf: Shelf) -> None:
    for cost_us in (1e-3, 1e9):
        assert not learned(shelf, Query(limit=5, plan=replace(walk(), cost_us=cost_us)))


def test_a_given_plan_teaches_as_if_it_had_been_made_here(shelf: Shelf) -> None:
    made = shelf.nearest("question 7").main
    assert made is not None
    for cost_us in (1e-3, 1e9):
        given = replace(made.plan, cost_us=cost_us)
        (correction,) = learned(shelf, Query(limit=5, plan=given)).values()
        assert correction.searches == 3
        (own,) = learned(shelf, Query(limit=5)).values()
        assert 0.1 < correction.factor / own.factor < 10
