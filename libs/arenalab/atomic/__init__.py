"""The span and its two forms, JSON✯Atomic and protobuf.

A `Span` that exists is valid. `from_json`, `parse_line` and `from_proto` raise
`SpanError`, which names the field, for anything else.
"""

from arenalab.atomic.canonical import JSON, canonical_json
from arenalab.atomic.errors import SpanError
from arenalab.atomic.identity import content_hash, derived_span
from arenalab.atomic.ids import derived_id, is_uuid7, uuid7
from arenalab.atomic.instant import canonical_when, when_from_ns
from arenalab.atomic.json_form import (
    canonical_bytes,
    context_from_json,
    context_to_json,
    dump_line,
    from_json,
    parse_line,
    to_json,
)
from arenalab.atomic.proto_form import (
    context_from_proto,
    context_to_proto,
    from_proto,
    stakes_from_proto,
    stakes_to_proto,
    to_proto,
)
from arenalab.atomic.schema import json_schema
from arenalab.atomic.span import Context, Metadata, Span, Stakes, Status

__all__ = [
    "JSON",
    "Context",
    "Metadata",
    "Span",
    "SpanError",
    "Stakes",
    "Status",
    "canonical_bytes",
    "canonical_json",
    "canonical_when",
    "content_hash",
    "context_from_json",
    "context_from_proto",
    "context_to_json",
    "context_to_proto",
    "derived_id",
    "derived_span",
    "dump_line",
    "from_json",
    "from_proto",
    "is_uuid7",
    "json_schema",
    "parse_line",
    "stakes_from_proto",
    "stakes_to_proto",
    "to_json",
    "to_proto",
    "uuid7",
    "when_from_ns",
]
