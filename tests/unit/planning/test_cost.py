"""What searching costs: more work never costs less."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.planning import DEFAULT_MODEL, CostModel
from arenalab.planning import cost as costs

costs_ns = st.floats(0.1, 2000.0)
models = st.builds(
    CostModel,
    dimension=st.sampled_from([64, 384, 1024]),
    scan_ns=costs_ns,
    gather_ns=costs_ns,
    graph_ns=costs_ns,
    list_ns=costs_ns,
    rescore_ns=costs_ns,
    select_ns=st.floats(0.01, 10.0),
    call_us=st.floats(0.1, 100.0),
)
spans = st.integers(1, 10_000_000)


@given(models, spans, st.data())
def test_more_matches_never_make_a_scan_cheaper(
    model: CostModel, size: int, data: st.DataObject
) -> None:
    more = data.draw(st.integers(0, size))
    fewer = data.draw(st.integers(0, more))
    limit = data.draw(st.integers(1, 100))
    fewer_us = costs.scan_chosen_us(model, size, fewer, limit)
    assert fewer_us <= costs.scan_chosen_us(model, size, more, limit) * (1 + 1e-9)


@given(models, spans, st.integers(1, 4096), st.integers(1, 4096))
def test_a_longer_list_never_makes_a_walk_cheaper(
    model: CostModel, size: int, one: int, other: int
) -> None:
    shorter, longer = sorted((one, other))
    assert costs.graph_us(model, size, shorter) <= costs.graph_us(model, size, longer)


@given(models, spans, st.integers(1, 4096), st.integers(1, 4096))
def test_more_lists_never_make_a_search_cheaper(
    model: CostModel, size: int, one: int, other: int
) -> None:
    fewer, more = sorted((one, other))
    assert costs.lists_us(model, size, fewer) <= costs.lists_us(model, size, more)


@given(spans, st.integers(1, 4096))
def test_a_walk_compares_no_row_twice(size: int, ef_search: int) -> None:
    assert 0 < costs.distances(size, ef_search) <= size


def test_a_scan_of_chosen_rows_costs_no_more_than_a_pass_over_all() -> None:
    chosen_us = costs.scan_chosen_us(DEFAULT_MODEL, 100_000, 99_999, 10)
    all_us = costs.scan_all_us(DEFAULT_MODEL, 100_000, 10)
    assert chosen_us <= all_us + costs.selector_us(DEFAULT_MODEL, 100_000)


def test_longer_vectors_cost_more() -> None:
    assert DEFAULT_MODEL.scaled(768) == 2.0
    assert DEFAULT_MODEL.scaled(0) == 1.0


@pytest.mark.parametrize(("size", "least_us", "most_us"), [(10_000, 25, 75), (100_000, 100, 250)])
def test_a_walk_costs_about_what_was_measured(size: int, least_us: float, most_us: float) -> None:
    assert least_us <= costs.graph_us(DEFAULT_MODEL, size, 64) <= most_us
