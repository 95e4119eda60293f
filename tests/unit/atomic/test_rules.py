"""Every rule of a span, broken once: by reading, which names the field, and by JSON Schema."""

from enum import Enum, auto
from typing import Any

import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from arenalab.atomic import SpanError, Stakes, from_json, from_proto, json_schema, to_json, to_proto
from arenalab.atomic.validate import MAX_OUTCOME_BYTES, MAX_THIS_BYTES
from arenalab.testing.spans import span_strategy

ID = "019b8de6-1a00-7000-8000-000000000001"
OTHER_ID = "019b8de6-1a00-7000-bfff-ffffffffffff"


class Missing(Enum):
    """Stands for a field that is not there; named, so that tests have the same names each time."""

    MISSING = auto()


MISSING = Missing.MISSING


def full_form() -> dict[str, Any]:
    """Returns the JSON form of a span with every field."""
    return {
        "id": ID,
        "source": "user_upload",
        "who": "Amélie",
        "did": "ask_question",
        "this": "Why does the deadline shrink at every hop?",
        "when": "2026-01-05T10:00:00.125Z",
        "status": "completed",
        "if_ok": "Each service keeps a margin for itself.",
        "if_not": "The call would outlive its caller.",
        "confirmed_by": "operator",
        "context": {
            "previous_spans": [OTHER_ID],
            "environment": "operations/tracing",
            "stakes": "medium",
            "emotional_state": "curious",
        },
        "metadata": {
            "quality_score": 87.5,
            "provider": "local",
            "model": "smollm2",
            "tags": ["faq", "grpc"],
            "row": 12,
            "checks": {"spelling": True, "weights": [0.5, None, "x"]},
        },
    }


def with_change(path: str, value: object) -> dict[str, Any]:
    """Returns the full form with the value at a dotted path replaced, or taken out."""
    form = full_form()
    *parents, last = path.split(".")
    target = form
    for parent in parents:
        target = target[parent]
    if value is MISSING:
        del target[last]
    else:
        target[last] = value
    return form


def _nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


# (path of the change, new value, field that the error names); JSON Schema refuses these too.
BAD_CHANGES: list[tuple[str, object, str]] = [
    *((key, MISSING, key) for key in ("id", "source", "who", "did", "this", "when", "status")),
    *((key, 5, key) for key in ("id", "source", "who", "did", "this", "when", "status", "if_ok")),
    *((key, None, key) for key in ("this", "if_ok", "if_not", "confirmed_by")),
    *((key, " \n\t", key) for key in ("who", "this", "if_ok", "if_not", "confirmed_by")),
    *((key, "", key) for key in ("source", "who", "did", "this", "if_ok", "confirmed_by")),
    *((key, "a\0b", key) for key in ("source", "who", "did", "this", "if_ok", "if_not")),
    *((key, "x" * 257, key) for key in ("who", "confirmed_by")),
    *(
        (key, token, key)
        for key in ("source", "did", "context.emotional_state")
        for token in ("Ask", "_ask", "ask question", "ask/question", "é", "x" * 65)
    ),
    ("id", ID.upper(), "id"),
    ("id", ID.replace("-7000-", "-4000-"), "id"),
    ("id", ID.replace("-8000-", "-c000-"), "id"),
    ("id", ID.replace("-", ""), "id"),
    ("this", "x" * 32_769, "this"),
    ("if_ok", "x" * 65_537, "if_ok"),
    ("if_not", "x" * 65_537, "if_not"),
    ("if_ok", MISSING, "if_ok"),
    ("status", "done", "status"),
    ("status", "Completed", "status"),
    ("status", None, "status"),
    ("status", [], "status"),
    ("when", "2026-01-05", "when"),
    ("when", "2026-01-05 10:00:00Z", "when"),
    ("when", "2026-01-05T10:00:00", "when"),
    ("when", "2026-01-05T10:00Z", "when"),
    ("when", "2026-01-05T24:00:00Z", "when"),
    ("when", "2026-01-05T23:59:60Z", "when"),
    ("when", "2026-01-05T10:00:00.1234567891Z", "when"),
    ("when", "2026-01-05T10:00:00+24:00", "when"),
    ("when", "٢٠٢٦-01-05T10:00:00Z", "when"),
    ("when", None, "when"),
    ("surprise", 1, "surprise"),
    ("context", None, "context"),
    ("context", [], "context"),
    ("context.domain", "banking", "context.domain"),
    ("context.previous_spans", None, "context.previous_spans"),
    ("context.previous_spans", ID, "context.previous_spans"),
    ("context.previous_spans", ["x"], "context.previous_spans"),
    ("context.previous_spans", [None], "context.previous_spans"),
    ("context.previous_spans", [ID] * 101, "context.previous_spans"),
    ("context.environment", "", "context.environment"),
    ("context.environment", None, "context.environment"),
    ("context.environment", "/banking", "context.environment"),
    ("context.environment", "banking/", "context.environment"),
    ("context.environment", "a//b", "context.environment"),
    ("context.environment", "Banking", "context.environment"),
    ("context.environment", "/".join(["x" * 63] * 5), "context.environment"),
    ("context.stakes", "extreme", "context.stakes"),
    ("context.stakes", None, "context.stakes"),
    ("context.emotional_state", "", "context.emotional_state"),
    ("metadata", None, "metadata"),
    ("metadata", "x", "metadata"),
    ("metadata.quality_score", None, "metadata.quality_score"),
    ("metadata.quality_score", "87", "metadata.quality_score"),
    ("metadata.quality_score", True, "metadata.quality_score"),
    ("metadata.quality_score", -0.001, "metadata.quality_score"),
    ("metadata.quality_score", 100.001, "metadata.quality_score"),
    ("metadata.provider", "", "metadata.provider"),
    ("metadata.model", "x" * 257, "metadata.model"),
    ("metadata.model", 5, "metadata.model"),
    ("metadata.tags", "faq", "metadata.tags"),
    ("metadata.tags", ["faq", "faq"], "metadata.tags"),
    ("metadata.tags", ["FAQ"], "metadata.tags"),
    ("metadata.tags", ["faq", 1], "metadata.tags"),
    ("metadata.tags", [f"t{i}" for i in range(33)], "metadata.tags"),
    ("metadata.row", 2**53, "metadata.row"),
    ("metadata.row", -(2**53), "metadata.row"),
    ("metadata.row", 1e300, "metadata.row"),
    ("metadata.row", {"deep": [10**30]}, "metadata.row.deep"),
    ("metadata.row", "a\0b", "metadata.row"),
    ("metadata.a\0b", 1, "metadata"),
]

# What JSON Schema cannot say: bytes of UTF-8, UTF-16 validity, the calendar, infinity
# (which no JSON text holds), size and depth. Python's "$" also matches before a
# newline at the end, so a schema library in Python lets the two last ones pass.
BAD_CHANGES_BEYOND_SCHEMA: list[tuple[str, object, str]] = [
    ("this", "é" * 16_385, "this"),
    ("if_ok", "é" * 32_769, "if_ok"),
    ("this", "\ud800", "this"),
    ("who", "a\udc00", "who"),
    ("when", "2026-02-29T10:00:00Z", "when"),
    ("when", "2026-13-01T10:00:00+01:00", "when"),
    ("when", "0000-01-01T00:00:00Z", "when"),
    ("when", "0001-01-01T00:00:00+00:01", "when"),
    ("when", "9999-12-31T23:59:59-00:01", "when"),
    ("metadata.quality_score", float("nan"), "metadata.quality_score"),
    ("metadata.row", float("nan"), "metadata.row"),
    ("metadata.row", "\ud800", "metadata.row"),
    ("metadata.row", ["x" * 65_536], "metadata"),
    ("metadata.row", _nested(16), "metadata.row"),
    ("did", "ask\n", "did"),
    ("id", f"{ID}\n", "id"),
]


def _name(change: object) -> str | None:
    return ascii(change)[:40] if not isinstance(change, str) else None


SCHEMA = Draft202012Validator(json_schema())


@pytest.mark.parametrize(
    ("path", "value", "field"), BAD_CHANGES + BAD_CHANGES_BEYOND_SCHEMA, ids=_name
)
def test_a_broken_rule_is_refused_by_the_name_of_its_field(
    path: str, value: object, field: str
) -> None:
    with pytest.raises(SpanError) as caught:
        from_json(with_change(path, value))
    assert caught.value.field == field
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(("path", "value", "field"), BAD_CHANGES, ids=_name)
def test_the_schema_refuses_what_reading_refuses(path: str, value: object, field: str) -> None:
    del field
    assert not SCHEMA.is_valid(with_change(path, value))


@pytest.mark.parametrize(("path", "value", "field"), BAD_CHANGES_BEYOND_SCHEMA, ids=_name)
def test_the_schema_cannot_say_the_remaining_rules(path: str, value: object, field: str) -> None:
    del field  # once the schema can say one of these, it moves to BAD_CHANGES
    assert SCHEMA.is_valid(with_change(path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("this", "é" * (MAX_THIS_BYTES // 2)),
        ("if_ok", "x" * MAX_OUTCOME_BYTES),
        ("who", "é" * 256),
        ("source", "x" * 64),
        ("source", "0a_.:-"),
        ("when", "2026-01-05t10:00:00.1+05:30"),
        ("when", "2024-02-29T00:00:00-00:00"),
        ("context.previous_spans", [ID] * 100),
        ("context.previous_spans", []),
        ("context.environment", "/".join(["x" * 63] * 4)),
        ("context", {}),
        ("metadata", {}),
        ("metadata.tags", [f"t{i}" for i in range(32)]),
        ("metadata.tags", ["z", "a"]),
        ("metadata.quality_score", 0),
        ("metadata.quality_score", 100.0),
        ("metadata.row", 2**53 - 1),
        ("metadata.row", _nested(15)),
        ("metadata.row", None),
        ("metadata.", "an empty key"),
        *((key, MISSING) for key in ("if_not", "confirmed_by", "context", "metadata")),
    ],
    ids=_name,
)
def test_what_the_rules_allow_up_to_their_limits_is_accepted(path: str, value: object) -> None:
    form = with_change(path, value)
    span = from_json(form)
    assert SCHEMA.is_valid(form)
    assert from_proto(to_proto(span)) == span


@pytest.mark.slow
@settings(deadline=None)
@given(span_strategy())
def test_the_schema_accepts_every_span(span: Any) -> None:
    SCHEMA.validate(to_json(span))


def test_the_schema_is_a_schema_and_each_reader_gets_its_own_copy() -> None:
    Draft202012Validator.check_schema(json_schema())
    json_schema().clear()
    assert json_schema()["$id"] == "urn:arenalab:schema:span:1"


@pytest.mark.parametrize("form", [None, 5, "x", [], [full_form()]])
def test_a_span_is_an_object(form: object) -> None:
    with pytest.raises(SpanError) as caught:
        from_json(form)
    assert caught.value.field == "span"
    assert not SCHEMA.is_valid(form)


@pytest.mark.parametrize(
    ("status", "needs"), [("completed", "if_ok"), ("failed", "if_not"), ("pending", None)]
)
def test_a_finished_action_needs_its_outcome(status: str, needs: str | None) -> None:
    form = with_change("status", status)
    assert from_json(form).outcome == (form[needs] if needs else None)
    del form["if_ok"], form["if_not"]
    assert SCHEMA.is_valid(form) is (needs is None)
    if needs is None:
        assert from_json(form).outcome is None
    else:
        with pytest.raises(SpanError, match=f"{needs} must be present when status is {status}"):
            from_json(form)


def test_stakes_have_an_order() -> None:
    assert [stakes.rank for stakes in Stakes] == [1, 2, 3]
