"""The meter lets people's spans pass and garbage fail, whatever the metadata says."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.atomic import Metadata, Span, Stakes, Status
from arenalab.curator.meter import Grade, Scores, mean_of, measure, provenance, uniqueness
from arenalab.curator.neighbours import Neighbours, nearest
from arenalab.curator.texts import normalised, outcome_sense, question_sense, turns
from arenalab.testing.spans import make_span, span_strategy

FULL = {"domain": "banking", "stakes": Stakes.HIGH, "confirmed_by": "the bank"}


def alone(count: int) -> Neighbours:
    return Neighbours(np.full((count, 1), -1), np.full((count, 1), -1, np.float32))


def pair(similarity: float) -> Neighbours:
    return Neighbours(np.array([[1], [0]]), np.full((2, 1), similarity, np.float32))


def traced(question: str, outcome: str) -> Span:
    """A span that lacks nothing but, perhaps, sense."""
    span = make_span(question, outcome, domain="banking", stakes=Stakes.HIGH, confirmed_by="a bank")
    return span.with_metadata(Metadata(attributes={"file": "f.csv"}))


def one(span: Span) -> Scores:
    return measure([span], alone(1))[0]


def test_a_plain_question_and_answer_passes() -> None:
    scores = one(make_span("How do I reset my password?", "Use the link on the sign-in page."))
    assert scores.grade is not Grade.DISCARD


def test_a_confirmed_one_with_its_situation_is_a_diamond() -> None:
    scores = one(traced("How do I reset my password?", "Use the link on the sign-in page."))
    assert scores.grade is Grade.DIAMOND


@pytest.mark.parametrize(
    ("question", "outcome"),
    [
        ("asdf", "a real looking answer"),
        ("?!?", "a real looking answer"),
        ("hjkl hjkl", "."),
        ("How do I reset my password?", "n/a"),
        ("How do I reset my password?", "..."),
        ("How do I reset my password?", "how do I reset my password"),
        ("12345", "67890"),
    ],
)
def test_garbage_is_discarded_whatever_its_metadata(question: str, outcome: str) -> None:
    assert one(traced(question, outcome)).grade is Grade.DISCARD


def test_a_span_without_an_outcome_is_discarded() -> None:
    span = replace(traced("How do I reset my password?", "x"), status=Status.PENDING, if_ok=None)
    assert one(span).grade is Grade.DISCARD


def test_the_same_question_with_two_outcomes_discards_both() -> None:
    spans = [traced("Is the bank open today?", "Yes."), traced("is the bank open today", "No.")]
    assert {scores.grade for scores in measure(spans, pair(1.0))} == {Grade.DISCARD}


def test_two_outcomes_in_two_domains_do_not_contradict() -> None:
    there = make_span("Is it open today?", "No.", domain="shop", confirmed_by="a shop")
    scores = measure([traced("Is it open today?", "Yes."), there], pair(1.0))
    assert [one.coherence for one in scores] == [100, 100]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("When does a client need a key?", "When does a client not need a key?"),
        ("Why can I log in?", "Why can't I log in?"),
        ("What changed in 2023?", "What changed in 2024?"),
    ],
)
def test_a_negation_or_another_number_is_another_question(first: str, second: str) -> None:
    scores = measure([traced(first, "This."), traced(second, "That.")], pair(0.99))
    assert all(one.grade is not Grade.DISCARD and one.coherence == 100 for one in scores)


def test_support_by_a_paraphrase_makes_a_short_question_and_a_label_sensible() -> None:
    spans = [make_span("yes", "yes"), make_span("yes please", "yes")]
    lonely, supported = one(spans[0]), measure(spans, pair(1.0))[0]
    assert lonely.completeness == 0
    assert supported.completeness == 80
    assert supported.coherence == 100


def test_uniqueness_falls_with_the_nearest_neighbour() -> None:
    assert [uniqueness(s) for s in (-1.0, 0.7, 0.85, 1.0)] == pytest.approx([100, 100, 50, 0])


def test_a_synthetic_source_costs_provenance() -> None:
    seen = make_span("A question like others", "o", confirmed_by="me")
    assert provenance(seen) == 80
    assert provenance(replace(seen, source="synthetic")) == 40


def test_demand_and_stakes_raise_impact() -> None:
    spans = [make_span(f"How do I do thing {n}?", "Like this.") for n in range(4)]
    rare = one(spans[0]).impact
    wanted = measure(spans, alone(4))[0].impact
    high = one(make_span("How do I do thing 0?", "Like this.", stakes=Stakes.HIGH)).impact
    assert rare < wanted
    assert rare < high


def test_success_and_failure_with_one_outcome_say_nothing() -> None:
    span = traced("How do I reset my password?", "It works.")
    moot = replace(span, if_not="it works")
    assert one(moot).coherence == one(span).coherence / 2


@pytest.mark.slow
@given(st.lists(span_strategy(), min_size=1, max_size=6), st.integers(0, 1000))
def test_every_score_is_in_range_and_the_total_is_their_mean(
    spans: Sequence[Span], seed: int
) -> None:
    vectors = np.random.default_rng(seed).normal(size=(len(spans), 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for scores in measure(spans, nearest(vectors, 3)):
        five = (
            scores.completeness,
            scores.provenance,
            scores.impact,
            scores.uniqueness,
            scores.coherence,
        )
        assert all(0 <= score <= 100 for score in five)
        assert scores.total == pytest.approx(sum(five) / 5, abs=0.051)


def test_the_mean_of_nothing_is_nothing() -> None:
    assert mean_of([]).total == 0
    assert mean_of([Scores(100, 50, 0, 0, 0), Scores(0, 50, 0, 0, 100)]).provenance == 50


@pytest.mark.parametrize(
    ("text", "sense"),
    [
        ("", 0.0),
        ("asdf", 0.2),
        ("reset password", 0.6),
        ("reset my password", 1.0),
        ("go go go", 0.2),
        ("我的密码忘记了", 1.0),
        ("a ################", 0.1 / 4.25),
    ],
)
def test_sense_of_a_question_grows_with_its_words(text: str, sense: float) -> None:
    assert question_sense(text) == pytest.approx(sense, abs=0.01)


@pytest.mark.parametrize(
    ("text", "sense"), [("42", 1), ("y", 0.5), ("否", 1), ("N/A", 0), ("-", 0), ("balance", 1)]
)
def test_a_label_or_a_number_can_be_an_outcome(text: str, sense: float) -> None:
    assert outcome_sense(text) == sense


def test_texts_are_the_same_but_for_case_spacing_and_the_last_mark() -> None:
    assert normalised("  What\tis IT?? ") == normalised("what is it")
    assert normalised("What is C++?") != normalised("What is C?")
    assert normalised("???") == "???"
    assert turns("Why isn\u2019t it?") == turns("why is it NOT") == {"not"}
    assert turns("Why is it?") == frozenset()
