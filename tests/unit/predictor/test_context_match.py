import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.predictor.context_match import (
    FIXED,
    ActionMatch,
    Weights,
    completeness,
    context_similarities,
    domain_similarity,
    emotion_similarity,
    match_action,
)
from arenalab.predictor.neighbourhood import Situation

SITUATIONS = st.builds(
    Situation,
    domain=st.sampled_from(["", "a", "a/b", "a/c", "d"]),
    emotion=st.sampled_from(["", "worried", "pleased", "negative", "grue"]),
    stakes=st.sampled_from([None, 1, 2, 3]),
    actions=st.lists(st.sampled_from("xyz"), max_size=4).map(tuple),
)


def context_similarity(
    query: Situation, past: Situation, semantic: float, weights: Weights = FIXED
) -> float:
    """Returns the similarity to one past situation."""
    return float(context_similarities(query, [past], np.array([semantic]), weights)[0])


def test_every_factor_has_its_weight() -> None:
    query = Situation("a/b", "worried", 3, ("x", "y"))
    past = Situation("a/c", "pleased", 1, ("x", "z"))
    expected = 0.3 * 0.7 + 0.1 * 0 + 0.15 * 0 + 0.25 * 0.5 + 0.2 * 0.8
    assert context_similarity(query, past, 0.8) == pytest.approx(expected)


def test_factors_that_one_side_lacks_do_not_count() -> None:
    past = Situation("a", "pleased", 1, ("x",))
    assert context_similarity(Situation(), past, 0.8) == pytest.approx(0.8)
    assert context_similarity(Situation(stakes=2), past, 1.0) == pytest.approx(
        (0.15 * 0.5 + 0.2) / 0.35
    )


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [("a", "a", 1.0), ("a/b", "a/c", 0.7), ("a", "a/b", 0.7), ("a/b", "c/b", 0.3)],
)
def test_domains_with_one_parent_are_alike(left: str, right: str, expected: float) -> None:
    assert domain_similarity(left, right) == domain_similarity(right, left) == expected


@pytest.mark.parametrize(
    ("expected", "action", "match"),
    [
        ("ask_question", "ask_question", ActionMatch.EXACT),
        ("ask_question", "ask_questions", ActionMatch.FUZZY),
        ("ask_question", "question_answered", ActionMatch.NONE),
        ("ask_question_again", "question_ask", ActionMatch.SEMANTIC),
        ("ask_question", "pay", ActionMatch.NONE),
    ],
)
def test_actions_match_by_letters_or_by_words(
    expected: str, action: str, match: ActionMatch
) -> None:
    assert match_action(expected, action) is match


def test_a_trajectory_is_whole_from_five_steps_on() -> None:
    assert [completeness(depth) for depth in (0, 1, 5, 10)] == [0.0, 0.2, 1.0, 1.0]


@given(SITUATIONS, SITUATIONS, st.floats(-1, 1))
def test_context_similarity_is_symmetric_and_a_share(
    query: Situation, past: Situation, semantic: float
) -> None:
    similarity = context_similarity(query, past, semantic)
    assert 0.0 <= similarity <= 1.0
    assert similarity == context_similarity(past, query, semantic)
    assert context_similarity(query, query, 1.0) == pytest.approx(1.0)


def test_other_weights_count_other_factors_and_none_counts_all_alike() -> None:
    query, past = Situation("a", stakes=3), Situation("b", stakes=3)
    only_stakes = Weights(0, 0, 1, 0, 0)
    assert context_similarity(query, past, 0.1, only_stakes) == pytest.approx(1.0)
    only_actions = Weights(0, 0, 0, 1, 0)
    assert context_similarity(query, past, 0.1, only_actions) == pytest.approx((0.3 + 1 + 0.1) / 3)


def test_rows_of_many_situations_are_those_of_each_alone() -> None:
    query = Situation("a/b", "worried", 3, ("x", "y"))
    past = [Situation("a/c"), Situation("a/c"), Situation(), Situation("d", "pleased", 2, ("x",))]
    semantic = np.array([0.9, 0.2, -0.5, 0.4])
    together = context_similarities(query, past, semantic)
    alone = [context_similarity(query, p, s) for p, s in zip(past, semantic, strict=True)]
    assert together.tolist() == pytest.approx(alone)


def test_names_of_one_feeling_are_alike_and_opposite_feelings_are_not() -> None:
    assert emotion_similarity("frustrated", "negative") > 0.9
    assert emotion_similarity("frustrated", "pleased") == 0.0
    assert emotion_similarity("grue", "grue") == 1.0
    assert emotion_similarity("grue", "pleased") == 0.0
