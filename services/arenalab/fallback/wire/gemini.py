"""generateContent of Google Gemini.

Source: https://ai.google.dev/api/generate-content, version v1beta. Its OpenAI-compatible
surface is OpenAI's format: a base URL that ends in "/openai" gets that adapter.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from arenalab.fallback.chunks import (
    Chunk,
    MalformedError,
    ReportedError,
    count_of,
    object_of,
    objects_of,
    parse_json,
    parse_object,
    reported,
    text_of,
)
from arenalab.fallback.sse import SseEvent
from arenalab.fallback.wire.adapter import StreamReader, WireRequest
from arenalab.fallback.wire.gemini_request import generate_request

_REASONS: Final = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "ESCALATION": "content_filter",
    "PUP_LIMITED_DISABLED": "content_filter",
    "MODEL_ARMOR": "content_filter",
}
# The model went wrong: what it said is no answer.
_FAILURES: Final = frozenset(
    {
        "IMAGE_OTHER", "MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE", "NO_IMAGE", "OTHER", "TOO_MANY_TOOL_CALLS",
        "UNEXPECTED_TOOL_CALL",
    }
)  # fmt: skip
_BAD_KEY: Final = "API_KEY_INVALID"


@dataclass(frozen=True, slots=True)
class GeminiAdapter:
    """Speaks generateContent."""

    def request(self, body: Mapping[str, Any]) -> WireRequest:
        # Quoted whole: the name is the caller's, and must stay one segment of the path.
        model = quote(str(body["model"]).removeprefix("models/"), safe="")
        path = f"/models/{model}:streamGenerateContent?alt=sse"
        return WireRequest(path, generate_request(body), {})

    def key_headers(self, key: str) -> Mapping[str, str]:
        return {"x-goog-api-key": key}  # never in the URL, which proxies log

    def reader(self) -> StreamReader:
        return _Reader()

    def whole(self, data: str) -> Sequence[Chunk]:
        found = parse_json(data)
        reader = _Reader()
        # Without "alt=sse" a stream is one array.
        chunks = [reader.take(item) for item in (found if isinstance(found, list) else [found])]
        if not reader.may_end:
            raise MalformedError("it has no end")
        return chunks

    def refuses_key(self, error: object) -> bool:
        # With status 400, as any other bad request.
        if isinstance(error, list) and error:
            error = error[0]
        found = error.get("error") if isinstance(error, Mapping) else None
        details = found.get("details") if isinstance(found, Mapping) else None
        return isinstance(details, list) and any(
            isinstance(each, Mapping) and each.get("reason") == _BAD_KEY for each in details
        )


@dataclass(slots=True)
class _Reader:
    """Reads one stream."""

    is_done: bool = False  # never: the end of the stream is the end
    may_end: bool = False
    _calls: int = 0
    _id: str = field(default="")

    def read(self, event: SseEvent) -> Chunk | None:
        return self.take(parse_object(event.data))

    def take(self, found: object) -> Chunk:
        if not isinstance(found, dict):
            raise MalformedError("not a JSON object")
        if found.get("error"):
            raise ReportedError(reported(found))
        candidates = objects_of(found.get("candidates"), "candidates")
        feedback = object_of(found.get("promptFeedback"), "promptFeedback")
        if not candidates and not feedback and "usageMetadata" not in found:
            raise MalformedError("no candidates")
        candidate = candidates[0] if candidates else {}
        self._id = self._id or text_of(found, "responseId")
        content = object_of(candidate.get("content"), "content")
        parts = objects_of(content.get("parts"), "parts")
        calls = [self._call(part) for part in parts if part.get("functionCall")]
        finish_reason, refusal = self._end(candidate, feedback)
        return Chunk(
            completion_id=text_of(found, "responseId"),
            model=text_of(found, "modelVersion"),
            # What it thinks is no part of the answer.
            text="".join(
                text_of(part, "text") for part in parts if part.get("thought") is not True
            ),
            tool_calls_json=json.dumps(calls) if calls else "",
            finish_reason=finish_reason,
            refusal=refusal,
            **_usage(object_of(found.get("usageMetadata"), "usageMetadata")),
        )

    def _call(self, part: Mapping[str, Any]) -> dict[str, Any]:
        call = object_of(part.get("functionCall"), "functionCall")
        index, self._calls = self._calls, self._calls + 1
        told: dict[str, Any] = {
            "index": index,
            # It need not give ids; a client must have one, and one only, for each call.
            "id": text_of(call, "id") or f"call_{self._id or 'gemini'}_{index}",
            "type": "function",
            "function": {
                "name": text_of(call, "name"),
                "arguments": json.dumps(object_of(call.get("args"), "args")),
            },
        }
        if signature := text_of(part, "thoughtSignature"):
            # Where Gemini's own translation of the OpenAI API has it, too.
            told["extra_content"] = {"google": {"thought_signature": signature}}
        return told

    def _end(self, candidate: Mapping[str, Any], feedback: Mapping[str, Any]) -> tuple[str, str]:
        """Returns the reason why the answer ends here, and a refusal; both may be empty.

        Raises:
            ReportedError: The model went wrong.
        """
        if blocked := text_of(feedback, "blockReason"):
            self.may_end = True
            return "content_filter", f"The provider blocked the question: {blocked}."
        reason = text_of(candidate, "finishReason")
        if not reason or reason == "FINISH_REASON_UNSPECIFIED":
            return "", ""
        if reason in _FAILURES:
            raise ReportedError(f"it ended with {reason}")
        self.may_end = True
        told = _REASONS.get(reason, "stop")
        if told == "content_filter":
            said = text_of(candidate, "finishMessage")
            return told, said or f"The provider ended the answer: {reason}."
        return ("tool_calls" if told == "stop" and self._calls else told), ""


def _usage(usage: Mapping[str, Any]) -> dict[str, int]:
    thoughts = count_of(usage, "thoughtsTokenCount")
    return {
        "prompt_tokens": count_of(usage, "promptTokenCount")
        + count_of(usage, "toolUsePromptTokenCount"),
        "completion_tokens": count_of(usage, "candidatesTokenCount") + thoughts,
        "cached_prompt_tokens": count_of(usage, "cachedContentTokenCount"),
        "reasoning_tokens": thoughts,
    }
