"""The protobuf form of a span: arenalab.api.common.v1.Span, lossless both ways."""

from collections.abc import Mapping
from typing import Final

from google.protobuf import struct_pb2, timestamp_pb2

from arenalab.api.common.v1 import span_pb2
from arenalab.atomic.canonical import JSON
from arenalab.atomic.errors import SpanError
from arenalab.atomic.instant import split_when, when_from_parts
from arenalab.atomic.json_form import sorted_tags
from arenalab.atomic.span import Context, Metadata, Span, Stakes, Status

_STATUS_OUT: Final = {
    Status.PENDING: span_pb2.SPAN_STATUS_PENDING,
    Status.COMPLETED: span_pb2.SPAN_STATUS_COMPLETED,
    Status.FAILED: span_pb2.SPAN_STATUS_FAILED,
}
_STATUS_IN: Final = {number: status for status, number in _STATUS_OUT.items()}
_STAKES_OUT: Final = {
    Stakes.LOW: span_pb2.STAKES_LOW,
    Stakes.MEDIUM: span_pb2.STAKES_MEDIUM,
    Stakes.HIGH: span_pb2.STAKES_HIGH,
}
_STAKES_IN: Final = {number: stakes for stakes, number in _STAKES_OUT.items()}


def to_proto(span: Span) -> span_pb2.Span:
    """Returns the message of `span`."""
    seconds, nanos = split_when(span.when)
    message = span_pb2.Span(
        id=span.id,
        source=span.source,
        who=span.who,
        did=span.did,
        this=span.this,
        when=timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos),
        status=_STATUS_OUT[span.status],
        if_ok=span.if_ok,
        if_not=span.if_not,
        confirmed_by=span.confirmed_by,
    )
    if span.context != _NO_CONTEXT:
        message.context.CopyFrom(context_to_proto(span.context))
    if span.metadata != _NO_METADATA:
        message.metadata.CopyFrom(metadata_to_proto(span.metadata))
    return message


def from_proto(message: span_pb2.Span) -> Span:
    """Returns the span of a message.

    Raises:
        SpanError: A field breaks its rule.
    """
    status = _STATUS_IN.get(message.status)
    if status is None:
        raise SpanError(
            "status", f"status must be pending, completed or failed, got {message.status}"
        )
    if not message.HasField("when"):
        raise SpanError("when", "when must be present")
    return Span(
        id=message.id,
        source=message.source,
        who=message.who,
        did=message.did,
        this=message.this,
        when=when_from_parts(message.when.seconds, message.when.nanos),
        status=status,
        if_ok=message.if_ok if message.HasField("if_ok") else None,
        if_not=message.if_not if message.HasField("if_not") else None,
        confirmed_by=message.confirmed_by if message.HasField("confirmed_by") else None,
        context=context_from_proto(message.context) if message.HasField("context") else _NO_CONTEXT,
        metadata=(
            metadata_from_proto(message.metadata) if message.HasField("metadata") else _NO_METADATA
        ),
    )


def context_to_proto(context: Context) -> span_pb2.SpanContext:
    """Returns the message of `context`."""
    return span_pb2.SpanContext(
        previous_spans=context.previous_spans,
        environment=context.environment,
        stakes=stakes_to_proto(context.stakes),
        emotional_state=context.emotional_state,
    )


def context_from_proto(message: span_pb2.SpanContext) -> Context:
    """Returns the context of a message.

    Raises:
        SpanError: A field breaks its rule.
    """
    return Context(
        previous_spans=tuple(message.previous_spans),
        environment=message.environment,
        stakes=stakes_from_proto(message.stakes),
        emotional_state=message.emotional_state,
    )


def stakes_to_proto(stakes: Stakes | None) -> span_pb2.Stakes.ValueType:
    """Returns the enum value of `stakes`; None is STAKES_UNSPECIFIED."""
    return span_pb2.STAKES_UNSPECIFIED if stakes is None else _STAKES_OUT[stakes]


def stakes_from_proto(
    value: span_pb2.Stakes.ValueType, field: str = "context.stakes"
) -> Stakes | None:
    """Returns the stakes of an enum value; STAKES_UNSPECIFIED is None.

    Raises:
        SpanError: The value is not one of the enum's.
    """
    if value == span_pb2.STAKES_UNSPECIFIED:
        return None
    stakes = _STAKES_IN.get(value)
    if stakes is None:
        raise SpanError(field, f"{field} must be low, medium or high, got {value}")
    return stakes


def metadata_to_proto(metadata: Metadata) -> span_pb2.SpanMetadata:
    """Returns the message of `metadata`."""
    message = span_pb2.SpanMetadata(
        quality_score=metadata.quality_score,
        provider=metadata.provider,
        model=metadata.model,
        tags=metadata.tags,
    )
    if metadata.attributes:
        _fill_struct(message.attributes, metadata.attributes)
    return message


def metadata_from_proto(message: span_pb2.SpanMetadata) -> Metadata:
    """Returns the metadata of a message.

    Raises:
        SpanError: A field breaks its rule.
    """
    return Metadata(
        quality_score=message.quality_score if message.HasField("quality_score") else None,
        provider=message.provider,
        model=message.model,
        tags=sorted_tags(list(message.tags)),
        attributes=_object(message.attributes) if message.HasField("attributes") else {},
    )


# The conversions of google.protobuf.struct_pb2 itself turn every number into a
# float and leave a Value of no kind unnoticed.
def _fill_struct(struct: struct_pb2.Struct, attributes: Mapping[str, JSON]) -> None:
    for key, item in attributes.items():
        _fill_value(struct.fields[key], item)


def _fill_value(value: struct_pb2.Value, item: JSON) -> None:
    if item is None:
        value.null_value = struct_pb2.NULL_VALUE
    elif isinstance(item, bool):
        value.bool_value = item
    elif isinstance(item, str):
        value.string_value = item
    elif isinstance(item, int | float):
        value.number_value = item
    elif isinstance(item, list):
        value.list_value.SetInParent()
        for element in item:
            _fill_value(value.list_value.values.add(), element)
    else:
        value.struct_value.SetInParent()
        _fill_struct(value.struct_value, item)


def _object(struct: struct_pb2.Struct) -> dict[str, JSON]:
    return {key: _json(value) for key, value in struct.fields.items()}


def _json(value: struct_pb2.Value) -> JSON:
    match value.WhichOneof("kind"):
        case "null_value":
            return None
        case "bool_value":
            return value.bool_value
        case "string_value":
            return value.string_value
        case "number_value":
            return value.number_value
        case "list_value":
            return [_json(element) for element in value.list_value.values]
        case "struct_value":
            return _object(value.struct_value)
        case _:
            raise SpanError("metadata", "metadata must hold JSON values, got a Value of no kind")


_NO_CONTEXT: Final = Context()
_NO_METADATA: Final = Metadata()
