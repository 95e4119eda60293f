"""The tools of a request, and the call of one that a memory output is. Pure.

A span is a call where its action (`did`) names a tool and its outcome holds the arguments: a
JSON object, or that object as {"name": …, "arguments": {…}} with the tool's name. An action
names a tool when both are spelt alike but for case and separators: "Get Weather" is
`get_weather`. Nothing less will do: a call acts.

The rules for `tools` and `tool_choice` are those of the OpenAI API.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from arenalab.api.common.v1 import answer_pb2
from arenalab.ensemble.schemas import Schema, SchemaError, Uncheckable, parse_value, schema_of
from arenalab.mesh import InvalidInputError

MAX_TOOLS: Final = 128
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SEPARATORS: Final = re.compile(r"[\s_.\-]+")
_KINDS: Final = ("function", "custom")
_MODES: Final = ("none", "auto", "required")
_CALL_FORM: Final = frozenset({"name", "arguments"})
_NO_PARAMETERS: Final[Mapping[str, object]] = {"type": "object", "properties": {}}


class NoCallError(ValueError):
    """An output that is no call of a tool; the message says why."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function tool."""

    name: str
    arguments: str  # compact JSON


@dataclass(frozen=True, slots=True)
class Tools:
    """The function tools that an answer may call."""

    by_name: Mapping[str, Schema]
    forced: str = ""  # the only one that may be called, where a call must be made

    def call(self, output: str, evidence: Sequence[answer_pb2.Evidence]) -> Call:
        """Returns the call that an output is.

        Args:
            output: Of memory, which it would serve.
            evidence: All of it, so that every span that supports the output is seen.

        Raises:
            NoCallError: It is none.
        """
        supporting = [item for item in evidence if item.supports]
        name = self._named_by(supporting)
        arguments = _arguments(name, output)
        same = _sorted(arguments)
        outcomes = {item.outcome for item in supporting}
        if any(_sorted(_arguments(name, outcome)) != same for outcome in outcomes):
            raise NoCallError(f"the spans that call {name!r} differ in their arguments")
        try:
            why_not = self.by_name[name].why_not(arguments)
        except Uncheckable as error:
            raise NoCallError(f"the schema of {name!r} cannot be checked: {error}") from error
        if why_not:
            raise NoCallError(f"the arguments are not valid under the schema: {why_not}")
        return Call(name, _form(arguments))

    def _named_by(self, supporting: Sequence[answer_pb2.Evidence]) -> str:
        actions = {item.action for item in supporting}
        if not actions:
            raise NoCallError("no span supports the answer")
        names = {action: named_tool(action, self.by_name) for action in sorted(actions)}
        for action, name in names.items():
            if not name:
                raise NoCallError(f"its action {action[:64]!r} names none of the tools")
        if len(set(names.values())) > 1:
            raise NoCallError("its spans call different tools")
        return names.popitem()[1]


def named_tool(action: str, names: Iterable[str]) -> str:
    """Returns the tool that an action names; "" for none, or where two are spelt alike."""
    found = [name for name in names if name == action]
    spelling = _spelling(action)
    if not found and spelling:
        found = [name for name in names if _spelling(name) == spelling]
    return found[0] if len(found) == 1 else ""


def _spelling(name: str) -> str:
    return _SEPARATORS.sub("", name).casefold()


def _arguments(name: str, text: str) -> Mapping[str, object]:
    try:
        value = parse_value(text)
        if isinstance(value, Mapping) and value.keys() == _CALL_FORM and value["name"] == name:
            given = value["arguments"]
            value = parse_value(given) if isinstance(given, str) else given
    except ValueError as error:
        raise NoCallError("its outcome is not the JSON of arguments") from error
    if not isinstance(value, Mapping):
        raise NoCallError("its outcome is not a JSON object of arguments")
    return value


def _form(arguments: Mapping[str, object]) -> str:
    return json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))


def _sorted(arguments: Mapping[str, object]) -> str:
    return json.dumps(arguments, sort_keys=True)


def read_tools(passthrough: Mapping[str, Any]) -> Tools | None:
    """Returns the tools that memory may call; None where the answer is to be text.

    Custom tools take text of any form: they are never memory's to call.

    Raises:
        InvalidInputError: `tools` or `tool_choice` is not as the OpenAI API has it.
    """
    listed = _listed(passthrough.get("tools"))
    choice = passthrough.get("tool_choice")
    if choice not in (None, "auto", "none") and not listed:
        raise _refused("tool_choice", "be given with tools only")
    allowed, is_forced = _chosen(choice, listed)
    if not listed or choice == "none":
        return None
    by_name = {
        name: schema
        for (kind, name), schema in listed.items()
        if schema is not None and (kind, name) in allowed
    }
    return Tools(by_name, next(iter(by_name), "") if is_forced and len(allowed) == 1 else "")


_Listed = dict[tuple[str, str], Schema | None]


def _listed(tools: object) -> _Listed:
    """Returns the schemas of the listed tools by kind and name; None for a custom one."""
    if tools is None:
        return {}
    if not isinstance(tools, list):
        raise _refused("tools", "be an array")
    if len(tools) > MAX_TOOLS:
        raise _refused("tools", f"have at most {MAX_TOOLS} items, got {len(tools)}")
    found: _Listed = {}
    for n, tool in enumerate(tools):
        kind, body = _tagged(tool, f"tools[{n}]")
        name = body.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise _refused(f"tools[{n}].{kind}.name", "be 1 to 64 of A-Z, a-z, 0-9, _ and -")
        if (kind, name) in found:
            raise _refused(f"tools[{n}].{kind}.name", f"be given once, got {name!r} again")
        found[kind, name] = None if kind == "custom" else _parameters(body, name, n)
    return found


def _tagged(tool: object, place: str) -> tuple[str, Mapping[str, Any]]:
    """Returns the kind of a tool, and the member that has its name."""
    kind = tool.get("type") if isinstance(tool, Mapping) else None
    if not isinstance(tool, Mapping) or not isinstance(kind, str) or kind not in _KINDS:
        raise _refused(f"{place}.type", f"be one of {', '.join(map(repr, _KINDS))}")
    body = tool.get(kind)
    if not isinstance(body, Mapping):
        raise _refused(f"{place}.{kind}", "be an object")
    return kind, body


def _parameters(function: Mapping[str, Any], name: str, n: int) -> Schema:
    given = function.get("parameters")
    parameters = _NO_PARAMETERS if given is None else given
    if not isinstance(parameters, Mapping) or parameters.get("type", "object") != "object":
        raise InvalidInputError(
            f"Invalid schema for function {name!r}: it must be a schema of type 'object'",
            field=f"tools[{n}].function.parameters",
        )
    try:
        return schema_of(parameters)
    except SchemaError as error:
        raise InvalidInputError(
            f"Invalid schema for function {name!r}: {error}",
            field=f"tools[{n}].function.parameters",
        ) from error


def _chosen(choice: object, listed: _Listed) -> tuple[set[tuple[str, str]], bool]:
    """Returns the tools that may be called, and whether one must be."""
    if choice is None or choice in ("auto", "required"):
        return set(listed), choice == "required"
    if choice == "none":
        return set(), False
    if not isinstance(choice, Mapping):
        raise _refused("tool_choice", f"be one of {', '.join(map(repr, _MODES))}, or an object")
    if choice.get("type") != "allowed_tools":
        kind, body = _tagged(choice, "tool_choice")
        return {_known(kind, body, listed, f"tool_choice.{kind}.name")}, True
    place = "tool_choice.allowed_tools"
    allowed = choice.get("allowed_tools")
    if not isinstance(allowed, Mapping) or not isinstance(allowed.get("tools"), list):
        raise _refused(f"{place}.tools", "be an array")
    if allowed.get("mode") not in ("auto", "required"):
        raise _refused(f"{place}.mode", "be 'auto' or 'required'")
    named = set()
    for n, tool in enumerate(allowed["tools"]):
        kind, body = _tagged(tool, f"{place}.tools[{n}]")
        named.add(_known(kind, body, listed, f"{place}.tools[{n}].{kind}.name"))
    return named, allowed["mode"] == "required"


def _known(kind: str, body: Mapping[str, Any], listed: _Listed, place: str) -> tuple[str, str]:
    name = body.get("name")
    if not isinstance(name, str) or (kind, name) not in listed:
        raise _refused(place, "name one of the tools")
    return kind, name


def _refused(field: str, rule: str) -> InvalidInputError:
    return InvalidInputError(f"{field} must {rule}", field=field)
