"""Schemas of strangers: what is one, and checks that end whatever the schema says."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from arenalab.ensemble.schemas import (
    MAX_SCHEMA_CHARS,
    MAX_VALUE_CHARS,
    Schema,
    SchemaError,
    Uncheckable,
    parse_value,
    schema_of,
)

CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "pattern": "^[A-Z]"}, "days": {"$ref": "#/$defs/d"}},
    "required": ["city"],
    "additionalProperties": False,
    "$defs": {"d": {"type": "integer", "minimum": 1.0}},
}


@pytest.mark.parametrize(
    ("value", "why_not"),
    [
        ({"city": "Paris"}, ""),
        ({"city": "Paris", "days": 2}, ""),
        ({"city": "paris"}, "$.city does not meet 'pattern'"),
        ({"city": "Paris", "days": 0}, "$.days does not meet 'minimum'"),
        ({}, "$ does not meet 'required'"),
        ({"city": "Paris", "to": "x"}, "$ does not meet 'additionalProperties'"),
    ],
)
def test_a_value_is_checked_and_the_place_is_told_without_its_words(
    value: Any, why_not: str
) -> None:
    assert schema_of(CITY).why_not(value) == why_not


def _deep(levels: int) -> Any:
    schema: Any = {}
    for _ in range(levels):
        schema = {"not": schema}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        5,
        {"type": "text"},
        {"type": []},
        {"properties": []},
        {"properties": {"a": 1}},
        {"required": ["a", "a"]},
        {"anyOf": []},
        {"minLength": -1},
        {"minLength": 0.5},
        {"maximum": "1"},
        {"multipleOf": 0},
        {"pattern": 1},
        {"uniqueItems": 1},
        {"items": [{}]},
        {"$ref": 1},
        {"$ref": "#/$defs/a"},
        {"$ref": "#a"},
        {"$ref": "http://example.com/schema"},
        {"$ref": "#/x", "x": {"type": "text"}},
        {"description": "x" * MAX_SCHEMA_CHARS},
        _deep(65),
    ],
)
def test_what_is_no_schema_is_refused(schema: Any) -> None:
    with pytest.raises(SchemaError):
        schema_of(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        # Each names the next one twice: two to the power of forty steps.
        {
            "$ref": "#/$defs/d0",
            "$defs": {
                f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} if n < 40 else {}
                for n in range(41)
            },
        },
        {"patternProperties": {"(a+)+$": {}}},
        {"unevaluatedProperties": False},
        {"properties": {"a": {"$schema": "http://json-schema.org/draft-07/schema#"}}},
        {"properties": {"a": {"$id": "http://example.com/"}}},
        {"properties": {"a": {"pattern": "(?=a)"}}},
        {"properties": {"b": {"uniqueItems": True}}},
    ],
)
def test_what_would_take_too_long_is_left_to_a_provider(schema: Any) -> None:
    with pytest.raises(Uncheckable):
        schema_of(schema).why_not({"a": "a" * 50, "b": [{}] * 1000})


def test_an_expression_cannot_run_away() -> None:
    schema = schema_of({"pattern": "^(a+)+$"})
    began_s = time.process_time()
    assert schema.why_not("a" * 50_000 + "b")
    # Python's own engine would take two to the power of fifty thousand steps.
    assert time.process_time() - began_s < 30


def test_a_percent_sign_in_a_reference_is_an_escape() -> None:
    assert schema_of({"$ref": "#/$defs/a%20b", "$defs": {"a b": {"type": "null"}}}).why_not(1)


def test_an_anchor_is_found() -> None:
    schema = schema_of({"$ref": "#here", "$defs": {"a": {"$anchor": "here", "type": "null"}}})
    assert schema.why_not(1)
    assert not schema.why_not(None)


@pytest.mark.parametrize(
    "text", ["", "{", "NaN", '{"a": Infinity}', "[" * 5000, "x" * (MAX_VALUE_CHARS + 1)]
)
def test_only_strict_json_of_a_bounded_length_is_a_value(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_value(text)


_KEYS = st.sampled_from(
    ["type", "properties", "items", "required", "enum", "minLength", "maximum", "anyOf", "not",
     "additionalProperties", "pattern", "uniqueItems", "multipleOf", "$defs", "if", "then"]
)  # fmt: skip
_PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["a", "string", "object"])
)
_SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    _PLAIN | st.just({}),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=12,
)


@given(schema=_SCHEMAS, value=_SCHEMAS)
def test_it_agrees_with_the_reference_on_what_a_schema_is_and_what_is_valid(
    schema: Any, value: Any
) -> None:
    meta = Draft202012Validator(Draft202012Validator.META_SCHEMA)
    try:
        mine = Schema(schema)
    except SchemaError:
        assert not meta.is_valid(schema)
        return
    assert meta.is_valid(schema)
    assert (mine.why_not(value) == "") == Draft202012Validator(schema).is_valid(value)
