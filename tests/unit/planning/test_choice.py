"""Choosing: the cheapest way that reaches the recall, and never one that cannot."""

import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.planning import (
    DEFAULT_MODEL,
    EFFORTS,
    UNREACHABLE,
    Choice,
    Correction,
    CostModel,
    Engine,
    Facts,
    Plan,
    Strategy,
    choose,
    explain,
    explained,
)

WITHIN = 1.5
GRAPH = frozenset({Engine.HNSW})
MOST_EF = 4096
costs_ns = st.floats(1.0, 500.0)
models = st.builds(
    CostModel,
    dimension=st.just(384),
    scan_ns=costs_ns,
    gather_ns=costs_ns,
    graph_ns=costs_ns,
    list_ns=costs_ns,
    rescore_ns=costs_ns,
    select_ns=st.floats(0.1, 5.0),
    call_us=st.floats(1.0, 50.0),
)
engines = st.frozensets(st.sampled_from([Engine.HNSW, Engine.IVF, Engine.MILVUS]))
limits = st.integers(1, 100)
recalls = st.sampled_from([0.9, 0.95, 0.98, 0.99, 0.999, 1.0])


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    spans = draw(st.integers(0, 2_000_000))
    matches = draw(st.integers(0, spans))
    conditions: tuple[tuple[str, int], ...] = ()
    if matches < spans or draw(st.booleans()):
        conditions = (("tags", draw(st.integers(matches, spans))), ("domains", matches))
    local = draw(st.none() | st.floats(0.0, 1.0)) if conditions else None
    return Facts(
        spans=spans,
        matches=matches,
        conditions=conditions,
        engines=draw(engines),
        local_share=local,
        effort=draw(st.just(1.0) | st.sampled_from(EFFORTS)),
    )


def chosen(
    known: Facts, *, limit: int = 10, recall: float = 0.99, model: CostModel = DEFAULT_MODEL
) -> Choice:
    return choose(known, limit=limit, recall_target=recall, model=model)


def filtered(spans: int, matches: int) -> Facts:
    return Facts(spans=spans, matches=matches, conditions=(("domains", matches),), engines=GRAPH)


def everything(choice: Choice) -> tuple[Plan, ...]:
    return (choice.plan, *choice.rejected)


@given(facts(), limits, recalls, models)
def test_the_cheapest_is_chosen_and_the_others_follow_by_cost(
    known: Facts, limit: int, recall: float, model: CostModel
) -> None:
    plans = everything(chosen(known, limit=limit, recall=recall, model=model))
    costs = [plan.expected_us for plan in plans]
    assert all(math.isfinite(cost) and cost >= 0 for cost in costs)
    assert all(one <= other for one, other in pairwise(costs))


@given(facts(), limits, recalls, models)
def test_an_exact_scan_is_always_possible_and_nothing_is_proposed_twice(
    known: Facts, limit: int, recall: float, model: CostModel
) -> None:
    plans = everything(chosen(known, limit=limit, recall=recall, model=model))
    assert sum(plan.is_exact for plan in plans) == 1
    assert len({plan.way for plan in plans}) == len(plans)


@given(facts(), limits, models)
def test_a_perfect_recall_leaves_the_scan_alone(known: Facts, limit: int, model: CostModel) -> None:
    choice = chosen(known, limit=limit, recall=1.0, model=model)
    assert choice.plan.is_exact
    assert choice.rejected == ()


@given(facts(), limits, recalls, models)
def test_only_engines_that_are_built_are_planned(
    known: Facts, limit: int, recall: float, model: CostModel
) -> None:
    for plan in everything(chosen(known, limit=limit, recall=recall, model=model)):
        assert plan.engine in {*known.engines, Engine.EXACT}
        assert (plan.strategy is Strategy.NONE) == (not known.is_filtered)


@given(facts(), limits, recalls, models)
def test_a_filtered_graph_is_only_trusted_after_a_probe(
    known: Facts, limit: int, recall: float, model: CostModel
) -> None:
    for plan in everything(chosen(known, limit=limit, recall=recall, model=model)):
        may_collapse = plan.engine in {Engine.HNSW, Engine.IVF, Engine.MILVUS}
        wants = may_collapse and known.is_filtered and known.local_share is None
        assert (plan.probe is not None) == wants


@given(facts(), limits, recalls, models, st.data())
def test_the_choice_is_within_the_error_of_the_costs(
    known: Facts, limit: int, recall: float, model: CostModel, data: st.DataObject
) -> None:
    # Times that are off by a factor of up to √1.5 either way, whichever way they fall.
    most = math.sqrt(WITHIN)
    choice = chosen(known, limit=limit, recall=recall, model=model)
    off = st.floats(1 / most, most)
    times = {plan.way: plan.expected_us * data.draw(off) for plan in everything(choice)}
    assert times[choice.plan.way] <= WITHIN * min(times.values()) * (1 + 1e-9)


@given(facts(), limits, recalls, st.floats(1 / 8, 8))
def test_a_correction_moves_the_cost_of_its_way_alone(
    known: Facts, limit: int, recall: float, factor: float
) -> None:
    before = everything(chosen(known, limit=limit, recall=recall))
    way = before[-1].way
    model = replace(DEFAULT_MODEL, corrections={way: Correction(factor, 100)})
    after = {
        plan.way: plan.cost_us
        for plan in everything(chosen(known, limit=limit, recall=recall, model=model))
    }
    for plan in before:
        expected = plan.cost_us * (factor if plan.way == way else 1.0)
        assert after[plan.way] == pytest.approx(expected)


@given(facts(), limits, recalls)
def test_every_choice_explains_itself(known: Facts, limit: int, recall: float) -> None:
    choice = explained(chosen(known, limit=limit, recall=recall))
    assert all(plan.explanation.endswith(".") for plan in everything(choice))
    assert explain(choice) == choice.plan.explanation


def test_steps_come_most_selective_first_with_their_counts() -> None:
    known = Facts(spans=1000, matches=5, conditions=(("tags", 500), ("domains", 10)))
    plan = chosen(known).plan
    assert plan.order == ("domains", "tags")
    assert [(step.matches, Fraction(step.share).limit_denominator()) for step in plan.steps] == [
        (10, Fraction(1, 100)),
        (500, Fraction(1, 2)),
    ]


def test_where_nothing_passes_nothing_is_searched() -> None:
    choice = chosen(filtered(100_000, 0))
    assert choice.plan.is_exact
    assert choice.plan.cost_us == 0
    assert "Nothing is searched" in explain(choice)


def test_few_matches_are_scanned_and_many_are_walked() -> None:
    assert chosen(filtered(100_000, 1_000)).plan.is_exact
    assert chosen(filtered(100_000, 60_000)).plan.engine is Engine.HNSW


def test_as_many_matches_as_are_wanted_are_scanned() -> None:
    choice = chosen(filtered(1_000_000, 10), limit=10)
    assert choice.plan.is_exact
    assert not choice.rejected


def test_a_filter_that_disagrees_with_the_query_is_scanned() -> None:
    known = filtered(100_000, 50_000)
    plan = chosen(known).plan
    assert plan.probe is not None
    assert not chosen(known).plan.is_exact
    assert chosen(known.probed(0, plan.probe.hits)).plan.is_exact
    assert chosen(known.probed(2, 64)).plan.is_exact
    assert not chosen(known.probed(32, 64)).plan.is_exact


def test_hits_of_a_search_that_is_its_own_probe_are_the_answer_when_enough_pass() -> None:
    plan = chosen(filtered(100_000, 90_000)).plan
    assert plan.strategy is Strategy.POST
    assert plan.probe is not None
    assert plan.probe.hits == plan.candidates >= 10
    assert plan.probe.is_answered(10, 10)
    assert not plan.probe.is_answered(9, 10)


def test_a_probe_that_looks_less_hard_than_the_search_is_no_answer() -> None:
    plans = everything(chosen(filtered(100_000, 20_000)))
    selector = next(plan for plan in plans if plan.strategy is Strategy.SELECTOR)
    assert selector.probe is not None
    assert not selector.probe.is_answered(64, 10)


def test_a_filter_that_half_agrees_is_searched_harder() -> None:
    known = filtered(1_000_000, 500_000)
    ways = [
        {plan.way: plan.ef_search for plan in everything(chosen(known.probed(passing, 64)))}
        for passing in (32, 8)
    ]
    assert ways[1]["hnsw/selector"] > ways[0]["hnsw/selector"]


def test_the_same_choice_is_made_once() -> None:
    assert chosen(filtered(5_000, 70)) is chosen(filtered(5_000, 70))


def test_a_bet_is_compared_by_what_it_costs_when_it_is_lost() -> None:
    known = Facts(spans=200_000, matches=20_000, conditions=(("tags", 20_000),), engines=GRAPH)
    for agreement in (0.0, 0.25, 1.0):
        choice = chosen(replace(known, agreement=agreement))
        scan = next(one for one in everything(choice) if one.is_exact)
        for one in everything(choice):
            lost = 0.0 if one.probe is None else (1 - agreement) * scan.cost_us
            assert one.expected_us == pytest.approx(one.cost_us + lost)
        assert choice.plan.expected_us == min(one.expected_us for one in everything(choice))


def test_a_filter_that_never_agrees_is_scanned_and_one_that_always_does_is_not() -> None:
    known = Facts(spans=200_000, matches=20_000, conditions=(("tags", 20_000),), engines=GRAPH)
    assert chosen(replace(known, agreement=0.0)).plan.is_exact
    assert chosen(replace(known, agreement=1.0)).plan.strategy is Strategy.POST


def test_scans_of_few_rows_are_corrected_by_themselves() -> None:
    known = Facts(spans=200_000, matches=500, conditions=(("tags", 500),))
    few, many = chosen(known).plan, chosen(replace(known, matches=50_000)).plan
    assert (few.way, many.way) == ("exact/few", "exact/scan")


@given(facts(), limits, recalls, models)
def test_more_effort_never_costs_less_nor_goes_beyond_the_longest_list(
    known: Facts, limit: int, recall: float, model: CostModel
) -> None:
    before: dict[str, float] = {}
    for effort in EFFORTS:
        harder = replace(known, effort=effort)
        plans = everything(chosen(harder, limit=limit, recall=recall, model=model))
        assert all(plan.ef_search <= MOST_EF for plan in plans)
        costs = {plan.way: plan.cost_us for plan in plans}
        if before:
            assert set(costs) <= set(before)  # what cannot be reached once stays so
            assert all(cost >= before[way] * (1 - 1e-9) for way, cost in costs.items())
        before = costs


@given(facts(), limits, recalls, models)
def test_an_index_that_no_list_is_long_enough_for_is_scanned(
    known: Facts, limit: int, recall: float, model: CostModel
) -> None:
    local = replace(known, engines=known.engines - {Engine.MILVUS}, effort=UNREACHABLE)
    choice = chosen(local, limit=limit, recall=recall, model=model)
    assert choice.plan.is_exact
    assert choice.rejected == ()


def test_more_effort_turns_to_a_scan_where_that_is_cheaper() -> None:
    small = Facts(spans=30_000, matches=30_000, engines=GRAPH)
    assert not chosen(small).plan.is_exact
    assert chosen(replace(small, effort=16.0)).plan.is_exact
    large = replace(small, spans=1_000_000, matches=1_000_000)
    assert chosen(replace(large, effort=6.0)).plan.engine is Engine.HNSW


def test_an_explanation_says_what_was_measured_of_the_index() -> None:
    large = Facts(spans=1_000_000, matches=1_000_000, engines=GRAPH)
    assert "as hard as most" not in explain(chosen(large))
    assert "must be searched 4 times as hard as most." in explain(chosen(replace(large, effort=4)))
    assert "finds too little" in explain(chosen(replace(large, effort=UNREACHABLE)))
