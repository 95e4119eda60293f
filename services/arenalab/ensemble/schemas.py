"""JSON Schemas that callers send: whether they are any, and whether a value is valid under one.

A schema is a small program of a stranger's, and the value is what memory would serve. So it is
read within bounds before it is used: nothing is fetched, no regular expression can run away
(RE2 takes linear time), and a check ends after a number of steps, because a few references
that each name the next one twice are already more steps than there is time.

What cannot be checked within those bounds is not wrong: `Uncheckable` says that memory must
leave the answer to a provider.
"""

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import jsonschema
import re2
import referencing
import referencing.exceptions
from jsonschema import Draft202012Validator
from jsonschema.validators import extend

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

MAX_SCHEMA_CHARS: Final = 65_536
MAX_SCHEMA_DEPTH: Final = 64
MAX_VALUE_CHARS: Final = 65_536
# Keywords that one check may apply; about a tenth of a second, and a hundred calls of tools.
MAX_STEPS: Final = 5_000
# Pairs of items are compared.
MAX_UNIQUE_ITEMS: Final = 256
_KEPT_SCHEMAS: Final = 256
_MAX_PATTERN_BYTES: Final = 1 << 20  # of RE2's program

_TYPES: Final = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_ONE_SCHEMA: Final = (
    "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not",
    "propertyNames", "then",
)  # fmt: skip
_LIST_OF_SCHEMAS: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAP_OF_SCHEMAS: Final = ("$defs", "definitions", "dependentSchemas", "properties")
_COUNTS: Final = (
    "maxContains", "maxItems", "maxLength", "maxProperties", "minContains", "minItems",
    "minLength", "minProperties",
)  # fmt: skip
_NUMBERS: Final = ("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf")
# Valid, but beyond the bounds: they would run the caller's expressions in Python's own engine,
# or walk references without counting steps.
_UNCHECKED: Final = (
    "$dynamicRef", "$recursiveRef", "patternProperties", "unevaluatedItems",
    "unevaluatedProperties",
)  # fmt: skip

_left: ContextVar[int] = ContextVar("_left")


class SchemaError(ValueError):
    """It is no JSON Schema; the message says where and why."""


class Uncheckable(Exception):  # noqa: N818 - not the caller's mistake
    """The check needs more than is allowed; the message says what."""


class Schema:
    """One checked schema, of draft 2020-12."""

    def __init__(self, schema: object) -> None:
        """Reads `schema`, a JSON value.

        Raises:
            SchemaError: It is no JSON Schema, or is too large.
        """
        reading = _Reading(schema)
        self._unchecked = reading.unchecked
        # What these say, the reading has settled; the validator would change its ways by them.
        root = reading.root
        if isinstance(root, Mapping):
            root = {name: root[name] for name in root if name not in ("$id", "$schema")}
        self._validator: Validator = _BoundedValidator(root, registry=referencing.Registry())

    def why_not(self, value: Any) -> str:
        """Returns why a JSON value is not valid, in one line; "" when it is.

        Raises:
            Uncheckable: The check needs more than is allowed.
        """
        if self._unchecked:
            raise Uncheckable(f"{self._unchecked} is not checked here")
        token = _left.set(MAX_STEPS)
        try:
            error = next(iter(self._validator.iter_errors(value)), None)
        except (RecursionError, ArithmeticError, referencing.exceptions.Unresolvable) as trouble:
            raise Uncheckable("it takes too many steps") from trouble
        finally:
            _left.reset(token)
        return "" if error is None else _told(error)


def schema_of(schema: object) -> Schema:
    """Returns the checked schema of a JSON value; those of late are remembered.

    Raises:
        SchemaError: It is no JSON Schema, or is too large.
    """
    try:
        text = json.dumps(schema, sort_keys=True)
    except RecursionError as error:
        raise SchemaError("it is nested too deeply") from error
    if len(text) > MAX_SCHEMA_CHARS:
        raise SchemaError(f"it must have at most {MAX_SCHEMA_CHARS} characters of JSON")
    return _remembered(text)


@lru_cache(maxsize=_KEPT_SCHEMAS)
def _remembered(text: str) -> Schema:
    return Schema(json.loads(text))


def parse_value(text: str) -> object:
    """Returns the JSON value of a text that memory would serve.

    Raises:
        ValueError: It is not strict JSON, or is too long.
    """
    if len(text) > MAX_VALUE_CHARS:
        raise ValueError(f"longer than {MAX_VALUE_CHARS} characters")
    try:
        value: object = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _told(error: jsonschema.ValidationError) -> str:
    # The validator's own message quotes the value: words of a span, of any length.
    return f"{error.json_path} does not meet {error.validator!r}"


class _Reading:
    """The walk over a schema that finds what is wrong with it, each place once."""

    def __init__(self, root: object) -> None:
        self.root: Any = root
        self.unchecked = ""  # the first keyword that the bounds leave out
        self._seen: set[int] = set()
        self._refs: list[tuple[str, str]] = []
        self._anchors: set[str] = set()
        self._walk(root, "#", 0)
        # Walking what a reference names may find more of them.
        while self._refs:
            place, ref = self._refs.pop()
            self._walk(self._target(place, ref), ref, 0)

    def _walk(self, schema: object, place: str, depth: int) -> None:
        if isinstance(schema, bool):
            return
        if not isinstance(schema, Mapping):
            raise SchemaError(f"{place} must be an object or a boolean")
        if depth > MAX_SCHEMA_DEPTH:
            raise SchemaError(f"{place} is nested more than {MAX_SCHEMA_DEPTH} deep")
        if id(schema) in self._seen:
            return
        self._seen.add(id(schema))
        self._note_bounds(schema, is_root=place == "#")
        _check_values(schema, place)
        if (ref := schema.get("$ref")) is not None:
            self._refs.append((place, _local(ref, place)))
        for at, child in _children(schema, place):
            self._walk(child, at, depth + 1)

    def _note_bounds(self, schema: Mapping[str, object], *, is_root: bool) -> None:
        found = [name for name in _UNCHECKED if name in schema]
        if not is_root:  # below, they change what references mean, and the rules themselves
            found += [name for name in ("$id", "$schema") if name in schema]
        if isinstance(anchor := schema.get("$anchor"), str):
            self._anchors.add(anchor)
        if found and not self.unchecked:
            self.unchecked = found[0]

    def _target(self, place: str, ref: str) -> object:
        if ref[1:] in self._anchors:
            return True  # walked where it stands
        target: Any = self.root
        for part in unquote(ref.removeprefix("#")).split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            try:
                target = target[int(name)] if isinstance(target, list) else target[name]
            except (LookupError, TypeError, ValueError):
                raise SchemaError(f"{place}/$ref {ref[:100]!r} names nothing") from None
        if ref != "#" and not ref.startswith("#/"):
            raise SchemaError(f"{place}/$ref {ref[:100]!r} names nothing")
        return target


def _local(ref: object, place: str) -> str:
    if not isinstance(ref, str):
        raise SchemaError(f"{place}/$ref must be a string")
    if not ref.startswith("#"):
        raise SchemaError(f"{place}/$ref must point inside the schema, got {ref[:100]!r}")
    return ref


def _children(schema: Mapping[str, object], place: str) -> Iterator[tuple[str, object]]:
    for name in _ONE_SCHEMA:
        if name in schema:
            yield f"{place}/{name}", schema[name]
    for name in _LIST_OF_SCHEMAS:
        if name in schema:
            items = schema[name]
            if not isinstance(items, list) or not items:
                raise SchemaError(f"{place}/{name} must be a non-empty array")
            yield from ((f"{place}/{name}/{n}", item) for n, item in enumerate(items))
    for name in (*_MAP_OF_SCHEMAS, "patternProperties"):
        if name in schema:
            members = schema[name]
            if not isinstance(members, Mapping):
                raise SchemaError(f"{place}/{name} must be an object")
            yield from ((f"{place}/{name}/{key[:100]}", one) for key, one in members.items())


def _check_values(schema: Mapping[str, object], place: str) -> None:
    """Checks the keywords whose values are no schemas."""
    for name, is_right, rule in _VALUES:
        if name in schema and not is_right(schema[name]):
            raise SchemaError(f"{place}/{name} must be {rule}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int | float) and _is_number(value) and value >= 0 and value % 1 == 0


def _is_above_zero(value: object) -> bool:
    return isinstance(value, int | float) and _is_number(value) and value > 0


def _is_type(value: object) -> bool:
    if isinstance(value, str):
        return value in _TYPES
    return _is_names(value) and bool(value) and all(name in _TYPES for name in value)  # type: ignore[attr-defined]


def _is_names(value: object) -> bool:
    return (
        isinstance(value, list)
        and all(isinstance(name, str) for name in value)
        and len(set(value)) == len(value)
    )


def _is_lists_of_names(value: object) -> bool:
    return isinstance(value, Mapping) and all(_is_names(names) for names in value.values())


def _is_kind(kind: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, kind)


_VALUES: Final[Sequence[tuple[str, Callable[[object], bool], str]]] = (
    ("type", _is_type, "a JSON type, or an array of them"),
    ("enum", _is_kind(list), "an array"),
    ("required", _is_names, "an array of different strings"),
    ("dependentRequired", _is_lists_of_names, "an object of arrays of different strings"),
    ("multipleOf", _is_above_zero, "a number above 0"),
    ("uniqueItems", _is_kind(bool), "a boolean"),
    *((name, _is_count, "a whole number of at least 0") for name in _COUNTS),
    *((name, _is_number, "a number") for name in _NUMBERS),
    *(
        (name, _is_kind(str), "a string")
        for name in ("$anchor", "$id", "description", "format", "pattern", "title")
    ),
)


_Check = Callable[[Any, Any, Any, Any], Iterator[jsonschema.ValidationError]]


def _counted(check: _Check) -> _Check:
    def applied(
        validator: Any, value: Any, instance: Any, schema: Any
    ) -> Generator[jsonschema.ValidationError]:
        left = _left.get()
        if left <= 0:
            raise Uncheckable("it takes too many steps")
        _left.set(left - 1)
        yield from check(validator, value, instance, schema) or ()

    return applied


@lru_cache(maxsize=_KEPT_SCHEMAS)
def _expression(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_PATTERN_BYTES
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise Uncheckable("its 'pattern' is not of the kind that is checked here") from error


def _pattern(
    validator: Any, pattern: str, instance: Any, schema: Any
) -> Iterator[jsonschema.ValidationError]:
    del schema
    if validator.is_type(instance, "string") and not _expression(pattern).search(instance):
        yield jsonschema.ValidationError("does not match")


def _unique_items(
    validator: Any,
    is_wanted: bool,  # noqa: FBT001 - jsonschema's form
    instance: Any,
    schema: Any,
) -> Iterator[jsonschema.ValidationError]:
    if validator.is_type(instance, "array") and len(instance) > MAX_UNIQUE_ITEMS:
        raise Uncheckable("its 'uniqueItems' would take too many steps")
    check: _Check = Draft202012Validator.VALIDATORS["uniqueItems"]
    yield from check(validator, is_wanted, instance, schema) or ()


_BoundedValidator: Final[Any] = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        name: _counted(check)
        for name, check in {
            **Draft202012Validator.VALIDATORS,
            "pattern": _pattern,
            "uniqueItems": _unique_items,
        }.items()
    },
)
