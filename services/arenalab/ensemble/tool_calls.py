"""The tool calls of one answer, put together from the pieces in which they came."""

import json
from typing import Any

from arenalab.mesh import NotReadyError, Reason

_NO_JSON = (ValueError, RecursionError)
_ONCE = ("id", "type", "name")
_TEXTS = ("arguments", "input")


class ToolCalls:
    """Calls by their index, as far as they have come."""

    def __init__(self) -> None:
        self._calls: dict[int, dict[str, Any]] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, tool_calls_json: str) -> None:
        """Takes a JSON array of deltas of the OpenAI API.

        Raises:
            NotReadyError: PROVIDER_FAILED; it is not such an array.
        """
        try:
            for delta in json.loads(tool_calls_json):
                self._add(delta)
        except (LookupError, TypeError, AttributeError, ArithmeticError, *_NO_JSON) as error:
            raise NotReadyError(
                "the provider sent a malformed tool call", Reason.PROVIDER_FAILED
            ) from error

    def _add(self, delta: dict[str, Any]) -> None:
        call = self._calls.setdefault(int(delta["index"]), {})
        said = {**delta, **(delta.get("custom") or {}), **(delta.get("function") or {})}
        if delta.get("custom") is not None:
            call.setdefault("type", "custom")
        for name in _ONCE:
            if said.get(name) and not call.get(name):
                call[name] = str(said[name])
        # What a provider wants back with the call, such as Gemini's signature of its thoughts.
        if isinstance(delta.get("extra_content"), dict):
            call["extra_content"] = delta["extra_content"]
        for name in _TEXTS:
            if said.get(name) is not None:
                call[name] = call.get(name, "") + str(said[name])

    def whole(self) -> list[dict[str, Any]]:
        """Returns the calls as a message carries them."""
        return [_told(call) for _, call in sorted(self._calls.items())]


def characters(text: str) -> str:
    """Returns a text in which halves of characters are joined, or U+FFFD where they are alone.

    An escape in JSON can spell half a character, and the other half may come in the next piece.
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _told(call: dict[str, Any]) -> dict[str, Any]:
    call = json.loads(characters(json.dumps(call, ensure_ascii=False)))
    kind = call.get("type", "function")
    text = "input" if kind == "custom" else "arguments"
    body = {"name": call.get("name", ""), text: call.get(text, "")}
    told = {"id": call.get("id", ""), "type": kind, kind: body}
    return told | {name: call[name] for name in ("extra_content",) if name in call}
