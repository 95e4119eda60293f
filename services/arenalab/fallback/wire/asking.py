"""What a request asks for besides the conversation: tools, and the form of the answer."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from arenalab.fallback.wire.adapter import UntellableError

# They say nothing about the answer, so a format without words for them loses nothing.
_HINTS: Final = frozenset(
    {"metadata", "prompt_cache_key", "safety_identifier", "service_tier", "store", "user"}
)


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call."""

    name: str
    description: str
    parameters: Mapping[str, Any]  # a JSON Schema of an object
    is_strict: bool


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether the model must call one."""

    mode: str = ""  # "auto", "none" or "required"; empty: not said
    name: str = ""  # set: this one, and mode is "required"


@dataclass(frozen=True, slots=True)
class Form:
    """The form of the answer."""

    is_json: bool = False
    schema: Mapping[str, Any] | None = None


def check_told(body: Mapping[str, Any], told: Collection[str]) -> None:
    """Raises UntellableError when a field is set that is not in `told` and is no hint."""
    for name, value in body.items():
        if value is not None and name not in told and name not in _HINTS:
            raise UntellableError(name)


def tools_of(body: Mapping[str, Any]) -> Sequence[Tool]:
    """Returns the tools of a request.

    Raises:
        UntellableError: One is not a function.
    """
    tools = body.get("tools") or []
    if not isinstance(tools, list):
        raise UntellableError("tools")
    return [_tool(tool, f"tools[{n}]") for n, tool in enumerate(tools)]


def _tool(tool: object, where: str) -> Tool:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise UntellableError(where)
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    description = function.get("description") or ""
    if not isinstance(parameters, Mapping) or not isinstance(description, str):
        raise UntellableError(where)
    return Tool(function["name"], description, parameters, function.get("strict") is True)


def choice_of(body: Mapping[str, Any]) -> ToolChoice:
    """Returns whether a tool must be called.

    Raises:
        UntellableError: It is said in a way that is not known.
    """
    choice = body.get("tool_choice")
    if choice is None:
        return ToolChoice()
    if choice in ("auto", "none", "required"):
        return ToolChoice(str(choice))
    function = choice.get("function") if isinstance(choice, Mapping) else None
    if isinstance(function, Mapping) and isinstance(function.get("name"), str):
        return ToolChoice("required", function["name"])
    raise UntellableError("tool_choice")


def form_of(body: Mapping[str, Any]) -> Form:
    """Returns the form that the answer must have.

    Raises:
        UntellableError: It is one that is not known.
    """
    wanted = body.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, Mapping) else wanted
    if kind in (None, "text"):
        return Form()
    if kind == "json_object":
        return Form(is_json=True)
    found = wanted.get("json_schema") if isinstance(wanted, Mapping) else None
    schema = found.get("schema") if isinstance(found, Mapping) else None
    if kind == "json_schema" and isinstance(schema, Mapping):
        return Form(is_json=True, schema=schema)
    raise UntellableError("response_format")
