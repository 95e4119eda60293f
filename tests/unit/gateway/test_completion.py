import json
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from arenalab.api.common.v1 import answer_pb2, plan_pb2, receipt_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.gateway.completion import Answer, Chunks, answer_headers, completion
from arenalab.gateway.extension import extension
from arenalab.gateway.usage import said_text

USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def _answer(route: pb.Route.ValueType = pb.ROUTE_MEMORY, **members: Any) -> Answer:
    started = pb.AnswerStarted(prediction_id="a-b", model="arenalab", route=route)
    return Answer(created=1, started=started, **members)


def test_nothing_known_is_said_as_null_not_invented() -> None:
    told = extension(pb.AnswerFinished(prediction_id="p", route=pb.ROUTE_PROVIDER))
    assert told["route"] == "provider"
    assert told["method"] == "none"
    assert told["guarantee"]["status"] == "none"
    for name in (
        "abstain",
        "outcome_set",
        "receipt",
        "plan",
        "dataset_version",
        "creature",
        "reasoning",
        "rephrasing",
    ):
        assert told[name] is None
    assert told["evidence"] == told["sentences"] == []
    assert told["timings_ms"] == {}


def test_everything_known_is_said() -> None:
    finished = pb.AnswerFinished(
        abstention=answer_pb2.Abstention(
            reason=answer_pb2.ABSTAIN_REASON_CONTRAST_CLASH,
            explanation="e",
            wanted="w",
            nearest=[answer_pb2.Evidence(span_id="s1", when=Timestamp(seconds=1))],
            data=[
                answer_pb2.WantedData(
                    kind=answer_pb2.WANTED_KIND_SPANS, count=3, outcome="o", terms=["never"]
                )
            ],
        ),
        sentences=[answer_pb2.Sentence(text="One.", span_ids=["s1"])],
        rephrasing=pb.Rephrasing(
            status=pb.REPHRASING_STATUS_UNSUPPORTED, provider="local", unsupported=["Two."]
        ),
        guarantee=answer_pb2.Guarantee(
            status=answer_pb2.GUARANTEE_STATUS_VOID,
            kind=answer_pb2.GUARANTEE_KIND_HIGH_PROBABILITY,
            scope=answer_pb2.GUARANTEE_SCOPE_GROUP,
            group="banking",
        ),
        outcome_set=answer_pb2.OutcomeSet(outcomes=["o", "p"], coverage=0.95, calibration_size=200),
        alternatives=[
            answer_pb2.Alternative(outcome="o", share=0.5, support=2, span_ids=["s2"], wordings=1)
        ],
        creatures_asked=[pb.CreatureVote(creature="faq", confidence=0.5, answered=True)],
        plan=plan_pb2.QueryPlan(engine=plan_pb2.ENGINE_EXACT, candidates=5),
        receipt=receipt_pb2.Receipt(leaf_index=2**60, leaf=b"{}", leaf_hash=b"\0" * 32),
    )
    finished.timings.ledger.FromMicroseconds(1500)
    told = extension(finished)
    abstain = told["abstain"]
    assert (abstain["reason"], abstain["explanation"]) == ("contrast_clash", "e")
    assert abstain["nearest"][0]["when"] == "1970-01-01T00:00:01Z"
    assert abstain["data"] == [
        {
            "kind": "spans",
            "count": 3,
            "outcome": "o",
            "domain": None,
            "action": None,
            "terms": ["never"],
        }
    ]
    assert told["sentences"] == [{"text": "One.", "span_ids": ["s1"]}]
    assert told["rephrasing"]["status"] == "unsupported"
    assert told["rephrasing"]["unsupported"] == ["Two."]
    assert told["guarantee"]["status"] == "void"
    assert told["guarantee"]["kind"] == "high_probability"
    assert told["guarantee"]["scope"] == "group"
    assert told["guarantee"]["group"] == "banking"
    assert told["guarantee"]["threshold"] is None
    assert told["outcome_set"] == {
        "outcomes": ["o", "p"],
        "coverage": 0.95,
        "calibration_size": 200,
    }
    assert told["alternatives"] == [
        {"outcome": "o", "share": 0.5, "support": 2, "span_ids": ["s2"], "wordings": 1}
    ]
    assert told["creatures_asked"][0]["creature"] == "faq"
    assert told["plan"]["engine"] == "exact"
    assert told["receipt"]["leaf_index"] == 2**60
    assert told["timings_ms"] == {"ledger": 1.5}
    assert json.loads(json.dumps(told)) == told


def test_a_value_of_a_newer_service_is_told_by_its_number() -> None:
    finished = pb.AnswerFinished.FromString(b"\x18\x63")  # route = 99
    assert extension(finished)["route"] == "99"


def test_an_answer_without_text_or_calls_is_an_empty_text() -> None:
    message = completion(_answer(), pb.AnswerFinished(), USAGE)["choices"][0]["message"]
    assert message["content"] == ""


def test_only_an_abstention_becomes_a_refusal() -> None:
    memory = _answer(as_refusal=True)
    assert memory.take(pb.TextDelta(text="a")) == {"content": "a"}
    nobody = _answer(pb.ROUTE_ABSTAIN, as_refusal=True)
    assert nobody.take(pb.TextDelta(text="a")) == {"refusal": "a"}


@given(st.lists(st.text(min_size=1)), st.booleans())
def test_the_chunks_put_together_are_the_completion(texts: list[str], usage: bool) -> None:  # noqa: FBT001
    answer = _answer()
    chunks = Chunks(answer, include_usage=usage)
    told = [chunks.first()]
    told += [chunks.piece(answer.take(pb.TextDelta(text=text))) for text in texts]
    finished = pb.AnswerFinished(model="arenalab", finish_reason="length")
    told.append(chunks.last(finished))
    deltas = [chunk["choices"][0]["delta"] for chunk in told]
    whole = completion(answer, finished, USAGE)
    assert "".join(d.get("content", "") for d in deltas) == answer.text == "".join(texts)
    assert [d["role"] for d in deltas if "role" in d] == ["assistant"]
    assert {(c["id"], c["created"], c["model"]) for c in told} == {
        (whole["id"], whole["created"], whole["model"])
    }
    assert told[-1]["choices"][0]["finish_reason"] == "length"
    assert told[-1]["arenalab"] == whole["arenalab"]
    assert all(("usage" in chunk) is usage for chunk in told)


def test_the_overhead_leaves_out_the_provider() -> None:
    finished = pb.AnswerFinished(route=pb.ROUTE_FALLBACK)
    finished.timings.fallback.FromMilliseconds(80)
    finished.timings.total.FromMilliseconds(90)
    headers = dict(answer_headers(finished, elapsed_ms=100.0))
    assert headers["x-arenalab-overhead-ms"] == "20.000"
    assert headers["server-timing"] == "fallback;dur=80, gateway;dur=10.000"
    assert headers["x-arenalab-guarantee"] == "none"
    assert "x-arenalab-ledger-index" not in headers


def test_a_call_of_a_custom_tool_is_told_piece_by_piece_and_whole() -> None:
    answer = _answer(pb.ROUTE_PROVIDER)
    begun = {"index": 0, "id": "c", "type": "custom", "custom": {"name": "shell", "input": "l"}}
    more = {"index": 0, "custom": {"input": "s"}}
    for delta in (begun, more):
        assert answer.take(pb.TextDelta(tool_calls_json=json.dumps([delta]))) == {
            "tool_calls": [delta]
        }
    finished = pb.AnswerFinished(finish_reason="tool_calls")
    message = completion(answer, finished, USAGE, [])["choices"][0]["message"]
    assert message["tool_calls"] == [
        {"id": "c", "type": "custom", "custom": {"name": "shell", "input": "ls"}}
    ]
    assert said_text(answer) == "shell\nls"
