"""How hard to look: harder for a higher recall, more hits or fewer spans that pass."""

from hypothesis import given
from hypothesis import strategies as st

from arenalab.planning import recall

recalls = st.floats(0.01, 0.9999)
limits = st.integers(1, 1000)
spans = st.integers(1, 10_000_000)
shares = st.floats(1e-6, 1.0)
efforts = st.floats(1.0, recall.UNREACHABLE)
BEYOND = 10**9


def _ef(target: float, limit: int, size: int, share: float) -> int:
    return recall.ef_for(target, limit, size, share) or BEYOND


@given(recalls, recalls, limits, spans, shares)
def test_a_higher_recall_never_lowers_the_list(
    one: float, other: float, limit: int, size: int, share: float
) -> None:
    low, high = sorted((one, other))
    assert _ef(low, limit, size, share) <= _ef(high, limit, size, share)
    assert (recall.probes_for(low, limit) or 0) <= (recall.probes_for(high, limit) or BEYOND)


@given(recalls, limits, spans, shares, shares)
def test_fewer_spans_that_pass_never_lower_the_list(
    target: float, limit: int, size: int, one: float, other: float
) -> None:
    rare, common = sorted((one, other))
    assert _ef(target, limit, size, rare) >= _ef(target, limit, size, common)
    rare_probes = recall.probes_for(target, limit, rare) or 0
    assert rare_probes >= (recall.probes_for(target, limit, common) or 0)


@given(recalls, limits, spans, shares, efforts)
def test_a_list_is_within_bounds_and_holds_what_is_re_scored(
    target: float, limit: int, size: int, share: float, effort: float
) -> None:
    ef = recall.ef_for(target, limit, size, share, effort=effort)
    assert ef is None or recall.candidates_of(limit) <= ef <= recall.MAX_EF


@given(limits, shares)
def test_enough_is_fetched_for_the_limit_to_pass_on_average(limit: int, share: float) -> None:
    assert recall.fetch_for(limit, share) * share >= limit * (1 - 1e-9)


@given(st.integers(1, 65_536), shares)
def test_lists_that_are_narrowed_and_widened_are_not_fewer(n_probe: int, share: float) -> None:
    assert recall.widened(recall.narrowed(n_probe, share), share) >= n_probe


def test_nothing_approximate_is_perfect() -> None:
    assert recall.ef_for(1.0, 10, 100_000) is None
    assert recall.probes_for(1.0, 10) is None


def test_the_list_of_the_measurement_is_found_again() -> None:
    assert 128 <= _ef(0.99, 10, 100_000, 1.0) <= 256
    assert 64 <= _ef(0.98, 10, 100_000, 1.0) <= 128
    assert 1800 <= _ef(0.99, 10, 100_000, 0.0125) <= 2300


@given(recalls, limits, spans, shares, efforts, efforts)
def test_an_index_that_needs_more_effort_never_gets_a_shorter_list(
    target: float, limit: int, size: int, share: float, one: float, other: float
) -> None:
    easy, hard = sorted((one, other))
    lists = [recall.ef_for(target, limit, size, share, effort=effort) for effort in (easy, hard)]
    probes = [recall.probes_for(target, limit, share, effort=effort) for effort in (easy, hard)]
    assert (lists[0] or BEYOND) <= (lists[1] or BEYOND)
    assert (probes[0] or BEYOND) <= (probes[1] or BEYOND)


@given(recalls, limits, spans, shares)
def test_no_list_reaches_what_is_unreachable(
    target: float, limit: int, size: int, share: float
) -> None:
    effort = recall.UNREACHABLE
    assert recall.ef_for(target, limit, size, share, effort=effort) is None
    assert recall.probes_for(target, limit, share, effort=effort) is None


def test_efforts_go_up_step_by_step_and_end() -> None:
    effort, steps = 1.0, [1.0]
    while effort < recall.UNREACHABLE:
        effort = recall.harder(effort)
        steps.append(effort)
    assert tuple(steps) == recall.EFFORTS
    assert recall.harder(effort) == recall.UNREACHABLE
    assert recall.harder(5.0) == 6.0
