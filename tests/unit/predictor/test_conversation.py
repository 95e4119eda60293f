import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.predictor.conversation import MAX_TEXT_BYTES, leans_back, read_conversation
from arenalab.predictor.ellipsis import replaced

TURNS = st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=8).filter(
    lambda turns: bool(turns[-1].strip())
)


@pytest.mark.parametrize(
    "text",
    ["and on Windows?", "what about refunds for flights?", "how do I undo it?", "why?", "how so?"],
)
def test_a_follow_up_leans_on_what_came_before(text: str) -> None:
    assert leans_back(text)


@pytest.mark.parametrize(
    "text",
    [
        "what is my balance this month?",
        "how do I restart the search service?",
        "does it matter whether the ledger is on another disk?",
        "cancel my order please",
    ],
)
def test_a_whole_question_stands_alone(text: str) -> None:
    assert not leans_back(text)


def test_a_follow_up_is_searched_with_the_turn_that_it_leans_on() -> None:
    turns = ["tell me a joke", "how do I renew my passport?", "how long does it take?", "why?"]
    asked = read_conversation(turns)
    assert asked.question == "why?"
    assert asked.text == "\n".join(turns[1:])
    assert asked.extra_text == "\n".join(turns)
    assert asked.is_joined
    assert asked.opening == turns[1]
    assert asked.terms == {"long", "take"}
    assert not asked.is_dangling


@pytest.mark.parametrize(
    ("opening", "follow_up", "read"),
    [
        (
            "how do I install docker on Linux?",
            "and for Windows?",
            "how do I install docker for Windows?",
        ),
        (
            "how do I install docker on Linux?",
            "what about macOS",
            "how do I install docker on macOS?",
        ),
        (
            "how do I renew my passport?",
            "and for a child?",
            "how do I renew my passport for a child?",
        ),
        ("can I pay with a card in Japan?", "and in France?", "can I pay with a card in France?"),
        ("ship it to Rome by air", "and by sea", "ship it to Rome by sea"),
    ],
)
def test_a_phrase_takes_the_place_of_the_one_before(
    opening: str, follow_up: str, read: str
) -> None:
    asked = read_conversation([opening, follow_up])
    assert asked.text == read
    assert asked.question == follow_up
    assert asked.opening == opening


@pytest.mark.parametrize("follow_up", ["and how do I do that?", "what about refunds?", "why?"])
def test_a_follow_up_that_fits_no_place_is_read_after_the_turn(follow_up: str) -> None:
    opening = "how do I cancel my order?"
    assert replaced(opening, follow_up) is None
    assert read_conversation([opening, follow_up]).text == f"{opening}\n{follow_up}"


def test_each_follow_up_is_put_into_what_was_read_before() -> None:
    asked = read_conversation(
        ["how do I install docker on Linux?", "and on Windows?", "and on macOS?"]
    )
    assert asked.text == "how do I install docker on macOS?"
    assert asked.terms == {"window", "maco"}


@pytest.mark.parametrize(
    "turns",
    [
        ["what about the other one?"],
        ["how do I open the blue and the red box?", "what about the other one?"],
        ["compare the plans", "I take the latter"],
        ["and for Windows?"],
        ["what about Windows?"],
        ["or on Sundays"],
    ],
)
def test_what_points_at_nothing_that_is_named_is_dangling(turns: list[str]) -> None:
    assert read_conversation(turns).is_dangling


@pytest.mark.parametrize(
    "text",
    [
        "what time is it",
        "is it going to rain tomorrow?",
        "how do I undo it?",
        "and how do I close my savings account today?",
        "what about the rules for importing a car from Japan?",
        "the first line is not printed",
        "why?",
    ],
)
def test_a_lone_question_that_can_be_read_is_not_dangling(text: str) -> None:
    assert not read_conversation([text]).is_dangling


def test_a_whole_question_is_searched_alone_and_compared_with_the_conversation() -> None:
    asked = read_conversation(["my card was stolen", "how do I order a replacement card?"])
    assert asked.text == asked.question
    assert asked.extra_text == "my card was stolen\nhow do I order a replacement card?"
    assert not asked.is_joined


def test_a_single_turn_has_no_conversation() -> None:
    assert read_conversation(["why?"]).extra_text == ""


@given(TURNS)
def test_only_a_follow_up_is_read_with_what_it_leans_on(turns: list[str]) -> None:
    asked = read_conversation(turns)
    assert asked.question == turns[-1]
    assert asked.extra_text.endswith(asked.question) or not asked.extra_text
    assert asked.is_joined == bool(asked.opening)
    assert asked.is_joined or not asked.terms


def test_earlier_turns_give_way_when_the_text_is_too_long() -> None:
    asked = read_conversation(["x" * MAX_TEXT_BYTES, "how do I do it?"])
    assert asked.text == asked.extra_text == "how do I do it?"
