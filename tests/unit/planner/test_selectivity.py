"""Selectivities against spans counted one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.planner.facts import Engine, Facts, Wanted
from arenalab.planner.selectivity import (
    passing_share,
    selectivities,
    share_before,
    share_of_quality,
)


def facts(**values: object) -> Facts:
    return Facts(version="", engines=frozenset({Engine.EXACT}), **values)  # type: ignore[arg-type]


def test_a_domain_holds_those_below_it_but_not_its_namesakes() -> None:
    known = facts(spans=10, domains={"a": 1, "a/b": 2, "a/b/c": 3, "ab": 4})
    assert selectivities(known, Wanted(domains=("a",))) == {"domains": 0.6}
    assert selectivities(known, Wanted(domains=("a/b",))) == {"domains": 0.5}
    assert selectivities(known, Wanted(domains=("a", "a/b"))) == {"domains": 0.6}


def test_any_of_several_values_may_match() -> None:
    known = facts(spans=10, actions={"ask": 3, "do": 2, "be": 5})
    assert selectivities(known, Wanted(actions=("ask", "do", "ask"))) == {"actions": 0.5}


def test_all_of_several_tags_must_match() -> None:
    known = facts(spans=10, tags={"a": 5, "b": 2})
    assert selectivities(known, Wanted(tags=("a", "b"))) == {"tags": pytest.approx(0.1)}
    assert selectivities(known, Wanted(tags=("a", "z"))) == {"tags": 0.0}


def test_a_tag_beyond_those_counted_is_as_rare_as_the_last() -> None:
    known = facts(spans=10, tags={"a": 5, "b": 2}, all_tags=False)
    assert selectivities(known, Wanted(tags=("z",))) == {"tags": 0.2}


def test_a_window_of_time_is_the_difference_of_its_bounds() -> None:
    known = facts(spans=100, when_percentiles=tuple(range(0, 1010, 10)))
    wanted = Wanted(not_before=250, before=300)
    assert selectivities(known, wanted) == {"before": 0.3, "not_before": 0.75}
    assert passing_share(known, wanted) == pytest.approx(0.05)
    assert passing_share(known, Wanted(not_before=300, before=250)) == 0.0


def test_conditions_are_multiplied() -> None:
    known = facts(spans=100, domains={"a": 50}, actions={"ask": 20})
    assert passing_share(known, Wanted(domains=("a",), actions=("ask",))) == pytest.approx(0.1)
    assert passing_share(known, Wanted()) == 1.0


@pytest.mark.parametrize(
    ("least", "share"),
    [(0, 1.0), (10, 0.9), (95, 0.15), (90, 0.2), (100, 0.1)],
)
def test_quality_is_spread_evenly_inside_a_bucket(least: float, share: float) -> None:
    buckets = (1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1)
    assert share_of_quality(buckets, 10, least) == pytest.approx(share)


def test_a_score_that_was_not_measured_never_passes() -> None:
    assert share_of_quality((0,) * 10 + (5,), 10, 0.0) == 0.5


@given(
    st.lists(st.integers(-(10**18), 10**18), min_size=1, max_size=300),
    st.integers(-(10**18), 10**18),
)
def test_the_share_of_earlier_times_is_right_to_a_percentile(
    times: list[int], instant: int
) -> None:
    times.sort()
    percentiles = tuple(times[round(p / 100 * (len(times) - 1))] for p in range(101))
    share = share_before(percentiles, instant)
    true = sum(time < instant for time in times) / len(times)
    assert 0 <= share <= 1
    # One percentile, or one time where there are fewer than a hundred.
    assert abs(share - true) <= 0.0101 + 1.0 / len(times)


@given(st.tuples(*[st.integers(0, 100)] * 11), st.floats(0, 100), st.floats(0, 100))
def test_a_higher_bar_never_lets_more_pass(
    buckets: tuple[int, ...], one: float, other: float
) -> None:
    low, high = sorted((one, other))
    spans = sum(buckets) or 1
    assert share_of_quality(buckets, spans, high) <= share_of_quality(buckets, spans, low) + 1e-9
