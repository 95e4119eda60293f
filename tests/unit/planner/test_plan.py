"""Plans: the cheapest that can be carried out, and why."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.planner.facts import Engine, Facts, Strategy, Wanted
from arenalab.planner.plan import MAX_CANDIDATES, Plan, ef_for, plan

BOTH = frozenset({Engine.EXACT, Engine.HNSW})
EXACT_ONLY = frozenset({Engine.EXACT})


def facts(spans: int, engines: frozenset[Engine] = BOTH, **counts: dict[str, int]) -> Facts:
    return Facts(version="ab" * 32, spans=spans, engines=engines, **counts)  # type: ignore[arg-type]


def best(
    known: Facts, wanted: Wanted | None = None, *, limit: int = 10, recall: float = 0.98
) -> Plan:
    return plan(known, wanted or Wanted(), limit=limit, recall_target=recall)[0]


def test_a_small_collection_is_scanned() -> None:
    chosen = best(facts(2_000))
    assert (chosen.engine, chosen.strategy, chosen.ef_search) == (Engine.EXACT, Strategy.NONE, 0)


def test_a_large_collection_is_walked() -> None:
    chosen = best(facts(1_000_000))
    assert (chosen.engine, chosen.strategy) == (Engine.HNSW, Strategy.NONE)
    assert chosen.ef_search >= 64
    assert chosen.candidates >= 10


def test_few_candidates_of_a_large_collection_are_scanned() -> None:
    known = facts(1_000_000, domains={"rare": 3_000, "common": 997_000})
    chosen = best(known, Wanted(domains=("rare",)))
    assert (chosen.engine, chosen.strategy) == (Engine.EXACT, Strategy.SCAN)
    assert chosen.expected_matches == 3_000


def test_many_candidates_of_a_large_collection_are_selected_in_the_graph() -> None:
    known = facts(1_000_000, domains={"rare": 3_000, "common": 997_000})
    chosen = best(known, Wanted(domains=("common",)))
    assert (chosen.engine, chosen.strategy) == (Engine.HNSW, Strategy.SELECTOR)


@pytest.mark.parametrize("spans", [100_000, 1_000_000])
def test_scan_and_graph_cross_near_28_roots_of_the_size(spans: int) -> None:
    def strategy(matches: float) -> Strategy:
        known = facts(spans, domains={"some": round(matches)})
        return best(known, Wanted(domains=("some",)), recall=0.98, limit=1).strategy

    root = math.sqrt(spans)
    assert strategy(20 * root) is Strategy.SCAN
    assert strategy(40 * root) is Strategy.SELECTOR


def test_an_engine_that_is_not_built_is_never_planned() -> None:
    chosen, rejected = plan(facts(1_000_000, EXACT_ONLY), Wanted(), limit=10, recall_target=0.9)
    assert chosen.engine is Engine.EXACT
    assert rejected == []
    assert "No other engine" in chosen.explanation


def test_a_perfect_recall_leaves_the_scan_alone() -> None:
    chosen, rejected = plan(facts(1_000_000), Wanted(), limit=10, recall_target=1.0)
    assert chosen.engine is Engine.EXACT
    assert rejected == []


def test_the_most_selective_condition_comes_first() -> None:
    known = facts(
        10_000,
        domains={"a": 5000, "b": 5000},
        actions={"ask": 100, "do": 9900},
        statuses={"completed": 9000, "failed": 1000},
    )
    wanted = Wanted(domains=("a",), actions=("ask",), statuses=("completed",))
    chosen = best(known, wanted)
    assert chosen.steps == (("actions", 0.01), ("domains", 0.5), ("statuses", 0.9))
    assert chosen.expected_matches == 45


def test_the_explanation_names_its_figures() -> None:
    known = facts(1_000_000, domains={"rare": 3_000, "common": 997_000})
    chosen, rejected = plan(known, Wanted(domains=("rare",)), limit=10, recall_target=0.98)
    for figure in ("3,000", "1,000,000", "domains 0.30%", f"{chosen.cost_us:,.0f} µs"):
        assert figure in chosen.explanation
    assert f"hnsw/selector {rejected[0].cost_us:,.0f} µs" in chosen.explanation
    assert f"exact/scan costs {chosen.cost_us:,.0f} µs" in rejected[0].explanation


def test_an_empty_collection_has_a_plan() -> None:
    chosen = best(facts(0), Wanted(domains=("a",), min_quality=50.0))
    assert chosen.engine is Engine.EXACT
    assert chosen.expected_matches == 0


@pytest.mark.parametrize(("recall", "ef"), [(0.5, 16), (0.98, 64), (0.99, 128), (0.999, 1280)])
def test_recall_sets_the_candidate_list(recall: float, ef: int) -> None:
    assert ef_for(recall) == ef


def test_a_recall_that_no_list_reaches_has_none() -> None:
    assert ef_for(1.0) is None
    assert ef_for(0.9999) is None


_counts = st.dictionaries(st.sampled_from("abcde"), st.integers(0, 10**6), min_size=1)


@given(_counts, st.sets(st.sampled_from("abcdef")), st.integers(1, 1000), st.floats(0.01, 1.0))
def test_every_plan_can_be_carried_out(
    counts: dict[str, int], domains: set[str], limit: int, recall: float
) -> None:
    known = facts(sum(counts.values()), domains=counts)
    chosen, rejected = plan(
        known, Wanted(domains=tuple(domains)), limit=limit, recall_target=recall
    )
    costs = [way.cost_us for way in [chosen, *rejected]]
    assert costs == sorted(costs)
    for way in [chosen, *rejected]:
        assert way.cost_us >= 0
        assert limit <= way.candidates <= MAX_CANDIDATES
        assert 0 <= way.expected_matches <= known.spans
        assert (way.ef_search == 0) is (way.engine is Engine.EXACT)
        assert way.ef_search <= MAX_CANDIDATES
        assert all(0 <= share <= 1 for _, share in way.steps)
        assert (way.strategy is Strategy.NONE) is (not way.steps)


@given(st.integers(1, 10**7), st.integers(1, 10**7))
def test_a_larger_collection_never_costs_less(one: int, other: int) -> None:
    small, large = sorted((one, other))
    assert best(facts(small)).cost_us <= best(facts(large)).cost_us


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_more_matches_never_make_a_scan_cheaper(one: int, other: int) -> None:
    few, many = (
        best(facts(10**6, EXACT_ONLY, domains={"a": count}), Wanted(domains=("a",))).cost_us
        for count in sorted((one, other))
    )
    assert few <= many


@given(st.floats(0.5, 0.999), st.floats(0.5, 0.999))
def test_more_recall_never_costs_less(one: float, other: float) -> None:
    low, high = sorted((one, other))
    known = facts(10**6)
    assert best(known, recall=low).cost_us <= best(known, recall=high).cost_us
