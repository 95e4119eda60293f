"""A conversation of the OpenAI API as turns of two sides, which most other APIs want.

System messages become one text, wherever they stood; messages of one side in a row become
one turn; a tool's result is a part of the user's turn, in the order of the calls. What is
a hint and nothing more (a participant's `name`, an image's `detail`) is left out.
"""

import json
import mimetypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from arenalab.fallback.wire.adapter import UntellableError

_DATA_URL: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[^;,]*)*;base64,(.*)", re.DOTALL)
_AUDIO: Final = {"wav": "audio/wav", "mp3": "audio/mp3"}
_BETWEEN_SYSTEM_TEXTS: Final = "\n\n"


@dataclass(frozen=True, slots=True)
class Text:
    """Words."""

    text: str


@dataclass(frozen=True, slots=True)
class Blob:
    """A file, here."""

    media_type: str
    data: str  # base64


@dataclass(frozen=True, slots=True)
class Link:
    """A file, elsewhere."""

    url: str
    media_type: str  # by its name; empty when that does not say


@dataclass(frozen=True, slots=True)
class Call:
    """The model calls a tool."""

    call_id: str
    name: str
    arguments: Mapping[str, Any]
    extra: Mapping[str, Any]  # what an adapter put beside the call when it was made


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool returned."""

    call_id: str
    name: str
    parts: Sequence[Text | Blob | Link]


Part = Text | Blob | Link | Call | Result


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side said, until the other spoke."""

    is_models: bool
    parts: Sequence[Part]


@dataclass(slots=True)
class Conversation:
    """A conversation, as far as it is read."""

    system: str = ""
    turns: list[Turn] = field(default_factory=list)

    def add(self, *, is_models: bool, parts: Sequence[Part]) -> None:
        """Adds what a side said; to its turn, if it is still its turn."""
        if not parts:
            return
        if self.turns and self.turns[-1].is_models == is_models:
            parts = [*self.turns.pop().parts, *parts]
        self.turns.append(Turn(is_models, parts))


def read_conversation(messages: Sequence[Mapping[str, Any]]) -> Conversation:
    """Returns the messages as turns.

    Raises:
        UntellableError: A message has a role, a part or a call that is not known.
    """
    found = Conversation()
    calls: dict[str, str] = {}  # names by id, in order
    for n, message in enumerate(messages):
        where, role = f"messages[{n}]", message.get("role")
        if role in ("system", "developer"):
            texts = [part.text for part in _parts(message, where) if isinstance(part, Text)]
            found.system = _BETWEEN_SYSTEM_TEXTS.join(filter(None, [found.system, *texts]))
        elif role == "user":
            found.add(is_models=False, parts=_parts(message, where))
        elif role == "assistant":
            made = _calls(message, where)
            calls |= {call.call_id: call.name for call in made}
            found.add(is_models=True, parts=[*_said(message, where), *made])
        elif role == "tool":
            found.add(is_models=False, parts=[_result(message, where, calls)])
        else:
            raise UntellableError(f"{where}.role")
    if not any(not turn.is_models for turn in found.turns):
        raise UntellableError("messages without one of the user")
    order = {call_id: n for n, call_id in enumerate(calls)}
    found.turns = [_in_order(turn, order) for turn in found.turns]
    return found


def _in_order(turn: Turn, order: Mapping[str, int]) -> Turn:
    """Returns a turn with the tools' results first, in the order of their calls."""
    results = [part for part in turn.parts if isinstance(part, Result)]
    if not results:
        return turn
    others = [part for part in turn.parts if not isinstance(part, Result)]
    return Turn(turn.is_models, [*sorted(results, key=lambda r: order[r.call_id]), *others])


def _parts(message: Mapping[str, Any], where: str) -> list[Text | Blob | Link]:
    content = message.get("content")
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content)] if content else []
    if not isinstance(content, list):
        raise UntellableError(f"{where}.content")
    found = (_part(part, f"{where}.content[{n}]") for n, part in enumerate(content))
    return [part for part in found if part != Text("")]


def _part(part: object, where: str) -> Text | Blob | Link:
    kind = part.get("type") if isinstance(part, Mapping) else None
    value = part.get(kind) if isinstance(part, Mapping) and isinstance(kind, str) else None
    if kind in ("text", "refusal") and isinstance(value, str):
        return Text(value)
    if kind == "image_url":
        url = value.get("url") if isinstance(value, Mapping) else value
        if isinstance(url, str):
            return _file(url, where)
    if kind == "input_audio" and isinstance(value, Mapping):
        media_type, data = _AUDIO.get(str(value.get("format"))), value.get("data")
        if media_type and isinstance(data, str):
            return Blob(media_type, data)
    if kind == "file" and isinstance(value, Mapping) and isinstance(value.get("file_data"), str):
        return _file(value["file_data"], where)
    raise UntellableError(where)


def _file(url: str, where: str) -> Blob | Link:
    if found := _DATA_URL.fullmatch(url):
        return Blob(found[1].lower(), found[2])
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UntellableError(where) from error
    if parts.scheme not in ("http", "https"):
        raise UntellableError(where)
    return Link(url, mimetypes.guess_type(parts.path)[0] or "")


def _said(message: Mapping[str, Any], where: str) -> list[Text | Blob | Link]:
    refusal = message.get("refusal")
    said = _parts(message, where)
    return [*said, Text(refusal)] if isinstance(refusal, str) and refusal else said


def _calls(message: Mapping[str, Any], where: str) -> list[Call]:
    if message.get("function_call") or message.get("audio"):
        raise UntellableError(f"{where}: a function_call or audio")
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise UntellableError(f"{where}.tool_calls")
    return [_call(call, f"{where}.tool_calls[{n}]") for n, call in enumerate(calls)]


def _call(call: object, where: str) -> Call:
    if not isinstance(call, Mapping) or call.get("type", "function") != "function":
        raise UntellableError(where)
    function, call_id = call.get("function"), call.get("id")
    if not isinstance(function, Mapping) or not isinstance(call_id, str):
        raise UntellableError(where)
    name, arguments = function.get("name"), function.get("arguments") or "{}"
    if not isinstance(name, str) or not isinstance(arguments, str):
        raise UntellableError(where)
    try:
        found = json.loads(arguments)
    except (ValueError, RecursionError) as error:
        raise UntellableError(f"{where}.function.arguments") from error
    if not isinstance(found, dict):
        raise UntellableError(f"{where}.function.arguments")
    extra = call.get("extra_content")
    return Call(call_id, name, found, extra if isinstance(extra, Mapping) else {})


def _result(message: Mapping[str, Any], where: str, calls: Mapping[str, str]) -> Result:
    call_id = message.get("tool_call_id")
    if not isinstance(call_id, str) or call_id not in calls:
        raise UntellableError(f"{where}: a tool's result without its call")
    return Result(call_id, calls[call_id], _parts(message, where))
