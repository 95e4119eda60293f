"""The `response_format` of a request, and whether a memory output meets it. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from arenalab.ensemble.schemas import Schema, SchemaError, Uncheckable, parse_value, schema_of
from arenalab.mesh import InvalidInputError

_KINDS: Final = ("text", "json_object", "json_schema")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Format:
    """A form that the text must have."""

    kind: str  # "json_object" or "json_schema"
    schema: Schema | None = None  # None: any object

    def why_not(self, text: str) -> str:
        """Returns why a text does not have the form, in one sentence; "" when it has."""
        try:
            value = parse_value(text)
        except ValueError:
            return "the answer is not JSON"
        if self.schema is None:
            return "" if isinstance(value, Mapping) else "the answer is not a JSON object"
        try:
            why_not = self.schema.why_not(value)
        except Uncheckable as error:
            return f"the schema cannot be checked: {error}"
        return f"the answer is not valid under the schema: {why_not}" if why_not else ""


def read_format(passthrough: Mapping[str, Any]) -> Format | None:
    """Returns the form that a request demands; None for plain text.

    Raises:
        InvalidInputError: `response_format` is not as the OpenAI API has it.
    """
    value = passthrough.get("response_format")
    if value is None:
        return None
    kind = value.get("type") if isinstance(value, Mapping) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise _refused("type", f"must be one of {', '.join(map(repr, _KINDS))}")
    if kind != "json_schema":
        return None if kind == "text" else Format(kind)
    described = value.get("json_schema")
    if not isinstance(described, Mapping):
        raise _refused("json_schema", "must be an object")
    name = described.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _refused("json_schema.name", "must be 1 to 64 of A-Z, a-z, 0-9, _ and -")
    try:
        schema = None if described.get("schema") is None else schema_of(described["schema"])
    except SchemaError as error:
        # The words up to the name are those by which clients recognise the case.
        raise InvalidInputError(
            f"Invalid schema for response_format {name!r}: {error}",
            field="response_format.json_schema.schema",
        ) from error
    return Format(kind, schema)


def _refused(member: str, rule: str) -> InvalidInputError:
    field = f"response_format.{member}"
    return InvalidInputError(f"{field} {rule}", field=field)
