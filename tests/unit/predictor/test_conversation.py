import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.predictor.conversation import MAX_TEXT_BYTES, leans_back, read_conversation

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
    asked = read_conversation(
        ["tell me a joke", "how do I renew my passport?", "and for a child?", "why?"]
    )
    assert asked.question == "why?"
    assert asked.text == "how do I renew my passport?\nand for a child?\nwhy?"
    assert asked.extra_text == "tell me a joke\n" + asked.text
    assert asked.is_joined


def test_a_whole_question_is_searched_alone_and_compared_with_the_conversation() -> None:
    asked = read_conversation(["my card was stolen", "how do I order a replacement card?"])
    assert asked.text == asked.question
    assert asked.extra_text == "my card was stolen\nhow do I order a replacement card?"
    assert not asked.is_joined


def test_a_single_turn_has_no_conversation() -> None:
    assert read_conversation(["why?"]).extra_text == ""


@given(TURNS)
def test_the_question_ends_the_search_text(turns: list[str]) -> None:
    asked = read_conversation(turns)
    assert asked.question == turns[-1]
    assert asked.text.endswith(asked.question)
    assert asked.extra_text.endswith(asked.text) or not asked.extra_text


def test_earlier_turns_give_way_when_the_text_is_too_long() -> None:
    asked = read_conversation(["x" * MAX_TEXT_BYTES, "how do I do it?"])
    assert asked.text == asked.extra_text == "how do I do it?"
