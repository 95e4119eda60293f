import random
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.contrast import Asked, ContrastKind, compare, contrast_pairs, parse

FAQ = [
    Asked("How do I enable tracing?", "set it"),
    Asked("What is the maximum size of a batch?", "1,000 rows"),
    Asked("How long is an export kept: 5 days?", "yes"),
    Asked("Does the office open on Monday?", "at nine"),
    Asked("How do I install the agent on Windows?", "run setup"),
    Asked("How do I change the plan of Acme from basic to premium?", "in billing"),
    Asked("Where does the gateway write its logs?", "to stdout"),
    Asked("Who owns the payment service?", "team blue"),
    Asked("Who owns the search service?", "team red"),
    Asked("When was the search service started?", "in 2020"),
    Asked("What does the manual of Contoso say?", "read it"),
]


def _made(asked: list[Asked]) -> dict[ContrastKind, dict[str, str]]:
    kinds: dict[ContrastKind, dict[str, str]] = defaultdict(dict)
    for pair in contrast_pairs(asked):
        kinds[pair.kind][pair.question] = pair.variant
    return kinds


def test_each_kind_of_change_is_made() -> None:
    made = _made(FAQ)
    assert set(made) == set(ContrastKind)
    assert (
        made[ContrastKind.NEGATION][FAQ[6].question] == "Where doesn't the gateway write its logs?"
    )
    assert made[ContrastKind.OPPOSITE][FAQ[0].question] == "How do I disable tracing?"
    assert made[ContrastKind.COMPARATIVE][FAQ[1].question] == "What is the minimum size of a batch?"
    assert made[ContrastKind.NUMBER][FAQ[2].question].startswith("How long is an export kept: ")
    assert "5" in made[ContrastKind.UNIT][FAQ[2].question]
    assert "days" not in made[ContrastKind.UNIT][FAQ[2].question]
    assert "Monday" not in made[ContrastKind.DATE][FAQ[3].question]
    assert "Windows" not in made[ContrastKind.ENTITY][FAQ[4].question]
    assert made[ContrastKind.ENTITY][FAQ[10].question] == "What does the manual of Acme say?"
    assert (
        made[ContrastKind.ORDER][FAQ[5].question]
        == "How do I change the plan of Acme from premium to basic?"
    )
    assert made[ContrastKind.ITEM][FAQ[9].question] == "When was the payment service started?"


@pytest.mark.parametrize(
    "question",
    [
        "How old was he?",  # "how new" asks nothing
        "I don't know where my phone is",  # negated already
        "the 1st of them",
        "video in h264",
        "it is on top of all others",
        "something on at the theatre",
    ],
)
def test_what_nobody_would_write_is_not_made(question: str) -> None:
    kinds = {ContrastKind.NEGATION, ContrastKind.OPPOSITE, ContrastKind.NUMBER}
    made = contrast_pairs([Asked(question, "yes")])
    assert not [pair for pair in made if pair.kind in kinds]


def test_what_an_outcome_does_not_hang_on_makes_no_pair() -> None:
    timers = [
        Asked(f"set a timer for {n} minutes on {day}", "timer")
        for n, day in ((5, "monday"), (10, "friday"), (7, "sunday"))
    ]
    kinds = {pair.kind for pair in contrast_pairs([*timers, *FAQ]) if pair.outcome == "timer"}
    assert not kinds & {ContrastKind.NUMBER, ContrastKind.UNIT, ContrastKind.DATE}
    alone = {pair.kind for pair in contrast_pairs([timers[0]])}
    assert {ContrastKind.NUMBER, ContrastKind.UNIT, ContrastKind.DATE} <= alone


def test_a_variant_that_the_dataset_answers_alike_makes_no_pair() -> None:
    both = [Asked("How do I enable it?", "ask"), Asked("how do i disable it", "ask")]
    assert not [p for p in contrast_pairs(both) if p.kind is ContrastKind.OPPOSITE]
    other = [Asked("How do I enable it?", "ask"), Asked("how do i disable it", "do not")]
    assert [p for p in contrast_pairs(other) if p.kind is ContrastKind.OPPOSITE]


def test_at_most_so_many_of_a_kind_are_made() -> None:
    asked = [Asked(f"How do I enable feature{n}?", f"so {n}") for n in range(30)]
    made = [p for p in contrast_pairs(asked, per_kind=7) if p.kind is ContrastKind.OPPOSITE]
    assert len(made) == 7


def test_no_question_makes_no_pair() -> None:
    assert contrast_pairs([]) == []
    assert contrast_pairs([Asked("", "x"), Asked("?!", "y")]) == []


@given(st.lists(st.sampled_from(FAQ), max_size=20), st.integers(0, 5), st.randoms())
def test_the_same_questions_in_any_order_make_the_same_pairs(
    asked: list[Asked], seed: int, shuffler: random.Random
) -> None:
    pairs = contrast_pairs(asked, seed=seed)
    shuffled = list(asked)
    shuffler.shuffle(shuffled)
    assert contrast_pairs(shuffled, seed=seed) == pairs


WORDS = st.sampled_from(
    [
        *("how", "what", "is", "are", "i", "do", "not", "enable", "most", "5", "days", "monday"),
        *("Paris", "from", "to", "the", "in", "it", "on", "Acme", "and"),
    ]
)


@given(st.lists(st.tuples(st.lists(WORDS, max_size=8), st.sampled_from("abc")), max_size=6))
def test_every_pair_differs_and_keeps_its_question(rows: list[tuple[list[str], str]]) -> None:
    asked = [Asked(" ".join(words), outcome) for words, outcome in rows]
    for pair in contrast_pairs(asked):
        assert Asked(pair.question, pair.outcome) in asked
        assert pair.variant != pair.question
        assert Asked(pair.variant, pair.outcome) not in asked


def test_the_guard_sees_every_pair_of_a_faq() -> None:
    assert all(compare(parse(p.question), parse(p.variant)) for p in contrast_pairs(FAQ))
