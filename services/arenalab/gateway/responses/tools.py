"""Tools, their choice and the output's format: from the flat form to that of a chat."""

from typing import Any, Final

from arenalab.gateway.errors import ApiError, bad_request
from arenalab.gateway.fields import Fields, missing, object_at, wrong_type

MAX_TOOLS: Final = 128
_WORDS: Final = ("none", "auto", "required")
_DEFINITION: Final = ("description", "parameters", "strict")
_FORMATS: Final = ("text", "json_object", "json_schema")
_SCHEMA: Final = ("name", "schema", "strict", "description")


def chat_tools(fields: Fields) -> list[dict[str, Any]] | None:
    """Returns the functions of a request; None when it names no tools.

    Raises:
        ApiError: 400; also for a built-in tool, which nobody here runs.
    """
    tools = fields.array("tools")
    if tools is None:
        return None
    if len(tools) > MAX_TOOLS:
        raise bad_request(
            f"tools must have at most {MAX_TOOLS} items, got {len(tools)}",
            param="tools",
            code="array_above_max_length",
        )
    return [_function(object_at(f"tools[{n}]", tool)) for n, tool in enumerate(tools)]


def _function(fields: Fields) -> dict[str, Any]:
    kind = fields.required_string("type")
    if kind != "function":
        raise _unsupported(
            fields.at("type"), f"tools of type {kind[:80]!r} are not supported, only 'function'"
        )
    function: dict[str, Any] = {"name": fields.required_string("name")}
    fields.string("description")
    fields.nested("parameters")
    fields.boolean("strict")
    given = {name: fields.get(name) for name in _DEFINITION if fields.get(name) is not None}
    return {"type": "function", "function": function | given}


def chat_choice(fields: Fields) -> str | dict[str, Any] | None:
    """Returns the tool choice; None when it is left open.

    Raises:
        ApiError: 400.
    """
    choice = fields.get("tool_choice")
    if choice is None:
        return None
    if isinstance(choice, str):
        return fields.choice("tool_choice", _WORDS)
    if not isinstance(choice, dict):
        raise wrong_type("tool_choice", choice, str)
    named = Fields(choice, "tool_choice")
    kind = named.required_string("type")
    if kind == "function":
        return _named(named)
    if kind == "allowed_tools":
        return _allowed(named)
    raise _unsupported(
        "tool_choice.type", f"a tool choice of type {kind[:80]!r} is not supported, only 'function'"
    )


def _named(fields: Fields) -> dict[str, Any]:
    return {"type": "function", "function": {"name": fields.required_string("name")}}


def _allowed(fields: Fields) -> dict[str, Any]:
    mode = fields.choice("mode", ("auto", "required"))
    if mode is None:
        raise missing(fields.at("mode"))
    tools = [
        object_at(f"{fields.at('tools')}[{n}]", tool)
        for n, tool in enumerate(fields.array("tools") or [])
    ]
    for tool in tools:
        if tool.required_string("type") != "function":
            raise _unsupported(tool.at("type"), "only tools of type 'function' are supported")
    allowed = {"mode": mode, "tools": [_named(tool) for tool in tools]}
    return {"type": "allowed_tools", "allowed_tools": allowed}


def chat_format(text: Fields) -> dict[str, Any] | None:
    """Returns the response format that `text` asks for; None when it asks for none.

    Raises:
        ApiError: 400.
    """
    fields = text.nested("format")
    if fields is None:
        return None
    kind = fields.choice("type", _FORMATS)
    if kind is None:
        raise missing(fields.at("type"))
    if kind != "json_schema":
        return {"type": kind}
    fields.required_string("name")
    if fields.nested("schema") is None:
        raise missing(fields.at("schema"))
    fields.boolean("strict")
    fields.string("description")
    given = {name: fields.get(name) for name in _SCHEMA if fields.get(name) is not None}
    return {"type": "json_schema", "json_schema": given}


def _unsupported(place: str, message: str) -> ApiError:
    return bad_request(message, param=place, code="unsupported_value")
