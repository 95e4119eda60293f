"""JSON✯Atomic, the JSON form of a span.

An object with exactly the fields of a Span; what is absent is left out, never null
or empty. The further keys of `metadata` are its attributes. Reading is strict: an
unknown key is refused everywhere but in `metadata`, and so is a key given twice.
"""

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import Any, Final, NoReturn, TypeVar

from arenalab.atomic.canonical import JSON, canonical_json, encode_plain, is_plain_number
from arenalab.atomic.errors import SpanError, shown
from arenalab.atomic.instant import canonical_when
from arenalab.atomic.span import Context, Metadata, Span, Stakes, Status
from arenalab.atomic.validate import METADATA_KEYS

# Above the longest line that the limits of the fields allow, even if every
# character of it is written as a six-byte escape.
MAX_LINE_BYTES: Final = 2 * 1024 * 1024

_REQUIRED: Final = ("id", "source", "who", "did", "this", "when", "status")
_OPTIONAL: Final = ("if_ok", "if_not", "confirmed_by")
_KEYS: Final = frozenset({*_REQUIRED, *_OPTIONAL, "context", "metadata"})
_CONTEXT_KEYS: Final = frozenset({"previous_spans", "environment", "stakes", "emotional_state"})
_STATUS: Final[dict[str, Status]] = {status.value: status for status in Status}
_STAKES: Final[dict[str, Stakes]] = {stakes.value: stakes for stakes in Stakes}

_Choice = TypeVar("_Choice", bound=StrEnum)


def to_json(span: Span) -> dict[str, JSON]:
    """Returns the JSON form of `span`."""
    form: dict[str, JSON] = {"id": span.id, **content_to_json(span)}
    metadata = metadata_to_json(span.metadata)
    if metadata:
        form["metadata"] = metadata
    return form


def content_to_json(span: Span) -> dict[str, JSON]:
    """Returns the JSON form of `span` without `id` and `metadata`: what is hashed."""
    form: dict[str, JSON] = {
        "source": span.source,
        "who": span.who,
        "did": span.did,
        "this": span.this,
        "when": span.when,
        "status": span.status.value,
    }
    if span.if_ok is not None:
        form["if_ok"] = span.if_ok
    if span.if_not is not None:
        form["if_not"] = span.if_not
    if span.confirmed_by is not None:
        form["confirmed_by"] = span.confirmed_by
    context = context_to_json(span.context)
    if context:
        form["context"] = context
    return form


def context_to_json(context: Context) -> dict[str, JSON]:
    """Returns the JSON form of `context`, empty when nothing is known."""
    form: dict[str, JSON] = {}
    if context.previous_spans:
        form["previous_spans"] = list(context.previous_spans)
    if context.environment:
        form["environment"] = context.environment
    if context.stakes is not None:
        form["stakes"] = context.stakes.value
    if context.emotional_state:
        form["emotional_state"] = context.emotional_state
    return form


def metadata_to_json(metadata: Metadata) -> dict[str, JSON]:
    """Returns the JSON form of `metadata`, its attributes among the other keys."""
    form: dict[str, JSON] = {}
    if metadata.quality_score is not None:
        score = metadata.quality_score
        form["quality_score"] = int(score) if score.is_integer() else score
    if metadata.provider:
        form["provider"] = metadata.provider
    if metadata.model:
        form["model"] = metadata.model
    if metadata.tags:
        form["tags"] = list(metadata.tags)
    form.update(metadata.attributes)
    return form


def canonical_bytes(span: Span) -> bytes:
    """Returns the RFC 8785 bytes of the JSON form of `span`."""
    form = to_json(span)
    score = span.metadata.quality_score
    # Without attributes only the score is a number, and every key is ASCII.
    if not span.metadata.attributes and (score is None or _is_plain_score(score)):
        return encode_plain(form)
    return canonical_json(form)


def _is_plain_score(score: float) -> bool:
    return score.is_integer() or is_plain_number(score)


def dump_line(span: Span) -> bytes:
    """Returns the canonical bytes of `span` as one line of NDJSON."""
    return canonical_bytes(span) + b"\n"


def parse_line(line: bytes) -> Span:
    """Returns the span of one line of NDJSON.

    Raises:
        SpanError: The line is not UTF-8, not one JSON object, names a key twice, or
            is not the JSON form of a span.
    """
    if len(line) > MAX_LINE_BYTES:
        raise SpanError(
            "span", f"a span must be at most {MAX_LINE_BYTES:,} bytes of JSON, got {len(line):,}"
        )
    try:
        form = _decoder.decode(line.decode())
    except SpanError:
        raise
    except RecursionError as error:
        raise SpanError("span", "a span must not nest this deeply") from error
    except ValueError as error:  # also of UTF-8, and of a number of too many digits
        raise SpanError("span", f"a span must be one object of UTF-8 JSON: {error}") from error
    return from_json(form)


def from_json(form: object) -> Span:
    """Returns the span of a decoded JSON value.

    `when` may have any RFC 3339 form and `tags` any order; the span has the
    canonical ones.

    Raises:
        SpanError: The value is not the JSON form of a span.
    """
    keys = _object(form, "span")
    _refuse_unknown(keys.keys() - _KEYS, "")
    for key in _REQUIRED:
        if key not in keys:
            raise SpanError(key, f"{key} must be present")
    for key in _OPTIONAL:
        if key in keys and keys[key] is None:
            raise _null(key)
    return Span(
        id=keys["id"],
        source=keys["source"],
        who=keys["who"],
        did=keys["did"],
        this=keys["this"],
        when=canonical_when(keys["when"]),
        status=_choice(keys["status"], _STATUS, "status"),
        if_ok=keys.get("if_ok"),
        if_not=keys.get("if_not"),
        confirmed_by=keys.get("confirmed_by"),
        context=context_from_json(keys["context"]) if "context" in keys else Context(),
        metadata=metadata_from_json(keys["metadata"]) if "metadata" in keys else Metadata(),
    )


def context_from_json(form: object) -> Context:
    """Returns the context of its JSON form.

    Raises:
        SpanError: The value is not the JSON form of a context.
    """
    keys = _object(form, "context")
    _refuse_unknown(keys.keys() - _CONTEXT_KEYS, "context.")
    stakes = keys.get("stakes")
    if "stakes" in keys:
        stakes = _choice(stakes, _STAKES, "context.stakes")
    return Context(
        previous_spans=tuple(_list(keys, "previous_spans", "context.")),
        environment=_known(keys, "environment", "context."),
        stakes=stakes,
        emotional_state=_known(keys, "emotional_state", "context."),
    )


def metadata_from_json(form: object) -> Metadata:
    """Returns the metadata of its JSON form; keys without a field become attributes.

    Raises:
        SpanError: The value is not the JSON form of metadata.
    """
    keys = _object(form, "metadata")
    if "quality_score" in keys and keys["quality_score"] is None:
        raise _null("metadata.quality_score")
    return Metadata(
        quality_score=keys.get("quality_score"),
        provider=_known(keys, "provider", "metadata."),
        model=_known(keys, "model", "metadata."),
        tags=sorted_tags(_list(keys, "tags", "metadata.")),
        attributes={key: item for key, item in keys.items() if key not in METADATA_KEYS},
    )


def sorted_tags(tags: list[Any]) -> tuple[str, ...]:
    """Returns tags in the order that Metadata asks for; it checks them itself."""
    try:
        return tuple(sorted(tags))
    except TypeError as error:
        raise SpanError("metadata.tags", "metadata.tags must be texts") from error


def _object(form: object, field: str) -> Mapping[str, Any]:
    if not isinstance(form, dict):
        raise SpanError(field, f"{field} must be an object, got {shown(form)}")
    return form


def _list(keys: Mapping[str, Any], key: str, prefix: str) -> list[Any]:
    value = keys.get(key, [])
    if not isinstance(value, list):
        raise SpanError(f"{prefix}{key}", f"{prefix}{key} must be a list, got {shown(value)}")
    return value


def _known(keys: Mapping[str, Any], key: str, prefix: str) -> Any:
    """Returns the value of a text that is left out, not empty, when it is not known."""
    value = keys.get(key, "")
    if key in keys and not value:
        raise SpanError(
            f"{prefix}{key}", f"{prefix}{key} must be a text or left out, got {shown(value)}"
        )
    return value


def _choice(value: object, choices: Mapping[str, _Choice], field: str) -> _Choice:
    found = choices.get(value) if isinstance(value, str) else None
    if found is None:
        raise SpanError(field, f"{field} must be one of {', '.join(choices)}, got {shown(value)}")
    return found


def _refuse_unknown(unknown: AbstractSet[str], prefix: str) -> None:
    for key in sorted(unknown, key=str):
        field = f"{prefix}{str(key)[:64]}"
        raise SpanError(field, f"{field} is not a key of a span: further keys go in metadata")


def _null(field: str) -> SpanError:
    return SpanError(field, f"{field} must be left out when it is absent, got null")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    form = dict(pairs)
    if len(form) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise SpanError(key[:64], f"a key must be given once, got {shown(key)} twice")
            seen.add(key)
    return form


def _refuse_constant(name: str) -> NoReturn:
    raise SpanError("span", f"a number must be finite, got {name}")


_decoder: Final = json.JSONDecoder(object_pairs_hook=_distinct, parse_constant=_refuse_constant)
