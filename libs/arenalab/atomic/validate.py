"""The rules that the values of a span's fields keep; span.proto documents them.

Each function checks one value, returns it (in normal form where there is more
than one form) and raises SpanError with the field's name.
"""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Final

from arenalab.atomic.canonical import JSON, MAX_SAFE_INTEGER, canonical_json
from arenalab.atomic.errors import SpanError, shown
from arenalab.atomic.ids import is_uuid7

MAX_NAME_CHARACTERS: Final = 256
MAX_THIS_BYTES: Final = 32_768
MAX_OUTCOME_BYTES: Final = 65_536
MAX_PREVIOUS_SPANS: Final = 100
MAX_ENVIRONMENT_CHARACTERS: Final = 256
MAX_TAGS: Final = 32
MAX_QUALITY: Final = 100.0
MAX_ATTRIBUTES_BYTES: Final = 65_536
# Nested messages of protobuf stop at 100 levels, and one level of JSON takes three.
MAX_ATTRIBUTES_DEPTH: Final = 16

# The keys of the JSON form's metadata that have fields of their own.
METADATA_KEYS: Final = frozenset({"quality_score", "provider", "model", "tags"})

_TOKEN: Final = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,63}")
_PATH: Final = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,63}(?:/[a-z0-9][a-z0-9_.:-]{0,63})*")


def check_id(value: str, field: str) -> None:
    """Accepts a UUIDv7 in lower-case canonical form."""
    if not (isinstance(value, str) and is_uuid7(value)):
        raise SpanError(field, f"{field} must be a lower-case UUIDv7, got {shown(value)}")


def check_token(value: str, field: str) -> None:
    """Accepts 1 to 64 characters of a-z, 0-9, "_", ".", ":", "-", the first a letter or digit."""
    if not (isinstance(value, str) and _TOKEN.fullmatch(value)):
        raise SpanError(
            field,
            f"{field} must be a token of 1 to 64 characters, a-z 0-9 then also _ . : -,"
            f" got {shown(value)}",
        )


def check_environment(value: str, field: str) -> None:
    """Accepts tokens joined by "/", at most 256 characters in all."""
    if not (
        isinstance(value, str)
        and len(value) <= MAX_ENVIRONMENT_CHARACTERS
        and _PATH.fullmatch(value)
    ):
        raise SpanError(
            field,
            f"{field} must be a path of lower-case tokens joined by '/', at most"
            f" {MAX_ENVIRONMENT_CHARACTERS} characters, got {shown(value)}",
        )


def check_name(value: str, field: str) -> None:
    """Accepts a text of at most 256 characters that is not blank."""
    _check_text(value, field)
    if len(value) > MAX_NAME_CHARACTERS:
        raise SpanError(
            field,
            f"{field} must be at most {MAX_NAME_CHARACTERS} characters, got {len(value):,}",
        )
    _check_not_blank(value, field)


def check_text(value: str, field: str, max_bytes: int) -> None:
    """Accepts a text of at most `max_bytes` of UTF-8 that is not blank."""
    size = _check_text(value, field)
    if size > max_bytes:
        raise SpanError(
            field, f"{field} must be at most {max_bytes:,} bytes of UTF-8, got {size:,}"
        )
    _check_not_blank(value, field)


def check_previous_spans(value: tuple[str, ...], field: str) -> None:
    """Accepts at most 100 ids."""
    if not isinstance(value, tuple) or len(value) > MAX_PREVIOUS_SPANS:
        raise SpanError(
            field, f"{field} must be at most {MAX_PREVIOUS_SPANS} ids, got {shown(value)}"
        )
    for span_id in value:
        check_id(span_id, field)


def check_tags(value: tuple[str, ...], field: str) -> None:
    """Accepts at most 32 tokens, each once, sorted."""
    if not isinstance(value, tuple) or len(value) > MAX_TAGS:
        raise SpanError(field, f"{field} must be at most {MAX_TAGS} tokens, got {shown(value)}")
    for tag in value:
        check_token(tag, field)
    if any(a >= b for a, b in pairwise(value)):
        raise SpanError(field, f"{field} must be sorted, each tag once, got {','.join(value)!r}")


def quality(value: float, field: str) -> float:
    """Returns a quality score in [0, 100] as a float."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value <= MAX_QUALITY  # NaN too
    ):
        raise SpanError(field, f"{field} must be a number in [0, 100], got {shown(value)}")
    return float(value) + 0.0  # -0.0 becomes 0.0, as in canonical JSON


def attributes(value: Mapping[str, JSON], field: str) -> dict[str, JSON]:
    """Returns a normalised copy of metadata attributes.

    A whole number becomes an int, whatever type it had: JSON and protobuf do not
    keep the difference, so neither may the span.
    """
    if not isinstance(value, Mapping):
        raise SpanError(field, f"{field} must be an object, got {shown(value)}")
    if not value:
        return {}
    for key in METADATA_KEYS & value.keys():
        raise SpanError(f"{field}.{key}", f"{field} must not hold {key!r}: it has its own field")
    copy = _object(value, field, MAX_ATTRIBUTES_DEPTH)
    size = len(canonical_json(copy))
    if size > MAX_ATTRIBUTES_BYTES:
        raise SpanError(
            field,
            f"{field} must be at most {MAX_ATTRIBUTES_BYTES:,} bytes of canonical JSON,"
            f" got {size:,}",
        )
    return copy


def _object(value: Mapping[str, JSON], field: str, depth: int) -> dict[str, JSON]:
    copy: dict[str, JSON] = {}
    for key, item in value.items():
        _check_text(key, field)
        # The path is cut with the key, so that a hostile key cannot flood a log.
        copy[key] = _json(item, f"{field}.{key[:64]}", depth)
    return copy


def _json(value: JSON, field: str, depth: int) -> JSON:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        _check_text(value, field)
        return value
    if isinstance(value, int | float):
        return _number(value, field)
    if depth <= 1:
        raise SpanError(
            field, f"metadata must nest at most {MAX_ATTRIBUTES_DEPTH} levels, got more at {field}"
        )
    if isinstance(value, list):
        return [_json(item, field, depth - 1) for item in value]
    if isinstance(value, dict):
        return _object(value, field, depth - 1)
    raise SpanError(field, f"{field} must be a JSON value, got {shown(value)}")


def _number(value: float, field: str) -> float:
    if not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:  # NaN too
        raise SpanError(
            field, f"{field} must be a number within ±{MAX_SAFE_INTEGER:,}, got {shown(value)}"
        )
    return int(value) if isinstance(value, int) or value.is_integer() else float(value)


def _check_text(value: str, field: str) -> int:
    """Returns the size in bytes of a text that UTF-8 can carry and that has no NUL."""
    if not isinstance(value, str):
        raise SpanError(field, f"{field} must be a text, got {shown(value)}")
    if "\0" in value:
        raise SpanError(field, f"{field} must not contain NUL, got {shown(value)}")
    if value.isascii():
        return len(value)
    try:
        return len(value.encode())
    except UnicodeEncodeError as error:
        raise SpanError(
            field, f"{field} must not contain a lone surrogate, got {shown(value)}"
        ) from error


def _check_not_blank(value: str, field: str) -> None:
    if not value or value.isspace():
        raise SpanError(field, f"{field} must not be blank, got {shown(value)}")
