"""A span as a value: always valid, never changed, safe to share."""

import pickle
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from arenalab.atomic import JSON, Context, Metadata, Span, SpanError, Stakes
from arenalab.testing.spans import make_span

SPAN = make_span("How?", "So.", domain="faq", tags=("a",))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": "x"}, "id"),
        ({"status": "completed"}, "status"),
        ({"if_ok": None}, "if_ok"),
        ({"when": "2026-01-05T11:00:00+01:00"}, "when"),
        ({"context": None}, "context"),
        ({"metadata": {}}, "metadata"),
    ],
)
def test_a_changed_span_is_checked_like_a_new_one(change: dict[str, Any], field: str) -> None:
    with pytest.raises(SpanError) as caught:
        replace(SPAN, **change)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: Context(previous_spans=[SPAN.id]), "context.previous_spans"),  # type: ignore[arg-type]
        (lambda: Context(environment=None), "context.environment"),  # type: ignore[arg-type]
        (lambda: Context(stakes="low"), "context.stakes"),  # type: ignore[arg-type]
        (lambda: Metadata(tags=("b", "a")), "metadata.tags"),
        (lambda: Metadata(attributes={"tags": []}), "metadata.tags"),
        (lambda: Metadata(attributes=[]), "metadata"),  # type: ignore[arg-type]
        (lambda: Metadata(attributes={"x": {1}}), "metadata.x"),  # type: ignore[dict-item]
        (lambda: Metadata(attributes={"x": 10**5000}), "metadata.x"),
        (lambda: Metadata(attributes={5: 1}), "metadata"),  # type: ignore[dict-item]
    ],
)
def test_a_part_of_a_span_is_checked_too(build: Any, field: str) -> None:
    with pytest.raises(SpanError) as caught:
        build()
    assert caught.value.field == field


def test_a_span_cannot_be_changed_in_place() -> None:
    with pytest.raises(FrozenInstanceError):
        SPAN.this = "Why?"  # type: ignore[misc]


def test_attributes_do_not_change_with_what_they_were_made_from() -> None:
    source: dict[str, JSON] = {"list": [1]}
    metadata = Metadata(attributes=source)
    source["list"] = []
    assert metadata.attributes == {"list": [1]}


def test_metadata_changes_leave_the_rest() -> None:
    scored = SPAN.with_quality(87.5)
    assert scored.metadata == Metadata(quality_score=87.5, tags=("a",))
    assert scored.with_quality(None) == SPAN
    assert SPAN.with_metadata(Metadata()).this == SPAN.this


def test_spans_and_their_errors_travel_between_processes() -> None:
    assert pickle.loads(pickle.dumps(SPAN)) == SPAN  # noqa: S301 - our own bytes
    error = pickle.loads(pickle.dumps(SpanError("who", "who must be present")))  # noqa: S301
    assert (error.field, str(error)) == ("who", "who must be present")


def test_equal_spans_are_one_element_of_a_set() -> None:
    spans: set[Span] = {SPAN, replace(SPAN), SPAN.with_metadata(Metadata(attributes={"a": [1]}))}
    assert len(spans) == 2


def test_an_error_never_repeats_a_long_text() -> None:
    with pytest.raises(SpanError) as caught:
        Context(environment="SECRET" * 1000, stakes=Stakes.LOW)
    assert len(str(caught.value)) < 250
