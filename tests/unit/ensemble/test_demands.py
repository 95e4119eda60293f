"""What a request demands beyond words, and what memory does where it cannot meet it."""

import json
from typing import Any

import pytest

from arenalab.api.common.v1 import answer_pb2, message_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.ensemble.demands import Demands
from arenalab.ensemble.opinions import Opinion
from arenalab.mesh import InvalidInputError

TOOL = {"type": "function", "function": {"name": "act"}}
NUMBER = {
    "type": "json_schema",
    "json_schema": {
        "name": "number",
        "schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    },
}
CALLS = [{"id": "c1", "type": "function", "function": {"name": "act", "arguments": "{}"}}]
USER = {"role": "user", "content": "How?"}
CALL = {"role": "assistant", "content": None, "tool_calls": CALLS}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "5"}


def _request(*turns: dict[str, Any], **passthrough: Any) -> pb.AnswerRequest:
    said = turns or (USER,)
    request = pb.AnswerRequest(
        messages=[
            message_pb2.Message(
                role=message_pb2.Role.Value(f"ROLE_{turn['role'].upper()}"),
                content=turn.get("content") or "",
            )
            for turn in said
        ],
        messages_json=json.dumps(said) if any(turn != USER for turn in said) else "",
    )
    request.passthrough.update(passthrough)
    return request


def _says(output: str, *actions: str) -> Opinion:
    evidence = [
        answer_pb2.Evidence(span_id=str(n), action=action, outcome=output, supports=True)
        for n, action in enumerate(actions or ("ask",))
    ]
    return Opinion("faq", predictor_pb.PredictResponse(output=output, evidence=evidence))


def _why_not(opinion: Opinion) -> str:
    reason = opinion.response.abstention.reason
    assert opinion.answered or reason == answer_pb2.ABSTAIN_REASON_UNSUPPORTED_REQUEST
    return opinion.response.abstention.explanation


def test_a_request_for_words_demands_nothing() -> None:
    opinion = _says("Like this.")
    assert Demands.of(_request()).judge(opinion, 0) is opinion
    forbidden = Demands.of(_request(tools=[TOOL], tool_choice="none"))
    assert forbidden.judge(opinion, 0) is opinion


@pytest.mark.parametrize(
    ("response_format", "output", "why_not"),
    [
        ({"type": "text"}, "words", ""),
        ({"type": "json_object"}, '{"a": 1}', ""),
        ({"type": "json_object"}, "[1]", "not a JSON object"),
        ({"type": "json_object"}, "words", "not JSON"),
        (NUMBER, '{"n": 1}', ""),
        (NUMBER, '{"n": "1"}', "$.n does not meet 'type'"),
        (NUMBER, "[", "not JSON"),
        ({"type": "json_schema", "json_schema": {"name": "x"}}, '{"a": 1}', ""),
    ],
)
def test_a_format_is_honoured_or_left_to_a_provider(
    response_format: Any, output: str, why_not: str
) -> None:
    judged = Demands.of(_request(response_format=response_format)).judge(_says(output), 0)
    assert judged.answered == (not why_not)
    assert why_not in _why_not(judged)


def test_a_stop_sequence_that_would_cut_the_json_is_a_reason_to_leave_it() -> None:
    request = _request(response_format={"type": "json_object"})
    request.sampling.stop.append("}")
    assert "stop sequence" in _why_not(Demands.of(request).judge(_says('{"a": 1}'), 0))


def test_what_others_may_share_is_left_as_it_was() -> None:
    opinion = _says("words")
    judged = Demands.of(_request(tools=[TOOL])).judge(opinion, 0)
    assert "'ask' names none of the tools" in _why_not(judged)
    assert opinion.answered


def test_a_call_is_judged_by_all_evidence_and_shown_with_as_much_as_was_asked_for() -> None:
    demands = Demands.of(_request(tools=[TOOL]))
    assert demands.evidence(2) == 50
    assert demands.judge(_says("{}", *["act"] * 9, "ask"), 2).call is None
    judged = demands.judge(_says("{}", *["act"] * 9), 2)
    assert judged.call is not None
    assert len(judged.response.evidence) == 2
    assert len(demands.judge(_says("{}", *["act"] * 9), 0).response.evidence) == 5


def test_the_last_place_of_the_evidence_is_a_supporting_spans() -> None:
    opinion = _says("{}", "act", "act", "act")
    for item in opinion.response.evidence[:2]:
        item.supports = False
    judged = Demands.of(_request(tools=[TOOL])).judge(opinion, 2)
    assert [item.span_id for item in judged.response.evidence] == ["0", "2"]


def test_only_a_call_that_must_be_made_narrows_what_memory_looks_at() -> None:
    assert Demands.of(_request(tools=[TOOL])).action == ""
    assert Demands.of(_request(tools=[TOOL], tool_choice="required")).action == "act"


def test_an_abstention_stays_what_it_is() -> None:
    opinion = _says("perhaps")
    opinion.response.abstention.reason = answer_pb2.ABSTAIN_REASON_OUT_OF_SCOPE
    judged = Demands.of(_request(tools=[TOOL])).judge(opinion, 0)
    assert judged.response.abstention.reason == answer_pb2.ABSTAIN_REASON_OUT_OF_SCOPE


@pytest.mark.parametrize(
    ("turns", "beyond"),
    [
        ((USER, CALL, RESULT), ("tool results",)),
        ((USER, CALL, RESULT, USER), ()),
        ((CALL, RESULT), ("tool results",)),
    ],
)
def test_memory_leaves_an_answer_that_depends_on_a_result(
    turns: tuple[dict[str, Any], ...], beyond: tuple[str, ...]
) -> None:
    assert Demands.of(_request(*turns)).beyond == beyond


@pytest.mark.parametrize(
    ("turns", "field"),
    [
        ((USER, RESULT), "messages[1].tool_call_id"),
        ((USER, CALL, RESULT, RESULT), "messages[3].tool_call_id"),
        ((USER, CALL, RESULT | {"tool_call_id": "c2"}), "messages[2].tool_call_id"),
        ((USER, CALL, RESULT, USER, RESULT), "messages[4].tool_call_id"),
        ((USER, CALL, USER), "messages[1]"),
        ((USER, CALL), "messages[1]"),
        ((USER, CALL, CALL, RESULT), "messages[1]"),
        ((USER, CALL | {"tool_calls": [{"id": ""}]}), "messages[1].tool_calls[0].id"),
        ((USER, CALL | {"tool_calls": CALLS * 2}, RESULT), "messages[1].tool_calls[1].id"),
    ],
)
def test_each_call_has_one_result_and_each_result_its_call(
    turns: tuple[dict[str, Any], ...], field: str
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        Demands.of(_request(*turns))
    assert refused.value.metadata == {"field": field}


@pytest.mark.parametrize(
    ("response_format", "field"),
    [
        (5, "response_format.type"),
        ({"type": "xml"}, "response_format.type"),
        ({"type": "json_schema"}, "response_format.json_schema"),
        ({"type": "json_schema", "json_schema": {"name": "a b"}},
         "response_format.json_schema.name"),
        ({"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "x"}}},
         "response_format.json_schema.schema"),
    ],
)  # fmt: skip
def test_a_format_that_is_none_is_refused_by_place(response_format: Any, field: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        Demands.of(_request(response_format=response_format))
    assert refused.value.metadata == {"field": field}


def test_a_bad_schema_is_told_in_the_words_that_clients_know() -> None:
    bad = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "x"}}}
    with pytest.raises(InvalidInputError, match="Invalid schema for response_format"):
        Demands.of(_request(response_format=bad))


def test_a_result_without_the_callers_own_messages_is_refused() -> None:
    request = _request(USER, CALL, RESULT)
    request.messages_json = ""
    with pytest.raises(InvalidInputError, match="messages_json"):
        Demands.of(request)
    request.messages_json = '{"role":'
    with pytest.raises(InvalidInputError, match="messages_json"):
        Demands.of(request)


def test_a_number_that_json_has_not_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="passthrough"):
        Demands.of(_request(response_format={"type": float("nan")}))
