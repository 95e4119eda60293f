"""What makes a span the one it is: the hash of its content, and an id from that hash."""

from dataclasses import replace
from typing import Final

from blake3 import blake3

from arenalab.atomic.canonical import encode_plain
from arenalab.atomic.ids import derived_id, uuid7
from arenalab.atomic.instant import canonical_when
from arenalab.atomic.json_form import content_to_json
from arenalab.atomic.span import Context, Metadata, Span, Status

_NO_ID: Final = uuid7(0, bytes(10))


def content_hash(span: Span) -> str:
    """Returns BLAKE3, in hexadecimal, of the canonical JSON without `id` and `metadata`."""
    # The content holds no number and no key but our own, all ASCII.
    return blake3(encode_plain(content_to_json(span))).hexdigest()


def derived_span(
    *,
    source: str,
    who: str,
    did: str,
    this: str,
    when: str,
    status: Status,
    if_ok: str | None = None,
    if_not: str | None = None,
    confirmed_by: str | None = None,
    context: Context | None = None,
    metadata: Metadata | None = None,
) -> Span:
    """Returns the span of these fields, with the id that its content gives it.

    The same fields give the same id, so a row that is ingested twice is one span.
    `when` may have any RFC 3339 form.

    Raises:
        SpanError: A field breaks its rule.
    """
    span = Span(
        id=_NO_ID,
        source=source,
        who=who,
        did=did,
        this=this,
        when=canonical_when(when),
        status=status,
        if_ok=if_ok,
        if_not=if_not,
        confirmed_by=confirmed_by,
        context=context or Context(),
        metadata=metadata or Metadata(),
    )
    return replace(span, id=derived_id(span.when, content_hash(span)))
