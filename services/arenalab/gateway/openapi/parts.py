"""Small makers of JSON Schema (draft 2020-12, as OpenAPI 3.1 uses it)."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from arenalab.gateway.ids import MAX_ID

Schema = dict[str, Any]
NOT_BLANK: Final = "\\S"

STRING: Final[Schema] = {"type": "string"}
INTEGER: Final[Schema] = {"type": "integer"}
NUMBER: Final[Schema] = {"type": "number"}
BOOLEAN: Final[Schema] = {"type": "boolean"}
OBJECT: Final[Schema] = {"type": "object"}
SHARE: Final[Schema] = {"type": "number", "minimum": 0, "maximum": 1}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
ID: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_ID,
    "pattern": "^[ -~]+$",
}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def described(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description}


def nullable(schema: Schema) -> Schema:
    """Returns a schema that allows null too: in a request, null means absent."""
    kind = schema.get("type")
    if not isinstance(kind, str):
        return {"anyOf": [schema, {"type": "null"}]}
    allowed: Schema = {**schema, "type": [kind, "null"]}
    if "enum" in schema:
        allowed["enum"] = [*schema["enum"], None]
    return allowed


def one_of(values: Iterable[str]) -> Schema:
    return {"type": "string", "enum": list(values)}


def const(value: str) -> Schema:
    return {"type": "string", "const": value}


def array(items: Schema, least: int = 0, most: int | None = None) -> Schema:
    found: Schema = {"type": "array", "items": items}
    if least:
        found["minItems"] = least
    if most is not None:
        found["maxItems"] = most
    return found


def text(least: int = 0, most: int | None = None) -> Schema:
    found: Schema = {"type": "string"}
    if least:
        found["minLength"] = least
    if most is not None:
        found["maxLength"] = most
    return found


def between(low: float, high: float, *, above_low: bool = False) -> Schema:
    """Returns a number's range; its low end is left out if `above_low`."""
    lowest = "exclusiveMinimum" if above_low else "minimum"
    return {"type": "number", lowest: low, "maximum": high}


def whole(low: int, high: int) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high}


def answered(properties: Mapping[str, Schema], optional: Iterable[str] = ()) -> Schema:
    """Returns an object of a response: every member is there, but for `optional` ones."""
    left_out = set(optional)
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in left_out],
    }


def asked(properties: Mapping[str, Schema], required: Iterable[str] = ()) -> Schema:
    """Returns an object of a request: what is not required may be null."""
    needed = list(required)
    found: Schema = {
        "type": "object",
        "properties": {
            name: schema if name in needed else nullable(schema)
            for name, schema in properties.items()
        },
    }
    if needed:
        found["required"] = needed
    return found


def closed(schema: Schema) -> Schema:
    """Returns an object that may have no other members."""
    return {**schema, "additionalProperties": False}
