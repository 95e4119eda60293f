import json
from typing import Any

import pytest

from arenalab.api.common.v1 import message_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.ensemble.entries import Said, answer_entry
from arenalab.gateway.errors import ApiError
from arenalab.gateway.responses.history import history_of


def _sealed(
    text: str = "Like this.", user: str = "", tool_calls: str = "", **members: Any
) -> ledger_pb.GetResponse:
    """What the ledger gives of an answer that the ensemble sealed."""
    request = pb.AnswerRequest(
        messages=[
            message_pb2.Message(role=message_pb2.ROLE_SYSTEM, content="Be brief."),
            message_pb2.Message(role=message_pb2.ROLE_USER, content="How?"),
        ],
        user=user,
        instructions=1,
    )
    request.MergeFrom(pb.AnswerRequest(**members))
    finished = pb.AnswerFinished(prediction_id="p1", route=pb.ROUTE_MEMORY, finish_reason="stop")
    entry = answer_entry(
        "acme", Said(request=request, finished=finished, text=text, tool_calls=tool_calls), ""
    )
    return ledger_pb.GetResponse(
        content=entry.content,
        content_state=ledger_pb.CONTENT_STATE_PRESENT,
        subject=entry.subject,
        leaf=json.dumps({"facts": json.loads(entry.facts_json)}).encode(),
    )


def test_question_and_answer_come_back_without_instructions() -> None:
    history = history_of(_sealed(), "")
    assert list(history.messages) == [
        {"role": "user", "content": "How?"},
        {"role": "assistant", "content": "Like this."},
    ]
    assert history.user == ""


def test_the_callers_own_messages_come_back_as_they_were() -> None:
    own = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]},
    ]
    messages = history_of(_sealed(messages_json=json.dumps(own)), "").messages
    assert messages[0] == own[1]


def test_tool_calls_come_back_with_their_ids() -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    sealed = _sealed(text="", tool_calls=json.dumps(calls))
    assert history_of(sealed, "").messages[-1] == {
        "role": "assistant",
        "content": None,
        "tool_calls": calls,
    }


def test_whose_words_they_are_they_stay() -> None:
    assert history_of(_sealed(user="ada"), "").user == "ada"
    assert history_of(_sealed(user="ada"), "ada").user == "ada"
    assert history_of(_sealed(), "eve").user == "eve"
    assert _code(_sealed(user="ada"), "eve") == "response_not_found"


def test_what_is_not_there_is_a_clear_error() -> None:
    erased = ledger_pb.GetResponse(content_state=ledger_pb.CONTENT_STATE_ERASED)
    assert _code(erased) == "response_erased"
    feedback = ledger_pb.GetResponse(content_state=ledger_pb.CONTENT_STATE_PRESENT)
    assert _code(feedback) == "response_not_found"
    assert _code(_sealed(text="x" * 400_000)) == "response_not_kept"
    assert _code(_sealed(messages_json=json.dumps(["x" * 400_000]))) == "response_not_kept"
    calls = _sealed(text="")
    calls.leaf = b'{"facts":{"finish_reason":"tool_calls"}}'
    assert _code(calls) == "response_not_kept"


def test_a_conversation_ends_at_the_most_messages() -> None:
    turn = message_pb2.Message(role=message_pb2.ROLE_USER, content="q")
    assert len(history_of(_sealed(messages=[turn] * 253), "").messages) == 255
    assert _code(_sealed(messages=[turn] * 254)) == "context_length_exceeded"


def test_an_answer_that_looks_like_a_digest_and_is_none_is_an_answer() -> None:
    text = '{"blake3": "of what?"}'
    assert history_of(_sealed(text=text), "").messages[-1]["content"] == text


def _code(found: ledger_pb.GetResponse, user: str = "") -> str:
    with pytest.raises(ApiError) as caught:
        history_of(found, user)
    assert (caught.value.status, caught.value.param) == (400, "previous_response_id")
    return caught.value.code
