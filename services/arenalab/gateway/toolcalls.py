"""Tool calls as they stream: each call's id, type and name once, its arguments in pieces."""

import json
from dataclasses import dataclass, field
from typing import Any

from arenalab.mesh import NotReadyError, Reason


@dataclass(slots=True)
class _Call:
    """One call, as far as it has come."""

    id: str = ""
    type: str = ""
    name: str = ""
    arguments: str = ""
    # What a provider wants back with the call, such as Gemini's signature of its thoughts.
    extra: dict[str, Any] = field(default_factory=dict)


class ToolCalls:
    """The tool calls of one answer, from the deltas of a provider.

    Some providers repeat a call's id and name in every delta. Clients join strings
    with the same key, so a repeated id would become "call_1call_1".
    """

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, tool_calls_json: str) -> list[dict[str, Any]]:
        """Takes a JSON array of deltas; returns what of it is new.

        Raises:
            NotReadyError: It is not such an array.
        """
        try:
            return [self._add(delta) for delta in json.loads(tool_calls_json)]
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise NotReadyError(
                "the provider sent a malformed tool call", Reason.PROVIDER_FAILED
            ) from error

    def _add(self, delta: dict[str, Any]) -> dict[str, Any]:
        fresh: dict[str, Any] = {"index": int(delta["index"])}
        call = self._calls.setdefault(fresh["index"], _Call())
        function = delta.get("function") or {}
        fresh_function = {}
        if (value := delta.get("id")) and not call.id:
            fresh["id"] = call.id = str(value)
        if (value := delta.get("type")) and not call.type:
            fresh["type"] = call.type = str(value)
        if isinstance(value := delta.get("extra_content"), dict) and not call.extra:
            call.extra = {"extra_content": value}
            fresh |= call.extra
        if (value := function.get("name")) and not call.name:
            fresh_function["name"] = call.name = str(value)
        if (value := function.get("arguments")) is not None:
            fresh_function["arguments"] = str(value)
            call.arguments += str(value)
        return fresh | ({"function": fresh_function} if fresh_function else {})

    @property
    def indexes(self) -> list[int]:
        """The index of each call, in order."""
        return sorted(self._calls)

    def call(self, index: int) -> dict[str, Any]:
        """Returns one call as a message carries it, as far as it has come."""
        call = self._calls[index]
        return {
            "id": call.id,
            "type": call.type or "function",
            "function": {"name": call.name, "arguments": call.arguments},
            **call.extra,
        }

    def whole(self) -> list[dict[str, Any]]:
        """Returns the calls as a message carries them."""
        return [self.call(index) for index in self.indexes]
