"""Pieces of a completion, and what reads them out of JSON.

Tolerant where providers differ (fields absent or null), strict where a reader would be
misled: an object of another shape is an error, never an empty answer.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_MAX_MESSAGE_CHARS: Final = 500
_MAX_UINT32: Final = 2**32 - 1


class MalformedError(ValueError):
    """What the provider sent is not what its API promises."""


class ReportedError(ValueError):
    """The provider says, inside a stream, that it failed. The message is its own, uncut."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of a completion; any part may be empty."""

    completion_id: str = ""
    model: str = ""
    text: str = ""
    tool_calls_json: str = ""  # a JSON array of OpenAI tool-call deltas, or empty
    finish_reason: str = ""  # of the OpenAI API
    prompt_tokens: int = 0
    completion_tokens: int = 0
    refusal: str = ""
    cached_prompt_tokens: int = 0  # of prompt_tokens
    reasoning_tokens: int = 0  # of completion_tokens

    def joins(self, other: "Chunk") -> bool:
        """Returns whether the chunk after this one can be told in one with it."""
        # Two deltas of one tool call in one chunk: clients read the second as another call.
        return not (self.tool_calls_json or other.tool_calls_json)

    def joined(self, other: "Chunk") -> "Chunk":
        """Returns this chunk and the one after it as one."""
        return Chunk(
            completion_id=self.completion_id or other.completion_id,
            model=self.model or other.model,
            text=self.text + other.text,
            finish_reason=other.finish_reason or self.finish_reason,
            prompt_tokens=other.prompt_tokens or self.prompt_tokens,
            completion_tokens=other.completion_tokens or self.completion_tokens,
            refusal=self.refusal + other.refusal,
            cached_prompt_tokens=other.cached_prompt_tokens or self.cached_prompt_tokens,
            reasoning_tokens=other.reasoning_tokens or self.reasoning_tokens,
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of a completion, as far as its chunks have counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_prompt_tokens: int = 0
    reasoning_tokens: int = 0

    def with_counts_of(self, chunk: Chunk) -> "Usage":
        """Returns it with the counts that a chunk has: each is of the whole so far."""
        return Usage(
            chunk.prompt_tokens or self.prompt_tokens,
            chunk.completion_tokens or self.completion_tokens,
            chunk.cached_prompt_tokens or self.cached_prompt_tokens,
            chunk.reasoning_tokens or self.reasoning_tokens,
        )


def parse_object(data: str) -> Mapping[str, Any]:
    """Returns one JSON object.

    Raises:
        MalformedError: It is none.
    """
    found = parse_json(data)
    if not isinstance(found, dict):
        raise MalformedError("not a JSON object")
    return found


def parse_json(data: str) -> Any:
    """Returns the value of a JSON text.

    Raises:
        MalformedError: It is none.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedError("not JSON") from error


def reported(found: object) -> str:
    """Returns the message of an error object in the provider's own words; "" without one.

    Every provider has `{"error": {"message": …}}`. Ollama has `{"error": "…"}`, older
    vLLM `{"message": "…"}`, FastAPI `{"detail": "…"}`; Gemini may put it into an array.
    """
    if isinstance(found, list) and found:
        found = found[0]
    if not isinstance(found, Mapping):
        return ""
    error = found.get("error")
    inner = error.get("message") if isinstance(error, Mapping) else error
    said = (inner, found.get("message"), found.get("detail"))
    return next((each for each in said if isinstance(each, str)), "")


def presentable(message: str) -> str:
    """Returns a provider's message as a caller may see it: printable, at most 500 characters."""
    # In UTF-8 too: it goes into a gRPC status.
    clean = "".join(c if c.isprintable() else " " for c in message).strip()
    return clean[:_MAX_MESSAGE_CHARS]


def object_of(value: object, name: str) -> Mapping[str, Any]:
    """Returns a value that must be an object; absent and null are empty ones.

    Raises:
        MalformedError: It is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MalformedError(f"{name} is not an object")
    return value


def objects_of(value: object, name: str) -> list[Mapping[str, Any]]:
    """Returns a value that must be an array of objects; absent and null are empty ones.

    Raises:
        MalformedError: It is something else.
    """
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise MalformedError(f"{name} is not an array of objects")
    return value


def text_of(found: Mapping[str, Any], name: str) -> str:
    """Returns a member that must be a string; absent and null are empty ones.

    Raises:
        MalformedError: It is something else.
    """
    value = found.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise MalformedError(f"{name} is not a string")
    return value


def count_of(found: Mapping[str, Any], name: str) -> int:
    """Returns a member that counts something, in [0, 2^32); 0 for one that is no count."""
    value = found.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return min(max(value, 0), _MAX_UINT32)
