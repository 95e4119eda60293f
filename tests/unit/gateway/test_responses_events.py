import json
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.gateway.completion import Answer
from arenalab.gateway.errors import ApiError
from arenalab.gateway.responses.events import Events
from arenalab.gateway.responses.response import response
from arenalab.gateway.usage import Usage
from tests.described import check

Json = dict[str, Any]
USAGE = Usage(3, 2, 1, 1)
ECHO: Json = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "user": None,
}
CITATION = {"start_index": 0, "end_index": 2, "title": "q", "url": "arenalab:span/s1"}


def _answer(**members: Any) -> Answer:
    started = pb.AnswerStarted(prediction_id="a-b", model="arenalab", route=pb.ROUTE_MEMORY)
    return Answer(created=1, started=started, **members)


def _call(index: int, **members: Any) -> pb.TextDelta:
    call = {"index": index, "type": "function", **members}
    return pb.TextDelta(tool_calls_json=json.dumps([call]))


def _stream(
    deltas: Sequence[pb.TextDelta], finish_reason: str = "stop", citations: Sequence[Json] = ()
) -> list[Json]:
    answer = _answer()
    events = Events(answer, ECHO)
    told = events.begin()
    for delta in deltas:
        told += events.piece(answer.take(delta))
    answer.finished = pb.AnswerFinished(model="arenalab", finish_reason=finish_reason)
    told += events.end(USAGE, citations)
    for event in told:
        check("ResponseEvent", event)
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    return told


def _kinds(events: Sequence[Json]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def test_a_text_comes_in_the_order_that_clients_know() -> None:
    told = _stream([pb.TextDelta(text="So "), pb.TextDelta(text="it is.")], citations=[CITATION])
    assert _kinds(told) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    part = {
        "type": "output_text",
        "text": "So it is.",
        "annotations": [{"type": "url_citation", **CITATION}],
        "logprobs": [],
    }
    assert told[8]["part"] == told[9]["item"]["content"][0] == part
    final = told[-1]["response"]
    assert final["output"] == [told[9]["item"]]
    assert final["usage"] == {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 5,
    }


def test_calls_come_after_what_was_said_each_with_its_arguments() -> None:
    told = _stream(
        [
            pb.TextDelta(text="I add."),
            _call(0, id="c0", function={"name": "add", "arguments": ""}),
            _call(0, function={"arguments": "[1,"}),
            _call(0, function={"arguments": "2]"}),
            _call(1, id="c1", function={"name": "sub", "arguments": "[]"}),
        ],
        "tool_calls",
    )
    assert _kinds(told)[5:] == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "output_item.added",
        "function_call_arguments.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "function_call_arguments.done",
        "output_item.done",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    said, add, sub = told[-1]["response"]["output"]
    assert said["content"][0]["text"] == "I add."
    assert (add["call_id"], add["name"], add["arguments"]) == ("c0", "add", "[1,2]")
    assert (sub["id"], sub["call_id"], sub["arguments"]) == ("fc_ab_1", "c1", "[]")


def test_a_call_opens_once_its_id_and_name_are_known() -> None:
    told = _stream(
        [
            _call(0, function={"arguments": "{"}),
            _call(0, id="c0", function={"name": "f", "arguments": "}"}),
        ],
        "tool_calls",
    )
    added, delta = told[2:4]
    assert (added["item"]["call_id"], added["item"]["name"]) == ("c0", "f")
    assert (added["item"]["arguments"], delta["delta"]) == ("", "{}")


def test_a_refusal_is_a_part_of_its_own() -> None:
    told = _stream(
        [pb.TextDelta(text="Well, "), pb.TextDelta(refusal="I "), pb.TextDelta(refusal="won't.")]
    )
    assert "refusal.delta" in _kinds(told)
    content = told[-1]["response"]["output"][0]["content"]
    assert content[1] == {"type": "refusal", "refusal": "I won't."}


def test_an_answer_without_words_is_an_empty_text() -> None:
    told = _stream([])
    assert told[-1]["response"]["output"][0]["content"][0]["text"] == ""
    assert _kinds(told)[2:4] == ["output_item.added", "content_part.added"]


def test_an_answer_that_was_cut_says_why() -> None:
    for finish_reason, reason in (
        ("length", "max_output_tokens"),
        ("content_filter", "content_filter"),
    ):
        final = _stream([pb.TextDelta(text="So")], finish_reason)[-1]
        assert final["type"] == "response.incomplete"
        assert final["response"]["incomplete_details"] == {"reason": reason}
        assert final["response"]["output"][0]["status"] == "incomplete"


def test_a_silence_is_an_event_that_adds_nothing() -> None:
    answer = _answer()
    events = Events(answer, ECHO)
    events.begin()
    assert _kinds(events.piece({})) == ["in_progress"]
    events.piece(answer.take(pb.TextDelta(text="So")))
    [silence] = events.piece({})
    check("ResponseEvent", silence)
    assert (silence["type"], silence["delta"]) == ("response.output_text.delta", "")


def test_an_answer_that_breaks_off_fails() -> None:
    answer = _answer()
    events = Events(answer, ECHO)
    events.begin()
    events.piece(answer.take(pb.TextDelta(text="So")))
    error, failed = events.fail(ApiError(503, "provider_failed", "the provider broke"))
    for event in (error, failed):
        check("ResponseEvent", event)
    assert (error["type"], error["code"]) == ("error", "provider_failed")
    assert failed["type"] == "response.failed"
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": "server_error", "message": "the provider broke"}
    assert failed["response"]["output"][0]["content"][0]["text"] == "So"


_DELTAS = st.lists(
    st.one_of(
        st.builds(pb.TextDelta, text=st.text(max_size=3)),
        st.builds(pb.TextDelta, refusal=st.text(max_size=3)),
        st.builds(
            lambda index, arguments: _call(
                index, id=f"c{index}", function={"name": "f", "arguments": arguments}
            ),
            st.integers(0, 2),
            st.text(max_size=3),
        ),
    ),
    max_size=8,
)


@settings(deadline=None)
@given(_DELTAS)
def test_however_an_answer_comes_its_pieces_make_the_whole(deltas: list[pb.TextDelta]) -> None:
    told = _stream(deltas)
    whole = _answer()
    for delta in deltas:
        whole.take(delta)
    whole.finished = pb.AnswerFinished(model="arenalab", finish_reason="stop")
    same = response(whole, ECHO, USAGE, [])
    final = told[-1]["response"]

    def by_id(found: Json) -> Json:
        return {item["id"]: item for item in found["output"]}

    assert by_id(final).keys() == by_id(same).keys()
    for number, item in enumerate(final["output"]):
        of_item = [e for e in told if e.get("output_index") == number]
        assert _kinds(of_item)[0] == "output_item.added"
        assert of_item[-1] == {**of_item[-1], "type": "response.output_item.done", "item": item}
        told_by = "".join(e["delta"] for e in of_item if e["type"].endswith(".delta"))
        if item["type"] == "function_call":
            assert told_by == item["arguments"] == by_id(same)[item["id"]]["arguments"]
    said = "".join(e["delta"] for e in told if e["type"] == "response.output_text.delta")
    assert said == whole.text
