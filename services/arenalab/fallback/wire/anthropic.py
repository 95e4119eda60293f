"""The Messages API of Anthropic.

Source: https://platform.claude.com/docs/en/api/messages, versions 2023-06-01 and
2026-10-21.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from arenalab.fallback.chunks import (
    Chunk,
    MalformedError,
    ReportedError,
    count_of,
    object_of,
    objects_of,
    parse_object,
    reported,
    text_of,
)
from arenalab.fallback.sse import SseEvent
from arenalab.fallback.wire.adapter import StreamReader, WireRequest
from arenalab.fallback.wire.anthropic_request import message_request

# What it says of why it stopped. "pause_turn" leaves the answer unfinished, as "length"
# does; nothing that this adapter asks for leads to it.
_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",
    "refusal": "content_filter",
}
_REFUSED: Final = "The provider declined to answer."


@dataclass(frozen=True, slots=True)
class AnthropicAdapter:
    """Speaks Messages."""

    version: str
    max_tokens: int  # to generate at most, when a request does not say

    def request(self, body: Mapping[str, Any]) -> WireRequest:
        told = message_request(body, version=self.version, max_tokens=self.max_tokens)
        return WireRequest("/messages", told, {"anthropic-version": self.version})

    def key_headers(self, key: str) -> Mapping[str, str]:
        return {"x-api-key": key}

    def reader(self) -> StreamReader:
        return _Reader()

    def whole(self, data: str) -> Sequence[Chunk]:
        return [_whole(parse_object(data))]

    def refuses_key(self, error: object) -> bool:
        found = error.get("error") if isinstance(error, Mapping) else None
        return isinstance(found, Mapping) and found.get("type") == "authentication_error"


class _Reader:
    """Reads one stream; tool calls are counted from 0, blocks of content are not."""

    def __init__(self) -> None:
        self.is_done = False
        self.may_end = False
        self._calls: dict[int, int] = {}  # the tool call that each block of content is
        self._without_input: set[int] = set()  # blocks that are calls, and said none so far

    def read(self, event: SseEvent) -> Chunk | None:
        found = parse_object(event.data)
        kind = text_of(found, "type")
        if kind == "error":
            raise ReportedError(reported(found))
        if kind == "message_start":
            return _start(object_of(found.get("message"), "message"))
        if kind == "content_block_start":
            return self._block(found)
        if kind == "content_block_delta":
            return self._delta(found)
        if kind == "message_delta":
            return self._closing(found)
        if kind == "message_stop":
            self.is_done = self.may_end = True
        elif not kind:
            raise MalformedError("an event without a type")
        elif kind == "content_block_stop" and count_of(found, "index") in self._without_input:
            # A call of a tool that takes nothing says nothing; its arguments are JSON still.
            return self._input(count_of(found, "index"), "{}")
        # ping, and what may be added to the API.
        return None

    def _block(self, found: Mapping[str, Any]) -> Chunk:
        block = object_of(found.get("content_block"), "content_block")
        if block.get("type") != "tool_use":
            return Chunk(text=text_of(block, "text"))  # as a rule empty, and thinking has none
        index = count_of(found, "index")
        number = self._calls[index] = len(self._calls)
        given = object_of(block.get("input"), "input")
        if not given:  # it comes in pieces
            self._without_input.add(index)
        call = _call(block, number, json.dumps(given) if given else "")
        return Chunk(tool_calls_json=json.dumps([call]))

    def _delta(self, found: Mapping[str, Any]) -> Chunk:
        delta = object_of(found.get("delta"), "delta")
        if delta.get("type") != "input_json_delta":  # thinking and signatures have no "text"
            return Chunk(text=text_of(delta, "text"))
        piece = text_of(delta, "partial_json")
        return self._input(count_of(found, "index"), piece) if piece else Chunk()

    def _input(self, index: int, piece: str) -> Chunk:
        if index not in self._calls:
            raise MalformedError("input for a tool that was not named")
        self._without_input.discard(index)
        told = {"index": self._calls[index], "function": {"arguments": piece}}
        return Chunk(tool_calls_json=json.dumps([told]))

    def _closing(self, found: Mapping[str, Any]) -> Chunk:
        delta = object_of(found.get("delta"), "delta")
        reason = text_of(delta, "stop_reason")
        self.may_end = self.may_end or bool(reason)
        return Chunk(
            finish_reason=_REASONS.get(reason, "stop") if reason else "",
            refusal=_refusal(delta),
            **_usage(found),
        )


def _start(message: Mapping[str, Any]) -> Chunk:
    return Chunk(
        completion_id=text_of(message, "id"), model=text_of(message, "model"), **_usage(message)
    )


def _whole(message: Mapping[str, Any]) -> Chunk:
    if message.get("error"):
        raise ReportedError(reported(message))
    if message.get("type") != "message":
        raise MalformedError("no message")
    blocks = objects_of(message.get("content"), "content")
    calls = [block for block in blocks if block.get("type") == "tool_use"]
    told = [_call(call, n, json.dumps(call.get("input") or {})) for n, call in enumerate(calls)]
    return Chunk(
        completion_id=text_of(message, "id"),
        model=text_of(message, "model"),
        text="".join(text_of(block, "text") for block in blocks if block.get("type") == "text"),
        tool_calls_json=json.dumps(told) if told else "",
        finish_reason=_REASONS.get(text_of(message, "stop_reason"), "stop"),
        refusal=_refusal(message),
        **_usage(message),
    )


def _call(block: Mapping[str, Any], index: int, arguments: str) -> dict[str, Any]:
    function = {"name": text_of(block, "name"), "arguments": arguments}
    return {"index": index, "id": text_of(block, "id"), "type": "function", "function": function}


def _refusal(found: Mapping[str, Any]) -> str:
    if found.get("stop_reason") != "refusal":
        return ""
    details = object_of(found.get("stop_details"), "stop_details")
    return text_of(details, "explanation") or _REFUSED


def _usage(found: Mapping[str, Any]) -> dict[str, Any]:
    usage = object_of(found.get("usage"), "usage")
    details = object_of(usage.get("output_tokens_details"), "output_tokens_details")
    cached = count_of(usage, "cache_read_input_tokens")
    # OpenAI counts what came from a cache, or went into one, as a part of the prompt.
    prompt = count_of(usage, "input_tokens") + cached
    prompt += count_of(usage, "cache_creation_input_tokens")
    is_said = usage.get("input_tokens") is not None  # the last event may count the output alone
    return {
        "prompt_tokens": prompt if is_said else 0,
        "completion_tokens": count_of(usage, "output_tokens"),
        "cached_prompt_tokens": cached if is_said else 0,
        "reasoning_tokens": count_of(details, "thinking_tokens"),
    }
