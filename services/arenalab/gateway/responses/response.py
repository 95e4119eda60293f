"""The `response` object and its output items, from an answer. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.gateway.annotations import of_response
from arenalab.gateway.completion import Answer, fingerprint
from arenalab.gateway.errors import ApiError
from arenalab.gateway.extension import extension
from arenalab.gateway.ids import RESPONSE
from arenalab.gateway.usage import Usage

# Why an answer is not whole, by the finish reason of a chat.
_INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
_TOO_MANY: Final = 429


def skeleton(answer: Answer, echo: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a response that has only begun."""
    return {
        "id": f"{RESPONSE}{answer.hex_id}",
        "object": "response",
        "created_at": answer.created,
        "status": "in_progress",
        "model": answer.started.model,
        "output": [],
        "error": None,
        "incomplete_details": None,
        "usage": None,
        "background": False,
        # Every answer is sealed, whatever the request says.
        "store": True,
        "truncation": "disabled",
        **echo,
    }


def response(
    answer: Answer,
    echo: Mapping[str, Any],
    usage: Usage,
    citations: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Returns the response of a whole answer."""
    finished = answer.finished or pb.AnswerFinished()
    reason = _INCOMPLETE.get(finished.finish_reason)
    status = "completed" if reason is None else "incomplete"
    return skeleton(answer, echo) | {
        "status": status,
        "model": finished.model,
        "output": output(answer, status, citations),
        "incomplete_details": None if reason is None else {"reason": reason},
        "usage": usage.of_response(),
        "system_fingerprint": fingerprint(finished),
        "arenalab": extension(finished),
    }


def failed(answer: Answer, echo: Mapping[str, Any], error: ApiError) -> dict[str, Any]:
    """Returns the response of an answer that broke off."""
    code = "rate_limit_exceeded" if error.status == _TOO_MANY else "server_error"
    return skeleton(answer, echo) | {
        "status": "failed",
        "output": output(answer, "incomplete", ()),
        "error": {"code": code, "message": str(error)},
    }


def output(
    answer: Answer, status: str, citations: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Returns the items of an answer: what it says, then what it calls."""
    content = parts(answer, citations)
    items = [message(answer, status, content)] if content else []
    return items + [call_item(answer, index, status) for index in answer.tool_calls.indexes]


def parts(answer: Answer, citations: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the content of an answer's message, in the order in which it streams."""
    found = []
    if answer.text or not (answer.refusal or answer.tool_calls):
        found.append(text_part(answer.text, citations))
    if answer.refusal:
        found.append(refusal_part(answer.refusal))
    return found


def text_part(text: str, citations: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    annotations = [of_response(citation) for citation in citations]
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}


def refusal_part(refusal: str) -> dict[str, Any]:
    return {"type": "refusal", "refusal": refusal}


def message(answer: Answer, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the item of what an answer says."""
    return {
        "id": f"msg_{answer.hex_id}",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": content,
    }


def call_item(answer: Answer, index: int, status: str) -> dict[str, Any]:
    """Returns the item of the tool call with an index, as far as it has come."""
    called = answer.tool_calls.call(index)
    function = called["function"]
    return {
        "id": f"fc_{answer.hex_id}_{index}",
        "type": "function_call",
        "status": status,
        "call_id": called["id"],
        "name": function["name"],
        "arguments": function["arguments"],
    }
