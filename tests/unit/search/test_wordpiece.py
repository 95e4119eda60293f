"""WordPiece on a small vocabulary: what the cut does, and what holds for any text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.search.embedder.wordpiece import WordPiece

MAX_TOKENS = 16
PIECES = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "!", "'", ",", "-", ".", "[", "]"),
    *("the", "cafe", "un", "##aff", "##able", "##ing", "embed", "##ding", "mask"),
    *("京", "北", "strasse", "stra", "##ß", "##e", "a", "##b", "x", "##x"),
]
UNKNOWN, CLS, SEP = 1, 2, 3
WORDS = WordPiece("\n".join(PIECES) + "\n", MAX_TOKENS)


def pieces(text: str) -> list[str]:
    return [PIECES[number] for number in WORDS.encode(text)[1:-1]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unaffable", ["un", "##aff", "##able"]),
        ("the CAFÉ", ["the", "cafe"]),
        ("the cafe\u0301", ["the", "cafe"]),
        ("embedding!", ["embed", "##ding", "!"]),
        ("the-cafe's", ["the", "-", "cafe", "'", "[UNK]"]),
        ("北京", ["北", "京"]),
        ("the北cafe", ["the", "北", "cafe"]),
        ("Straße", ["stra", "##ß", "##e"]),
        ("the👍🏽 cafe", ["[UNK]", "cafe"]),
        ("th\u200be c\x00afe", ["the", "cafe"]),
        ("th\u00ade\u00a0cafe", ["the", "cafe"]),
        ("the\tcafe\r\nthe", ["the", "cafe", "the"]),
        ("the—cafe", ["the", "[UNK]", "cafe"]),
        ("unaffablez", ["[UNK]"]),
        ("", []),
        (" \u2003\n", []),
    ],
)
def test_a_text_is_cut_into_the_longest_known_pieces(text: str, expected: list[str]) -> None:
    assert pieces(text) == expected


def test_control_tokens_written_in_a_text_are_plain_characters() -> None:
    assert pieces("[MASK]") == ["[", "mask", "]"]
    assert SEP not in WORDS.encode("[SEP]")[:-1]


def test_a_word_longer_than_a_hundred_characters_is_unknown() -> None:
    longer = WordPiece("\n".join(PIECES), 256)

    assert longer.encode("x" * 100) == [CLS, PIECES.index("x"), *[PIECES.index("##x")] * 99, SEP]
    assert longer.encode("x" * 101) == [CLS, UNKNOWN, SEP]


def test_a_long_text_is_cut_but_counted_whole() -> None:
    text = "the " * 50

    assert len(WORDS.encode(text)) == MAX_TOKENS
    assert WORDS.encode(text)[-1] == SEP
    assert WORDS.count(text) == 52


@given(st.text(max_size=60))
def test_any_text_gives_ids_of_the_vocabulary_between_the_two_marks(text: str) -> None:
    ids = WORDS.encode(text)

    assert ids[0] == CLS
    assert ids[-1] == SEP
    assert len(ids) == min(WORDS.count(text), MAX_TOKENS)
    assert all(0 <= number < len(PIECES) for number in ids)
    assert not {CLS, SEP, 0} & set(ids[1:-1])


@given(st.text(max_size=60))
def test_the_same_text_always_gives_the_same_ids(text: str) -> None:
    assert WORDS.encode(text) == WordPiece("\n".join(PIECES), MAX_TOKENS).encode(text)


@given(st.text(st.characters(max_codepoint=0x7F), max_size=60))
def test_the_fast_path_for_ascii_agrees_with_the_general_one(text: str) -> None:
    # An ideograph sends the whole text down the general path and stands apart from its neighbours.
    assert pieces("北 " + text)[:MAX_TOKENS] == (["北", *pieces(text)])[: MAX_TOKENS - 2]


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_blank_between_two_texts_joins_their_pieces(left: str, right: str) -> None:
    assert WORDS.count(f"{left} {right}") == WORDS.count(left) + WORDS.count(right) - 2
