import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.predictor.neighbourhood import Memory
from arenalab.predictor.outcomes import (
    Group,
    Method,
    method_of,
    output_of,
    reasoning_of,
)

from .made_up import groups_by_vote

VOTES = st.lists(st.tuples(st.sampled_from("abcd"), st.floats(-1, 1)), max_size=30)


def _memories(outcomes: str) -> list[Memory]:
    return [Memory(str(n), f"question {n}", outcome) for n, outcome in enumerate(outcomes)]


def _groups(*shares: float) -> list[Group]:
    return [Group(f"outcome {n}", (n,), share, share) for n, share in enumerate(shares)]


def test_outcomes_that_differ_in_case_and_edges_are_one() -> None:
    memories = [Memory("1", "q", "Restart it."), Memory("2", "q", " restart IT.\n")]
    (group,) = groups_by_vote(memories, np.array([0.4, 0.4]))
    assert group.outcome == "Restart it."
    assert (group.members, group.share) == ((0, 1), 1.0)


@pytest.mark.parametrize(
    ("share", "method"),
    [
        (0.71, Method.MAJORITY),
        (0.70, Method.SYNTHESIS),
        (0.40, Method.SYNTHESIS),
        (0.39, Method.UNCERTAIN),
    ],
)
def test_the_share_decides_the_method(share: float, method: Method) -> None:
    assert method_of(_groups(share, 1 - share)) is method


def test_an_output_that_may_be_served_is_the_outcome_itself() -> None:
    groups = _groups(0.6, 0.4)
    for method in (Method.MAJORITY, Method.SYNTHESIS):
        assert output_of(groups, method) == "outcome 0"
    assert "alternatives hold 40%" in reasoning_of(groups, Method.SYNTHESIS, 0.8)


def test_an_uncertain_output_says_so_and_lists_the_options() -> None:
    groups = _groups(0.35, 0.33, 0.32)
    output = output_of(groups, Method.UNCERTAIN)
    assert "uncertain" in output
    assert all(group.outcome in output for group in groups)
    assert "No outcome reaches 40%" in reasoning_of(groups, Method.UNCERTAIN, 0.8)


def test_no_outcome_is_said_honestly() -> None:
    assert method_of([]) is Method.NONE
    assert "Nothing in memory" in output_of([], Method.NONE)
    assert "No span" in reasoning_of([], Method.NONE, 0.0)


@given(VOTES)
def test_shares_are_of_one_whole_and_fall_with_the_score(votes: list[tuple[str, float]]) -> None:
    memories = _memories("".join(outcome for outcome, _ in votes))
    groups = groups_by_vote(memories, np.array([weight for _, weight in votes]))
    assert sorted(at for group in groups for at in group.members) == list(range(len(votes)))
    shares = [group.share for group in groups]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1.0) or not any(shares)
