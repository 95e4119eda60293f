"""The `input` of a Responses request as chat messages.

What they share is checked where chat messages are; here is what only items have. An
item that nobody behind the gateway understands is refused, never dropped in silence.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from arenalab.gateway.errors import ApiError, bad_request
from arenalab.gateway.fields import Fields, missing, object_at, wrong_type
from arenalab.gateway.messages import MAX_MESSAGES

_ROLES: Final = ("user", "assistant", "system", "developer")
MAX_ITEMS: Final = 2 * MAX_MESSAGES  # several calls may be of one message
Message = dict[str, Any]


@dataclass(slots=True)
class Items:
    """The messages of an input."""

    messages: list[Message] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)  # the types of items that were left out


def parse_input(value: Any) -> Items:
    """Reads the `input` of a request: one text, or a list of items.

    Raises:
        ApiError: 400; `param` names the member that is wrong.
    """
    if value is None:
        raise missing("input")
    if isinstance(value, str):
        return Items([{"role": "user", "content": value}])
    if not isinstance(value, list):
        raise wrong_type("input", value, list)
    if not 1 <= len(value) <= MAX_ITEMS:
        raise bad_request(
            f"input must hold 1 to {MAX_ITEMS} items, got {len(value)}", param="input"
        )
    items = Items()
    for n, item in enumerate(value):
        _add(items, object_at(f"input[{n}]", item))
    return items


def _add(items: Items, fields: Fields) -> None:
    # A message may leave its type out.
    kind = fields.string("type") or ("message" if fields.get("role") is not None else None)
    if kind is None:
        raise missing(fields.at("type"))
    if kind == "reasoning":  # another provider's thoughts, which nobody here can read
        items.ignored.append(kind)
        return
    read = _READERS.get(kind)
    if read is None:
        raise _unsupported(fields.at("type"), f"items of type {kind[:80]!r} are not supported")
    read(items.messages, fields)


def _add_message(messages: list[Message], fields: Fields) -> None:
    role = fields.choice("role", _ROLES)
    if role is None:
        raise missing(fields.at("role"))
    content = fields.get("content")
    if content is None:
        raise missing(fields.at("content"))
    messages.append({"role": role, "content": _content(fields.at("content"), content)})


def _add_call(messages: list[Message], fields: Fields) -> None:
    function = {
        "name": fields.required_string("name"),
        "arguments": fields.required_string("arguments"),
    }
    call = {"id": fields.required_string("call_id"), "type": "function", "function": function}
    # In a chat, what an assistant says and the calls that it makes are one message.
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    messages[-1].setdefault("tool_calls", []).append(call)


def _add_call_output(messages: list[Message], fields: Fields) -> None:
    call_id = fields.required_string("call_id")
    output = fields.get("output")
    if output is None:
        raise missing(fields.at("output"))
    content = _content(fields.at("output"), output)
    messages.append({"role": "tool", "tool_call_id": call_id, "content": content})


_READERS: Final[dict[str, Callable[[list[Message], Fields], None]]] = {
    "message": _add_message,
    "function_call": _add_call,
    "function_call_output": _add_call_output,
}


def _content(place: str, value: Any) -> str | list[dict[str, Any]]:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise wrong_type(place, value, str)
    if not value:
        raise bad_request(f"{place} must not be empty", param=place, code="empty_array")
    return [_part(object_at(f"{place}[{n}]", part)) for n, part in enumerate(value)]


def _part(fields: Fields) -> dict[str, Any]:
    kind = fields.choice("type", tuple(_PARTS))
    if kind is None:
        raise missing(fields.at("type"))
    return _PARTS[kind](fields)


def _text_part(fields: Fields) -> dict[str, Any]:
    return {"type": "text", "text": fields.required_string("text")}


def _refusal_part(fields: Fields) -> dict[str, Any]:
    return {"type": "refusal", "refusal": fields.required_string("refusal")}


def _image_part(fields: Fields) -> dict[str, Any]:
    url = fields.string("image_url")
    if url is None:  # named by the id of a file, and nobody keeps files here
        raise _unsupported(fields.at("image_url"), "images are supported by 'image_url' only")
    return {"type": "image_url", "image_url": _with_given(fields, {"url": url}, ("detail",))}


def _file_part(fields: Fields) -> dict[str, Any]:
    data = fields.string("file_data")
    if data is None:
        raise _unsupported(fields.at("file_data"), "files are supported by 'file_data' only")
    return {"type": "file", "file": _with_given(fields, {"file_data": data}, ("filename",))}


def _audio_part(fields: Fields) -> dict[str, Any]:
    audio = fields.nested("input_audio")
    if audio is None:
        raise missing(fields.at("input_audio"))
    given = {"data": audio.required_string("data"), "format": audio.required_string("format")}
    return {"type": "input_audio", "input_audio": given}


_PARTS: Final[dict[str, Callable[[Fields], dict[str, Any]]]] = {
    "input_text": _text_part,
    "output_text": _text_part,
    "text": _text_part,
    "refusal": _refusal_part,
    "input_image": _image_part,
    "input_file": _file_part,
    "input_audio": _audio_part,
}


def _with_given(fields: Fields, base: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    given = {name: fields.string(name) for name in names}
    return base | {name: value for name, value in given.items() if value is not None}


def _unsupported(place: str, message: str) -> ApiError:
    return bad_request(message, param=place, code="unsupported_value")
