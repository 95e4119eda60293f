"""What a provider streams, read: `chat.completion.chunk` objects, or one whole completion.

Tolerant where providers differ (fields absent or null, usage with or without
choices, tool calls without an index), strict where a reader would be misled: an
object of another shape is an error, never an empty answer.
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
    """The provider says, inside a stream, that it failed."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of a completion; any part may be empty."""

    completion_id: str = ""
    model: str = ""
    text: str = ""
    tool_calls_json: str = ""  # a JSON array, or empty
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0


class TextJoiner:
    """Joins the halves of characters that JSON escapes allow to be cut in two.

    A character beyond the basic plane may come as two escapes, one in each of two
    chunks. Half a character is no text: it waits here for its other half.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """Returns the text that is complete now; halves that never meet become U+FFFD."""
        text = self._held + text
        self._held = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._held = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def finish(self) -> str:
        """Returns what waits in vain."""
        held, self._held = self._held, ""
        return "\ufffd" if held else ""


def read_chunk(data: str) -> Chunk:
    """Returns what one JSON object of a completion says.

    Args:
        data: A `chat.completion.chunk`, or a whole `chat.completion`.

    Raises:
        MalformedError: It is not such an object.
        ReportedError: It is an error object.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedError("not JSON") from error
    if not isinstance(found, dict):
        raise MalformedError("not a JSON object")
    if found.get("error"):
        raise ReportedError(error_message(found))
    choices = found.get("choices", [])
    if not isinstance(choices, list) or ("choices" not in found and "usage" not in found):
        raise MalformedError("no choices")
    choice = _object(choices[0], "choice") if choices else {}
    # A whole completion has a message where a chunk has a delta.
    delta = _object(choice.get("delta") or choice.get("message") or {}, "delta")
    usage = _object(found.get("usage") or {}, "usage")
    return Chunk(
        completion_id=_text(found, "id"),
        model=_text(found, "model"),
        # A refusal is what the model says, too.
        text=_text(delta, "content") + _text(delta, "refusal"),
        tool_calls_json=_tool_calls(delta.get("tool_calls") or []),
        finish_reason=_text(choice, "finish_reason"),
        prompt_tokens=_count(usage, "prompt_tokens"),
        completion_tokens=_count(usage, "completion_tokens"),
    )


def error_message(found: object) -> str:
    """Returns the message of an error object, at most 500 characters; "" when it has none."""
    error = found.get("error") if isinstance(found, Mapping) else None
    message = error.get("message") if isinstance(error, Mapping) else error
    if not isinstance(message, str):
        return ""
    # Printable, and in UTF-8: it goes into a gRPC status.
    clean = "".join(c if c.isprintable() else " " for c in message).strip()
    return clean[:_MAX_MESSAGE_CHARS]


def _object(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise MalformedError(f"{name} is not an object")
    return value


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise MalformedError(f"{name} is not a string")
    return value


def _count(found: Mapping[str, Any], name: str) -> int:
    value = found.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return min(max(value, 0), _MAX_UINT32)


def _tool_calls(calls: object) -> str:
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise MalformedError("tool_calls is not an array of objects")
    # A whole completion has no index, but the deltas of a stream must have one.
    indexed = [{"index": n, **call} for n, call in enumerate(calls)]
    return json.dumps(indexed) if indexed else ""
