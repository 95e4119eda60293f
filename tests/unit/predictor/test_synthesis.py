import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from arenalab.predictor.appraisal import Appraisal
from arenalab.predictor.meaning import cluster, competing
from arenalab.predictor.outcomes import Method
from arenalab.predictor.sentences import holding, squeezed
from arenalab.predictor.synthesis import Synthesis, synthesise
from tests.unit.predictor.made_up import appraisal_of, span

POST = "Send the form by post to our office. It takes two weeks."
MAIL = (
    "Send the form to our office by post. Include a copy of your passport with the form. "
    "It takes two weeks."
)
ONLINE = "Upload the scanned document on the website instead."


def _synthesise(appraisal: Appraisal, alike: tuple[str, ...] = ()) -> Synthesis:
    texts = competing(appraisal.groups)
    # Outcomes named alike have one vector, all others one of their own.
    vectors = np.eye(len(texts), dtype=np.float32)
    first = next((n for n, text in enumerate(texts) if text in alike), 0)
    for n, text in enumerate(texts):
        if text in alike:
            vectors[n] = vectors[first]
    return synthesise(appraisal, cluster(appraisal.groups, texts, vectors if texts else None))


def test_a_majority_is_the_outcome_itself_with_the_spans_that_say_it() -> None:
    appraisal = appraisal_of(
        "where does the form go",
        (span(0, "where to send the form", POST), 0.9),
        (span(1, "form address", POST), 0.8),
        (span(2, "other", ONLINE), 0.2),
    )
    said = _synthesise(appraisal)
    assert said.method is Method.MAJORITY
    assert said.output == POST
    assert [one.text for one in said.sentences] == [
        "Send the form by post to our office.",
        "It takes two weeks.",
    ]
    assert {one.span_ids for one in said.sentences} == {("s0", "s1")}


def test_a_synthesis_begins_with_the_best_outcome_and_adds_what_its_other_wordings_say() -> None:
    appraisal = appraisal_of(
        "where does the passport form go",
        (span(0, "where to send the form", POST), 0.8),
        (span(1, "form address", MAIL), 0.75),
        (span(2, "scanned", ONLINE), 0.72),
        (span(3, "scans", ONLINE), 0.7),
    )
    said = _synthesise(appraisal, alike=(POST, MAIL))
    assert said.method is Method.SYNTHESIS
    # The website has the most votes of one wording, the post the most of one meaning.
    best = appraisal.groups[said.clusters[0].groups[0]].outcome
    assert said.output.startswith(best)
    assert said.holds_best == (best == appraisal.groups[0].outcome)


def test_only_new_sentences_of_one_meaning_are_added_each_with_its_span() -> None:
    appraisal = appraisal_of(
        "where does the passport form go",
        (span(0, "where to send the form", POST), 0.8),
        (span(1, "form address", MAIL), 0.4),
        (span(2, "scanned", ONLINE), 0.79),
    )
    said = _synthesise(appraisal, alike=(POST, MAIL))
    assert said.method is Method.SYNTHESIS
    assert said.holds_best
    assert said.output == f"{POST}\n\nInclude a copy of your passport with the form."
    assert [one.span_ids for one in said.sentences] == [("s0",), ("s0", "s1"), ("s1",)]
    assert [appraisal.groups[one.groups[0]].outcome for one in said.clusters[1:]] == [ONLINE]


def test_an_uncertain_output_lists_the_options_and_claims_no_sentence() -> None:
    outcomes = [f"Do the thing number {n} of them." for n in range(4)]
    spans = [(span(n, f"q{n}", text), 0.7) for n, text in enumerate(outcomes)]
    said = _synthesise(appraisal_of("what now", *spans))
    assert said.method is Method.UNCERTAIN
    assert "uncertain" in said.output
    assert all(text in said.output for text in outcomes)
    assert said.sentences == ()


def test_without_spans_nothing_is_said_honestly() -> None:
    said = _synthesise(appraisal_of("what now"))
    assert said.method is Method.NONE
    assert "Nothing in memory" in said.output
    assert said.holds_best


WORDS = st.lists(
    st.sampled_from(["Send the form.", "Keep a copy of the form.", "Do not pay for the form."]),
    min_size=1,
    max_size=4,
).map(" ".join)


@given(st.lists(st.tuples(WORDS, st.floats(0.3, 0.9)), min_size=1, max_size=6), st.integers(0, 6))
def test_every_sentence_of_an_answer_is_in_the_outcomes_of_its_spans(
    outcomes: list[tuple[str, float]], alike: int
) -> None:
    spans = [(span(n, f"q{n}", text), s) for n, (text, s) in enumerate(outcomes)]
    spans.sort(key=lambda one: -one[1])
    appraisal = appraisal_of("the form", *spans)
    said = _synthesise(appraisal, alike=tuple(text for text, _ in outcomes[:alike]))
    by_id = {memory.span_id: memory.outcome for memory, _ in spans}
    for sentence in said.sentences:
        assert sentence.span_ids
        for span_id in sentence.span_ids:
            assert holding(sentence.text, [squeezed(by_id[span_id])])
    if said.method in (Method.MAJORITY, Method.SYNTHESIS):
        told = "".join("".join(one.text for one in said.sentences).split())
        assert told == "".join(said.output.split())
