import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.fallback.citations import cited_span_ids

IDS = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("Port 8080 [2].", ["b"]),
        ("First [3], then [1], and [3] again.", ["c", "a"]),
        ("Both [1, 3] and [2][1].", ["a", "c", "b"]),
        ("Nothing.", []),
        ("Not ours: [0], [4], [2024], [99999999999], items[x], [1a].", []),
        ("[ 2 ]", ["b"]),
        ("[٢]", []),
    ],
)
def test_numbers_in_brackets_cite_the_evidence(text: str, cited: list[str]) -> None:
    assert cited_span_ids(text, IDS) == cited


@given(st.lists(st.integers(1, 3)), st.text(st.characters(exclude_characters="[]"), max_size=5))
def test_each_cited_id_comes_once_in_the_order_of_first_citation(
    numbers: list[int], between: str
) -> None:
    text = between.join(f"[{n}]" for n in numbers)
    assert cited_span_ids(text, IDS) == list(dict.fromkeys(IDS[n - 1] for n in numbers))


@given(st.text("[]0123456789, x"))
def test_any_text_cites_at_most_what_there_is(text: str) -> None:
    cited = cited_span_ids(text, IDS)
    assert set(cited) <= set(IDS)
    assert len(cited) == len(set(cited))
