"""Tool calls as they stream: each call's id, type and name once, its text in pieces."""

import json
from dataclasses import dataclass, field
from typing import Any, Final

from arenalab.mesh import NotReadyError, Reason
from arenalab.pieces.text import TextJoiner, characters

_MALFORMED: Final = (
    ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError,
)  # fmt: skip
_CUSTOM: Final = "custom"
_FUNCTION: Final = "function"


@dataclass(slots=True)
class _Call:
    """One call, as far as it has come."""

    id: str = ""
    type: str = ""
    name: str = ""
    text: str = ""  # a function's arguments, or a custom tool's input
    # What a provider wants back with the call, such as Gemini's signature of its thoughts.
    extra: dict[str, Any] = field(default_factory=dict)
    joiner: TextJoiner = field(default_factory=TextJoiner)

    @property
    def kind(self) -> str:
        return _CUSTOM if self.type == _CUSTOM else _FUNCTION

    @property
    def text_name(self) -> str:
        return "input" if self.type == _CUSTOM else "arguments"

    def whole(self) -> dict[str, Any]:
        body = {"name": self.name, self.text_name: self.text}
        return {"id": self.id, "type": self.kind, self.kind: body, **self.extra}


class ToolCalls:
    """The tool calls of one answer, by their index, from the deltas of a provider.

    Some providers repeat a call's id and name in every delta. Clients join strings
    with the same key, so a repeated id would become "call_1call_1".
    """

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, tool_calls_json: str) -> list[dict[str, Any]]:
        """Takes a JSON array of deltas of the OpenAI API; returns what of it is new.

        Raises:
            NotReadyError: PROVIDER_FAILED; it is not such an array.
        """
        try:
            return [self._add(delta) for delta in json.loads(tool_calls_json)]
        except _MALFORMED as error:
            raise NotReadyError(
                "the provider sent a malformed tool call", Reason.PROVIDER_FAILED
            ) from error

    def _add(self, delta: dict[str, Any]) -> dict[str, Any]:
        fresh: dict[str, Any] = {"index": int(delta["index"])}
        call = self._calls.setdefault(fresh["index"], _Call())
        if (value := delta.get("id")) and not call.id:
            fresh["id"] = call.id = characters(str(value))
        kind = delta.get("type") or (delta.get(_CUSTOM) is not None and _CUSTOM)
        if kind and not call.type:
            call.type = str(kind)
            fresh["type"] = call.kind
        if isinstance(value := delta.get("extra_content"), dict) and not call.extra:
            call.extra = json.loads(characters(json.dumps({"extra_content": value})))
            fresh |= call.extra
        body = self._add_body(call, delta.get(call.kind) or {})
        return fresh | ({call.kind: body} if body else {})

    def _add_body(self, call: _Call, body: dict[str, Any]) -> dict[str, str]:
        fresh = {}
        if (value := body.get("name")) and not call.name:
            fresh["name"] = call.name = characters(str(value))
        if (value := body.get(call.text_name)) is not None:
            piece = call.joiner.feed(str(value))
            fresh[call.text_name] = piece
            call.text += piece
        return fresh

    @property
    def indexes(self) -> list[int]:
        """The index of each call, in order."""
        return sorted(self._calls)

    def call(self, index: int) -> dict[str, Any]:
        """Returns one call as a message carries it, as far as it has come."""
        return self._calls[index].whole()

    def whole(self) -> list[dict[str, Any]]:
        """Returns the calls as a message carries them."""
        return [self.call(index) for index in self.indexes]
