"""Chat completions of OpenAI, and of all that are compatible: OpenRouter, vLLM, Ollama, llama.cpp.

Source: https://platform.openai.com/docs/api-reference/chat
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

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

_DONE: Final = "[DONE]"
# OpenAI's own models since o1 refuse `max_tokens`; other servers know only that.
_NEW_MAX_TOKENS_HOSTS: Final = ("api.openai.com", ".openai.azure.com")
# Where a compatible server has other words for why an answer ends.
_REASONS: Final = {
    "content_filter": "content_filter",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
}
_FAILURES: Final = ("abort", "error")


@dataclass(frozen=True, slots=True)
class OpenAiAdapter:
    """Passes requests on as they are: they are in this format already."""

    base_url: str

    def request(self, body: Mapping[str, Any]) -> WireRequest:
        told = {**body, "stream": True, "stream_options": {"include_usage": True}}
        host = urlsplit(self.base_url).hostname or ""
        if "max_tokens" in told and host.endswith(_NEW_MAX_TOKENS_HOSTS):
            told["max_completion_tokens"] = told.pop("max_tokens")
        return WireRequest("/chat/completions", told, {})

    def key_headers(self, key: str) -> Mapping[str, str]:
        return {"authorization": f"Bearer {key}"}

    def reader(self) -> StreamReader:
        return _Reader()

    def whole(self, data: str) -> Sequence[Chunk]:
        return [read_chunk(data)]

    def refuses_key(self, error: object) -> bool:
        found = error.get("error") if isinstance(error, Mapping) else None
        return isinstance(found, Mapping) and found.get("code") == "invalid_api_key"


class _Reader:
    def __init__(self) -> None:
        self.is_done = False
        self.may_end = False

    def read(self, event: SseEvent) -> Chunk | None:
        if event.data == _DONE:
            self.is_done = True
            return None
        chunk = read_chunk(event.data)
        self.may_end = self.may_end or bool(chunk.finish_reason)
        return chunk


def read_chunk(data: str) -> Chunk:
    """Returns what one JSON object of a completion says.

    Args:
        data: A `chat.completion.chunk`, or a whole `chat.completion`.

    Raises:
        MalformedError: It is not such an object.
        ReportedError: It is an error object.
    """
    found = parse_object(data)
    if found.get("error"):
        raise ReportedError(reported(found))
    choices = objects_of(found.get("choices"), "choices")
    if "choices" not in found and "usage" not in found:
        raise MalformedError("no choices")
    choice = choices[0] if choices else {}
    # A whole completion has a message where a chunk has a delta.
    delta = object_of(choice.get("delta") or choice.get("message"), "delta")
    usage = object_of(found.get("usage"), "usage")
    prompt = object_of(usage.get("prompt_tokens_details"), "prompt_tokens_details")
    completion = object_of(usage.get("completion_tokens_details"), "completion_tokens_details")
    return Chunk(
        completion_id=text_of(found, "id"),
        model=text_of(found, "model"),
        text=text_of(delta, "content"),
        refusal=text_of(delta, "refusal"),
        tool_calls_json=_tool_calls(delta.get("tool_calls")),
        finish_reason=_finish_reason(text_of(choice, "finish_reason")),
        prompt_tokens=count_of(usage, "prompt_tokens"),
        completion_tokens=count_of(usage, "completion_tokens"),
        cached_prompt_tokens=count_of(prompt, "cached_tokens"),
        reasoning_tokens=count_of(completion, "reasoning_tokens"),
    )


def _finish_reason(said: str) -> str:
    if said in _FAILURES:
        raise ReportedError(f"it ended with {said!r}")
    return _REASONS.get(said, "stop") if said else ""


def _tool_calls(calls: object) -> str:
    # A whole completion has no index, but the deltas of a stream must have one.
    indexed = [{"index": n, **call} for n, call in enumerate(objects_of(calls, "tool_calls"))]
    return json.dumps(indexed) if indexed else ""
