"""The protobuf form: what a message can hold beyond a span is refused by field."""

from collections.abc import Callable

import pytest
from hypothesis import given

from arenalab.api.common.v1 import span_pb2
from arenalab.atomic import (
    Context,
    Metadata,
    SpanError,
    Stakes,
    context_from_proto,
    context_to_proto,
    from_proto,
    stakes_from_proto,
    stakes_to_proto,
    to_proto,
)
from arenalab.testing.spans import context_strategy, make_span

SPAN = make_span("How?", "So.", domain="faq", stakes=Stakes.HIGH, tags=("a",))


def _spoil(change: Callable[[span_pb2.Span], object]) -> span_pb2.Span:
    message = to_proto(SPAN)
    change(message)
    return message


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda m: m.Clear(), "status"),
        (lambda m: m.ClearField("status"), "status"),
        (lambda m: setattr(m, "status", 77), "status"),
        (lambda m: m.ClearField("when"), "when"),
        (lambda m: setattr(m.when, "nanos", -1), "when"),
        (lambda m: setattr(m.when, "nanos", 1_000_000_000), "when"),
        (lambda m: setattr(m.when, "seconds", 253_402_300_800), "when"),
        (lambda m: setattr(m.when, "seconds", -62_135_596_801), "when"),
        (lambda m: setattr(m, "id", "7"), "id"),
        (lambda m: m.ClearField("this"), "this"),
        (lambda m: m.ClearField("if_ok"), "if_ok"),
        (lambda m: setattr(m, "if_not", ""), "if_not"),
        (lambda m: setattr(m, "confirmed_by", ""), "confirmed_by"),
        (lambda m: setattr(m.context, "stakes", 77), "context.stakes"),
        (lambda m: m.context.previous_spans.append("x"), "context.previous_spans"),
        (lambda m: setattr(m.metadata, "quality_score", float("nan")), "metadata.quality_score"),
        (lambda m: m.metadata.tags.append("a"), "metadata.tags"),
        (lambda m: m.metadata.attributes.update({"model": "x"}), "metadata.model"),
        (lambda m: m.metadata.attributes.update({"x": float("inf")}), "metadata.x"),
        (lambda m: m.metadata.attributes.fields["x"].SetInParent(), "metadata"),
    ],
)
def test_a_message_that_is_no_span_is_refused_by_the_name_of_its_field(
    change: Callable[[span_pb2.Span], object], field: str
) -> None:
    with pytest.raises(SpanError) as caught:
        from_proto(_spoil(change))
    assert caught.value.field == field


def test_an_empty_submessage_means_the_same_as_none() -> None:
    span = make_span("How?", "So.")
    message = to_proto(span)
    assert not message.HasField("context")
    assert not message.HasField("metadata")
    message.context.SetInParent()
    message.metadata.SetInParent()
    message.metadata.attributes.SetInParent()
    assert from_proto(message) == span


def test_the_wire_bytes_come_back_as_the_same_span() -> None:
    attributes = Metadata(attributes={"a": [], "b": {}, "c": [{}, None, False, 0, "", 2.5]})
    span = SPAN.with_metadata(attributes)
    assert from_proto(span_pb2.Span.FromString(to_proto(span).SerializeToString())) == span


def test_the_deepest_and_widest_attributes_survive_the_wire() -> None:
    deep: dict[str, object] = {}
    inner = deep
    for _ in range(15):
        inner["k"] = inner = {}
    span = SPAN.with_metadata(Metadata(attributes=deep))  # type: ignore[arg-type]
    assert from_proto(span_pb2.Span.FromString(to_proto(span).SerializeToString())) == span


def test_both_zeros_have_the_same_bytes() -> None:
    minus, plus = (to_proto(SPAN.with_quality(score)) for score in (-0.0, 0.0))
    assert minus.SerializeToString() == plus.SerializeToString()


@given(context_strategy())
def test_a_context_alone_survives_both_ways(context: Context) -> None:
    assert context_from_proto(context_to_proto(context)) == context


def test_stakes_alone_survive_both_ways() -> None:
    for stakes in (None, *Stakes):
        assert stakes_from_proto(stakes_to_proto(stakes)) is stakes
