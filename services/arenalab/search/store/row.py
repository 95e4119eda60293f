"""A span as the store keeps it: what filters need beside its protobuf bytes."""

from hashlib import blake2b
from typing import Final, NamedTuple

from arenalab.api.common.v1 import span_pb2
from arenalab.atomic import Span, from_proto, to_proto

NO_OUTCOME: Final = 0


class StoredRow(NamedTuple):
    """What the store has of a span, its payload and vector apart."""

    rowid: int
    ordinal: int | None  # its row in the version's vectors; None for an added span
    span_id: str
    domain: str
    action: str
    status: int  # number of span_pb2.SpanStatus
    when_s: int  # seconds since the epoch; nanoseconds apart, as years 1 to 9999
    when_ns: int  # do not fit 64 bits of them
    quality: float | None
    tags: str  # joined by spaces, which no tag holds
    outcome_key: int  # 63-bit hash of the outcome; NO_OUTCOME while pending
    source: str
    creature: str  # metadata attribute "creature"; empty without one
    weight: float  # in [0, 10]; 1 unless it was set
    hidden: int  # 1 while in quarantine


class NewRow(NamedTuple):
    """What is written of a span; the store gives it a rowid."""

    span_id: str
    domain: str
    action: str
    status: int
    when_s: int
    when_ns: int
    quality: float | None
    tags: str
    outcome_key: int
    source: str
    creature: str
    payload: bytes


def row_of(span: Span) -> NewRow:
    """Returns the row of a span."""
    message = to_proto(span)
    return NewRow(
        span_id=span.id,
        domain=span.context.environment,
        action=span.did,
        status=message.status,
        when_s=message.when.seconds,
        when_ns=message.when.nanos,
        quality=span.metadata.quality_score,
        tags=" ".join(span.metadata.tags),
        outcome_key=NO_OUTCOME if span.outcome is None else outcome_key(span.outcome),
        source=span.source,
        creature=_creature_of(span),
        payload=message.SerializeToString(deterministic=True),
    )


def _creature_of(span: Span) -> str:
    name = span.metadata.attributes.get("creature")
    return name if isinstance(name, str) else ""


def is_same_span(payload: bytes, other: bytes) -> bool:
    """Returns whether two payloads carry the same span, whichever protobuf wrote them."""
    return payload == other or from_proto(message_of(payload)) == from_proto(message_of(other))


def message_of(payload: bytes) -> span_pb2.Span:
    """Returns the message that a payload holds."""
    return span_pb2.Span.FromString(payload)


def outcome_key(outcome: str) -> int:
    """Returns a 63-bit hash of an outcome's text, never NO_OUTCOME.

    Two of a million different outcomes share one with a chance of 5e-8.
    """
    digest = blake2b(outcome.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1 | 1
