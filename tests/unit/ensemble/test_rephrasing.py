from hypothesis import given
from hypothesis import strategies as st

from arenalab.api.common.v1 import answer_pb2
from arenalab.ensemble.rephrasing import sentences_within

WORDS = st.lists(st.text("ab.", min_size=1, max_size=5), max_size=6)


@given(WORDS, st.integers(0, 40))
def test_a_cut_text_keeps_its_sentences_and_the_head_of_the_one_that_was_cut(
    texts: list[str], size: int
) -> None:
    sentences = [answer_pb2.Sentence(text=text, span_ids=[str(n)]) for n, text in enumerate(texts)]
    text = " ".join(texts)[:size]
    kept = sentences_within(text, sentences)
    assert "".join("".join(one.text for one in kept).split()) == "".join(text.split())
    assert [list(one.span_ids) for one in kept] == [[str(n)] for n in range(len(kept))]
