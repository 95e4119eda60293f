"""JSON✯Atomic: lossless, canonical, and strict about the lines it reads."""

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.atomic import (
    Span,
    SpanError,
    canonical_bytes,
    dump_line,
    from_json,
    from_proto,
    parse_line,
    to_json,
    to_proto,
)
from arenalab.testing.spans import make_span, span_strategy


def _shuffled(value: Any, order: random.Random) -> Any:
    if isinstance(value, list):
        return [_shuffled(item, order) for item in value]
    if not isinstance(value, dict):
        return value
    keys = list(value)
    order.shuffle(keys)
    return {key: _shuffled(value[key], order) for key in keys}


@pytest.mark.slow
@settings(deadline=None)
@given(span_strategy())
def test_json_and_protobuf_carry_the_same_information_both_ways(span: Span) -> None:
    line = dump_line(span)
    read = parse_line(line)
    assert read == span
    through = from_proto(to_proto(read))
    assert through == span
    assert dump_line(through) == line
    assert to_json(through) == json.loads(line)


@pytest.mark.slow
@settings(deadline=None)
@given(span_strategy(), st.randoms(use_true_random=False))
def test_canonical_bytes_do_not_depend_on_the_order_of_keys(
    span: Span, order: random.Random
) -> None:
    assert canonical_bytes(from_json(_shuffled(to_json(span), order))) == canonical_bytes(span)


def test_the_json_form_has_the_documented_keys_and_leaves_out_what_is_absent() -> None:
    assert to_json(make_span("How?", "So.")) == {
        "id": "019b8d99-6900-7e84-a8be-d4b0bcdb5039",
        "source": "user_upload",
        "who": "tester",
        "did": "ask_question",
        "this": "How?",
        "when": "2026-01-05T10:00:00Z",
        "status": "completed",
        "if_ok": "So.",
    }


def test_what_has_several_spellings_gets_the_canonical_one() -> None:
    form = to_json(make_span("How?", "So.", quality=80, tags=("a", "b")))
    form["when"] = "2026-01-05t11:30:00.500+01:30"
    form["metadata"] = {"quality_score": 80.0, "tags": ["b", "a"], "row": 3.0, "zero": -0.0}
    line = dump_line(from_json(form))
    assert b'"when":"2026-01-05T10:00:00.500Z"' in line
    assert b'"metadata":{"quality_score":80,"row":3,"tags":["a","b"],"zero":0}' in line


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b"", "span"),
        (b"\n", "span"),
        (b"[]", "span"),
        (b"null", "span"),
        (b'{"id":', "span"),
        (b"{} {}", "span"),
        (b"\xef\xbb\xbf{}", "span"),
        (b'{"this":"\xff"}', "span"),
        (b'{"this":"\xed\xa0\x80"}', "span"),
        (b'{"this":"a\nb"}', "span"),
        (b'{"metadata":{"x":NaN}}', "span"),
        (b'{"metadata":{"x":-Infinity}}', "span"),
        (b'{"metadata":{"x":' + b"9" * 5000 + b"}}", "span"),
        (b"[" * 200_000, "span"),
        (b'{"this":"' + b"x" * (2 * 1024 * 1024) + b'"}', "span"),
        (b'{"who":"a","who":"b"}', "who"),
        (b'{"metadata":{"a":{"row":1,"row":1}}}', "row"),
        (b"{}", "id"),
    ],
    ids=lambda line: ascii(line)[:32],
)
def test_a_line_that_is_not_one_strict_json_object_is_refused(line: bytes, field: str) -> None:
    with pytest.raises(SpanError) as caught:
        parse_line(line)
    assert caught.value.field == field
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        (b'"How?"', rb'"\ud800"', "this"),
        (b'"How?"', rb'"\u0000"', "this"),
        (b'"quality_score":80', b'"quality_score":1e999', "metadata.quality_score"),
        (b'"quality_score":80', b'"x":1e999', "metadata.x"),
        (b'"quality_score":80', rb'"\ud800":1', "metadata"),
    ],
)
def test_what_only_escapes_and_exponents_can_say_is_refused(
    old: bytes, new: bytes, field: str
) -> None:
    line = dump_line(make_span("How?", "So.", quality=80))
    with pytest.raises(SpanError) as caught:
        parse_line(line.replace(old, new))
    assert caught.value.field == field


def test_the_longest_span_fits_into_a_line_of_escapes() -> None:
    text = "\x01"
    span = make_span("a" + text * 32_767, "a" + text * 65_535)
    assert parse_line(dump_line(span)) == span


@pytest.mark.slow
@settings(deadline=None)
@given(st.recursive(st.none() | st.integers() | st.text(), st.lists) | st.binary())
def test_anything_else_is_refused_with_a_span_error(value: Any) -> None:
    with pytest.raises(SpanError):
        parse_line(value) if isinstance(value, bytes) else from_json(value)
