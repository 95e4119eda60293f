import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.contrast import (
    Contrast,
    OutcomeWording,
    Phrase,
    alikeness,
    compare,
    compare_all,
    parse,
    variation,
)

QUESTIONS = st.lists(
    st.sampled_from(
        [
            *("enable", "disable", "not", "before", "after", "retry", "3", "5", "logs", "to"),
            *("search", "Paris", "Rome", "monday", "hours", "minutes", "and", "who", "most"),
        ]
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
        ("does salt harm plants", "does plants harm salt", Contrast.ORDER),
        ("turn off the light on friday", "turn on the light", Contrast.OPPOSITE),
        ("is my account verified", "is my account unverified", Contrast.OPPOSITE),
        ("what to do before surgery", "what to do after surgery", Contrast.COMPARATIVE),
        ("what is the maximum payment", "what is the minimum payment", Contrast.COMPARATIVE),
        ("cook it for 5 minutes", "cook it for 5 hours", Contrast.NUMBER),
        ("is it open on monday", "is it open on sunday", Contrast.DATE),
        ("who won it in June 1944", "who won it in July 1944", Contrast.DATE),
        ("how to install it on Windows", "how to install it on macOS", Contrast.ENTITY),
        ("what did Ada Lovelace write", "what did Alan Turing write", Contrast.ENTITY),
        ("what is the capital of france", "what is the capital of spain", Contrast.ENTITY),
        ("how many legs has a spider", "how many legs has a beetle", Contrast.ITEM),
        ("when was alice paul born", "where was alice paul born", Contrast.ITEM),
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
        ("seal before send", "send after seal"),
        ("wait 60 minutes for it", "wait 1 hour for it"),
        ("convert euros and dollars", "convert dollars and euros"),
        ("is salt or sugar worse", "is sugar or salt worse"),
        ("delete my fb account", "delete my facebook account"),
        ("how do I remove a folder", "how do I delete a folder"),
        ("how do I install it", "how is the installation done"),
        ("set it up on Windows", "set it up"),
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


@given(QUESTIONS, st.lists(QUESTIONS, max_size=8))
def test_a_question_clashes_with_many_as_with_each(question: Phrase, others: list[Phrase]) -> None:
    others = [*others, parse(""), parse("enable"), parse("to")]
    assert compare_all(question, others) == [compare(question, other) for other in others]


@pytest.mark.parametrize(
    "prefix", ["un", "non", "dis", "de", "in", "im", "ir", "il", "mis", "anti"]
)
def test_a_word_and_the_same_after_a_prefix_are_opposites(prefix: str) -> None:
    plain, turned = parse("is it usable"), parse(f"is it {prefix}usable")
    assert compare(plain, turned) == compare(turned, plain) == Contrast.OPPOSITE
    assert compare_all(parse("usable"), [parse(f"{prefix}usable")]) == [Contrast.OPPOSITE]
    assert compare(plain, parse("is it reusable")) is Contrast.NONE


@given(QUESTIONS, QUESTIONS)
def test_a_clash_is_mutual_and_never_with_itself(
    left: Phrase,
    right: Phrase,
) -> None:
    assert compare(left, right) == compare(right, left)
    assert compare(left, left) is Contrast.NONE
    assert 0 <= alikeness(left, right) <= alikeness(left, left) == 1


@given(st.lists(QUESTIONS, max_size=5), QUESTIONS)
def test_more_questions_vary_more(questions: list[Phrase], another: Phrase) -> None:
    kinds = variation(questions)
    assert kinds & variation([*questions, another]) == kinds


def test_only_the_opposites_that_an_outcome_shows_are_harmless() -> None:
    louder, quieter = parse("increase the volume"), parse("decrease the volume")
    most = parse("the maximum volume")
    flags = compare(parse("the minimum volume"), most)
    assert flags == Contrast.COMPARATIVE
    outcome = [louder, quieter, most]
    assert OutcomeWording(outcome).remaining(flags, parse("the minimum volume"), most) == flags
    flags = compare(quieter, louder)
    assert OutcomeWording(outcome).remaining(flags, quieter, louder) is Contrast.NONE


def test_an_outcome_hangs_on_the_words_that_most_of_its_questions_hold() -> None:
    asked, evidence = parse("translate cheese into latin"), parse("translate cheese into french")
    flags = compare(asked, evidence)
    assert flags == Contrast.ENTITY
    french = [evidence, parse("cheese in french"), parse("french for cheese")]
    assert OutcomeWording(french).remaining(flags, asked, evidence) == flags
    free = [evidence, parse("say cheese in greek"), parse("translate hello")]
    assert OutcomeWording(free).remaining(flags, asked, evidence) is Contrast.NONE


@given(st.sampled_from(list(Contrast)), QUESTIONS, QUESTIONS, st.lists(QUESTIONS, max_size=5))
def test_an_outcome_only_takes_clashes_away(
    flags: Contrast, question: Phrase, evidence: Phrase, outcome: list[Phrase]
) -> None:
    kept = OutcomeWording(outcome).remaining(flags, question, evidence)
    assert kept & flags == kept
