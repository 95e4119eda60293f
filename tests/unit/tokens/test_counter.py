import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.tokens.counter import Tokens, _pieces


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    found = Tokens()
    found.warm()
    return found


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("hello world", 2), ("How do I reset my password?", 7), ("<|endoftext|>", 7)],
)
def test_prose_is_counted_exactly(tokens: Tokens, text: str, count: int) -> None:
    assert tokens.count(text) == count


def test_one_long_run_is_counted_in_pieces(tokens: Tokens) -> None:
    # 8 letters a token at best; without the pieces this takes minutes.
    assert 1_000 <= tokens.count("a" * 100_000) <= 100_000


def test_a_count_is_the_same_again_and_long_texts_are_not_kept(tokens: Tokens) -> None:
    short, long = "How do I reset my password?", "How? " * 1000
    assert tokens.count(short) == tokens.count(short) == 7
    before = tokens._count_again.cache_info().currsize
    assert tokens.count(long) == tokens.count(long)
    assert tokens._count_again.cache_info().currsize == before


@settings(deadline=None)
@given(st.text("a \n", max_size=400))
def test_the_pieces_are_the_text(text: str) -> None:
    assert "".join(_pieces(text)) == text


@pytest.mark.slow
def test_token_ids_become_their_text(tokens: Tokens) -> None:
    assert tokens.decode([15339, 1917]) == "hello world"
    with pytest.raises(KeyError):
        tokens.decode([10**9])
