import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.predictor.sentences import MAX_SENTENCES, holding, sentences_of, squeezed

TEXTS = st.text("aB1. !?\n\"'…。)", max_size=120)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("freeze_account", ["freeze_account"]),
        ("Open it. Then wait!  Is it done?", ["Open it.", "Then wait!", "Is it done?"]),
        ('He said "stop." Then he left.', ['He said "stop."', "Then he left."]),
        ("1. Open it.\n2. Close it.", ["1. Open it.", "2. Close it."]),
        (
            "Use a tool, e.g. a saw. Version 1.5 works.",
            ["Use a tool, e.g. a saw.", "Version 1.5 works."],
        ),
        ("First line\nsecond line\n", ["First line", "second line"]),
        ("See example.com/a.b for more", ["See example.com/a.b for more"]),
        (" \n ", []),
    ],
)
def test_a_text_is_cut_where_a_sentence_or_a_line_ends(text: str, sentences: list[str]) -> None:
    assert sentences_of(text) == sentences


@given(TEXTS)
def test_nothing_but_space_is_lost_and_each_sentence_is_in_the_text(text: str) -> None:
    sentences = sentences_of(text)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(sentence.strip() == sentence and sentence for sentence in sentences)
    assert all(holding(sentence, [squeezed(text)]) == [0] for sentence in sentences)


def test_the_last_sentence_of_a_long_text_holds_the_rest() -> None:
    sentences = sentences_of("One more. " * 200)
    assert len(sentences) == MAX_SENTENCES
    assert sentences[-1].count("One more.") == 200 - MAX_SENTENCES + 1
