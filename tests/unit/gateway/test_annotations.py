from arenalab.api.common.v1 import answer_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.gateway.annotations import Annotator


def _evidence(*supporting: str) -> list[answer_pb2.Evidence]:
    return [
        answer_pb2.Evidence(span_id=name, question=f"q {name}", supports=name in supporting)
        for name in ("s1", "s2", "s3")
    ]


def _places(text: str, finished: pb.AnswerFinished) -> list[tuple[str, str]]:
    return [
        (text[each["start_index"] : each["end_index"]], each["url"].rpartition("/")[2])
        for each in Annotator().citations(text, finished)
    ]


def test_each_sentence_is_cited_by_the_spans_that_hold_it() -> None:
    sentences = [
        answer_pb2.Sentence(text="Yes.", span_ids=["s1", "s2"]),
        answer_pb2.Sentence(text="Reworded.", span_ids=["s3"]),
        answer_pb2.Sentence(text="Yes.", span_ids=["s3"]),
        answer_pb2.Sentence(text="No span says so."),
    ]
    text = "Yes. é\U0001f600 Yes. No span says so."
    finished = pb.AnswerFinished(route=pb.ROUTE_MEMORY, sentences=sentences)
    assert _places(text, finished) == [("Yes.", "s1"), ("Yes.", "s2"), ("Yes.", "s3")]
    [_, _, last] = Annotator().citations(text, finished)
    assert last["start_index"] == 8  # characters, not bytes


def test_an_answer_without_sentences_is_cited_as_a_whole() -> None:
    finished = pb.AnswerFinished(route=pb.ROUTE_MEMORY, evidence=_evidence("s1", "s3"))
    assert _places("All of it", finished) == [("All of it", "s1"), ("All of it", "s3")]


def test_a_provider_cites_by_number_what_was_in_its_prompt() -> None:
    finished = pb.AnswerFinished(route=pb.ROUTE_FALLBACK, evidence=_evidence("s1", "s3"))
    text = "One [1], both [1, 3], out of prompt [2], none [9] and [0], an array x[12345]."
    assert _places(text, finished) == [("[1]", "s1"), ("[1, 3]", "s1"), ("[1, 3]", "s3")]


def test_an_abstention_cites_nothing() -> None:
    finished = pb.AnswerFinished(route=pb.ROUTE_ABSTAIN, evidence=_evidence("s1"))
    assert _places("I do not know [1].", finished) == []


def test_a_citation_has_a_title_and_a_url_that_no_id_can_break() -> None:
    finished = pb.AnswerFinished(
        route=pb.ROUTE_MEMORY,
        evidence=[answer_pb2.Evidence(span_id="a/b?c", question="q" * 999, supports=True)],
    )
    [citation] = Annotator("https://kb/{id}#top").citations("So", finished)
    assert citation["url"] == "https://kb/a%2Fb%3Fc#top"
    assert citation["title"] == "q" * 200
    nameless = answer_pb2.Evidence(span_id="s9", supports=True)
    finished = pb.AnswerFinished(route=pb.ROUTE_MEMORY, evidence=[nameless])
    assert Annotator().citations("So", finished)[0]["title"] == "s9"
