import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.fallback.citations import Grounding, citations_of
from arenalab.fallback.prompt import NOT_IN_EVIDENCE

SOURCES = {1: ("a",), 2: ("b", "b2"), 4: ("c",)}


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("Port 8080 [1].", ["a"]),
        ("Port 8080[1].", ["a"]),
        ("First [4], then [1], and [4] again.", ["c", "a"]),
        ("Both [1, 4] and [2][1].", ["a", "c", "b", "b2"]),
        ("[ 2 ]", ["b", "b2"]),
        ("**8080** [1]", ["a"]),
    ],
)
def test_numbers_in_brackets_cite_the_evidence(text: str, cited: list[str]) -> None:
    found = citations_of(text, SOURCES)
    assert list(found.span_ids) == cited
    assert found.grounding is Grounding.CITED


@pytest.mark.parametrize(
    "text",
    [
        "Nothing.",
        "Not ours: [0], [2024], [99999999999], items[x], [1a], [٢], [01].",
        "Run `argv[1]` or ``x[7]``.",
        "```python\nprint(argv[1])\n```",
        "```\nargv[1] and it was cut",
        "See [1](https://example.org).",
    ],
)
def test_what_is_no_citation_cites_nothing(text: str) -> None:
    assert citations_of(text, SOURCES) == citations_of("Nothing.", SOURCES)
    assert citations_of(text, SOURCES).grounding is Grounding.UNCITED


@pytest.mark.parametrize("text", ["It is 8080 [3].", "It is 8080 [1][9].", "[1, 3]", "It is[77]"])
def test_a_number_that_was_not_in_the_prompt_is_a_false_citation(text: str) -> None:
    assert citations_of(text, SOURCES).grounding is Grounding.FALSE_CITATION


@pytest.mark.parametrize(
    "text",
    [
        NOT_IN_EVIDENCE,
        f'  "{NOT_IN_EVIDENCE}"\n',
        f"**{NOT_IN_EVIDENCE}**",
        NOT_IN_EVIDENCE.rstrip(".").upper(),
    ],
)
def test_the_agreed_sentence_says_that_the_evidence_has_no_answer(text: str) -> None:
    assert citations_of(text, SOURCES).grounding is Grounding.NOT_IN_EVIDENCE


@pytest.mark.parametrize(
    "text", [f"{NOT_IN_EVIDENCE} But I know that it is 8080.", "I do not know.", "Not sure."]
)
def test_any_other_words_are_a_claim_without_a_citation(text: str) -> None:
    assert citations_of(text, SOURCES).grounding is Grounding.UNCITED


def test_an_answer_with_a_citation_may_say_what_it_does_not_know() -> None:
    text = f"The port is 8080 [1]. As for the host: {NOT_IN_EVIDENCE}"
    assert citations_of(text, SOURCES).grounding is Grounding.CITED


def test_without_evidence_or_without_words_there_is_no_verdict() -> None:
    assert citations_of("See [1].", {}).grounding is Grounding.NONE
    assert citations_of(" \n", SOURCES).grounding is Grounding.NONE


def test_of_json_the_strings_count_and_not_the_arrays() -> None:
    ports = json.dumps({"ports": [1, [3]], "why": "the gateway's [2]"})
    assert citations_of(ports, SOURCES, is_formed=True).span_ids == ("b", "b2")
    nothing = json.dumps({"answer": NOT_IN_EVIDENCE, "ports": [1]})
    found = citations_of(nothing, SOURCES, is_formed=True)
    assert (found.span_ids, found.grounding) == ((), Grounding.NOT_IN_EVIDENCE)
    cut_off = '{"why": "the gateway [1]'
    assert citations_of(cut_off, SOURCES, is_formed=True).span_ids == ("a",)


@given(
    st.lists(st.sampled_from([1, 2, 4])),
    st.text(st.characters(exclude_characters="[]`("), max_size=5),
)
def test_each_cited_id_comes_once_in_the_order_of_first_citation(
    numbers: list[int], between: str
) -> None:
    text = between.join(f"[{n}]" for n in numbers)
    wanted = dict.fromkeys(span_id for n in numbers for span_id in SOURCES[n])
    assert list(citations_of(text, SOURCES).span_ids) == list(wanted)


@given(st.text("[]0123456789, x`(\n"))
def test_any_text_cites_at_most_what_there_is(text: str) -> None:
    cited = citations_of(text, SOURCES).span_ids
    assert set(cited) <= {"a", "b", "b2", "c"}
    assert len(cited) == len(set(cited))
