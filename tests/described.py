"""Checks bodies against the gateway's own OpenAPI document, more strictly than it says."""

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from arenalab.gateway.openapi.document import document

Json = dict[str, Any]


def check(name: str, value: object) -> None:
    """Raises unless a value fits a schema of the document and has no members beside it.

    Clients may meet members that are new; that this version has some which its document
    does not name is a mistake.
    """
    _validator(name).validate(value)


@cache
def _validator(name: str) -> Draft202012Validator:
    schemas = _closed(document()["components"]["schemas"])
    return Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
    )


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _closed(value) for key, value in schema.items()}
    if made.get("type") == "object" and made.get("properties"):
        made.setdefault("additionalProperties", False)
    return made
