"""Requests to the Messages API of Anthropic."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from arenalab.fallback.wire.adapter import UntellableError
from arenalab.fallback.wire.asking import check_told, choice_of, form_of, tools_of
from arenalab.fallback.wire.conversation import (
    Blob,
    Call,
    Link,
    Part,
    Result,
    Text,
    Turn,
    read_conversation,
)

# The version that still knows how to sample.
SAMPLING_VERSION: Final = "2023-06-01"

_TOLD: Final = frozenset(
    {
        "max_tokens", "messages", "model", "parallel_tool_calls", "reasoning_effort",
        "response_format", "stop", "temperature", "tool_choice", "tools", "top_p",
    }
)  # fmt: skip
_IMAGES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
_PDF: Final = "application/pdf"
_EFFORTS: Final = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
_CHOICES: Final = {"auto": "auto", "none": "none", "required": "any"}


def message_request(body: Mapping[str, Any], *, version: str, max_tokens: int) -> dict[str, Any]:
    """Returns a request of the OpenAI API as one of the Messages API, streamed.

    Args:
        body: Of a chat completion.
        version: Of the Messages API.
        max_tokens: To generate at most, when `body` does not say; the API must be told.

    Raises:
        UntellableError: It cannot be said there.
    """
    check_told(body, _TOLD)
    conversation = read_conversation(body["messages"])
    told: dict[str, Any] = {
        "model": body["model"],
        "max_tokens": body.get("max_tokens") or max_tokens,
        "messages": [_turn(turn) for turn in conversation.turns],
        "stream": True,
        **_sampling(body, version),
        **_tools(body),
        **_output(body),
    }
    if conversation.system:
        told["system"] = conversation.system
    if stops := body.get("stop"):
        told["stop_sequences"] = stops
    if user := body.get("safety_identifier") or body.get("user"):
        told["metadata"] = {"user_id": user}
    return told


def _sampling(body: Mapping[str, Any], version: str) -> dict[str, Any]:
    found = {}
    for name in ("temperature", "top_p"):
        value = body.get(name)
        if value is None or value == 1:  # 1 is what it does anyway
            continue
        if version != SAMPLING_VERSION or value > 1:
            raise UntellableError(f"{name} other than 1")
        found[name] = value
    return found


def _tools(body: Mapping[str, Any]) -> dict[str, Any]:
    tools = tools_of(body)
    if not tools:
        return {}
    told: dict[str, Any] = {
        "tools": [
            {
                "name": tool.name,
                "input_schema": {"type": "object", **tool.parameters},
                **({"description": tool.description} if tool.description else {}),
                **({"strict": True} if tool.is_strict else {}),
            }
            for tool in tools
        ]
    }
    choice = choice_of(body)
    is_single = body.get("parallel_tool_calls") is False
    if choice.mode or is_single:
        chosen: dict[str, Any] = {"type": _CHOICES[choice.mode or "auto"]}
        if choice.name:
            chosen = {"type": "tool", "name": choice.name}
        if is_single and chosen["type"] != "none":
            chosen["disable_parallel_tool_use"] = True
        told["tool_choice"] = chosen
    return told


def _output(body: Mapping[str, Any]) -> dict[str, Any]:
    form = form_of(body)
    config: dict[str, Any] = {}
    if form.schema is not None:
        config["format"] = {"type": "json_schema", "schema": dict(form.schema)}
    elif form.is_json:
        raise UntellableError("response_format json_object: name a schema")
    if (effort := body.get("reasoning_effort")) is not None:
        if effort not in _EFFORTS:
            raise UntellableError("reasoning_effort")
        config["effort"] = _EFFORTS[effort]
    return {"output_config": config} if config else {}


def _turn(turn: Turn) -> dict[str, Any]:
    role = "assistant" if turn.is_models else "user"
    return {"role": role, "content": [_block(part) for part in turn.parts]}


def _block(part: Part) -> dict[str, Any]:
    return _BLOCKS[type(part)](part)


def _text(part: Text) -> dict[str, Any]:
    return {"type": "text", "text": part.text}


def _blob(part: Blob) -> dict[str, Any]:
    source = {"type": "base64", "media_type": part.media_type, "data": part.data}
    if part.media_type in _IMAGES:
        return {"type": "image", "source": source}
    if part.media_type == _PDF:
        return {"type": "document", "source": source}
    raise UntellableError(f"a file of type {part.media_type[:80]}")


def _link(part: Link) -> dict[str, Any]:
    kind = "document" if part.media_type == _PDF else "image"
    return {"type": kind, "source": {"type": "url", "url": part.url}}


def _call(part: Call) -> dict[str, Any]:
    return {
        "type": "tool_use",
        "id": part.call_id,
        "name": part.name,
        "input": dict(part.arguments),
    }


def _result(part: Result) -> dict[str, Any]:
    return {
        "type": "tool_result",
        "tool_use_id": part.call_id,
        "content": [_block(inner) for inner in part.parts],
    }


_BLOCKS: Final[Mapping[type[Part], Callable[[Any], dict[str, Any]]]] = {
    Text: _text,
    Blob: _blob,
    Link: _link,
    Call: _call,
    Result: _result,
}
