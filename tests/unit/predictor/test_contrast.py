import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.predictor.contrast import Contrast, compare, variation
from arenalab.predictor.phrase import Phrase, parse

QUESTIONS = st.lists(
    st.sampled_from(
        ["enable", "disable", "not", "before", "after", "retry", "3", "5", "logs", "to", "search"]
    ),
    min_size=1,
    max_size=7,
).map(lambda words: parse(" ".join(words)))


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("which calls are retried", "which calls are not retried", Contrast.NEGATION),
        ("how do I enable tracing", "how do I disable tracing", Contrast.OPPOSITE),
        ("turn the light on", "turn the light off", Contrast.OPPOSITE),
        ("what does status 404 mean", "what does status 500 mean", Contrast.NUMBER),
        ("convert euros to dollars", "convert dollars to euros", Contrast.ORDER),
        ("seal before send", "send before seal", Contrast.ORDER),
    ],
)
def test_a_small_difference_that_flips_the_answer_is_seen(
    left: str, right: str, expected: Contrast
) -> None:
    assert compare(parse(left), parse(right)) & expected
    assert compare(parse(right), parse(left)) & expected


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("do not enable tracing", "disable tracing"),
        ("I don't know where my phone is", "where is my phone"),
        ("I can't pay rent", "what is the weather in rome"),
        ("a timer for 5 minutes", "set a timer"),
        ("turn off the light on friday", "turn on the light"),
        ("seal before send", "send after seal"),
    ],
)
def test_a_harmless_difference_is_no_clash(left: str, right: str) -> None:
    assert compare(parse(left), parse(right)) is Contrast.NONE


def test_an_outcome_shows_what_it_does_not_depend_on() -> None:
    timers = [parse("a timer for 5 minutes"), parse("a timer for 10 minutes")]
    assert variation(timers) == Contrast.NUMBER
    assert variation([parse("enable it"), parse("disable it")]) == Contrast.OPPOSITE
    assert variation([parse("pay"), parse("never pay")]) == Contrast.NEGATION
    assert variation([parse("rome to oslo"), parse("oslo to rome")]) == Contrast.ORDER
    assert variation(timers[:1]) is Contrast.NONE


@given(QUESTIONS, QUESTIONS)
def test_a_clash_is_mutual_and_never_with_itself(
    left: Phrase,
    right: Phrase,
) -> None:
    assert compare(left, right) == compare(right, left)
    assert compare(left, left) is Contrast.NONE


@given(st.lists(QUESTIONS, max_size=5), QUESTIONS)
def test_more_questions_vary_more(questions: list[Phrase], another: Phrase) -> None:
    kinds = variation(questions)
    assert kinds & variation([*questions, another]) == kinds
