"""Instants: one canonical text for each, in every year that a Timestamp holds."""

from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from arenalab.atomic import SpanError, canonical_when, when_from_ns
from arenalab.atomic.instant import MAX_SECONDS, MIN_SECONDS, NS_PER_S
from arenalab.testing.spans import make_span

MIN_NS = MIN_SECONDS * NS_PER_S
MAX_NS = MAX_SECONDS * NS_PER_S + NS_PER_S - 1


@given(st.integers(MIN_NS, MAX_NS))
def test_nanoseconds_survive_the_text(ns: int) -> None:
    text = when_from_ns(ns)
    assert make_span("How?", "So.", when=text).when_ns == ns
    assert canonical_when(text) == text


@given(st.integers(MIN_SECONDS, MAX_SECONDS), st.sampled_from([0, 5_000_000, 5_000, 5]))
def test_the_canonical_text_is_that_of_protobuf(seconds: int, nanos: int) -> None:
    timestamp = Timestamp(seconds=seconds, nanos=nanos)
    assert when_from_ns(seconds * NS_PER_S + nanos) == timestamp.ToJsonString()


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31)),  # noqa: DTZ001 - made aware below
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
)
def test_an_offset_names_the_same_instant(local: datetime, minutes: int) -> None:
    sign = "-" if minutes < 0 else "+"
    hours, rest = divmod(abs(minutes), 60)
    text = f"{local.isoformat()}{sign}{hours:02}:{rest:02}"
    utc = datetime.fromisoformat(text).astimezone(UTC)
    whole, _, fraction = utc.isoformat().removesuffix("+00:00").partition(".")
    fraction = fraction.removesuffix("000")
    assert canonical_when(text) == f"{whole}{fraction and '.'}{fraction}Z"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2026-01-05T10:00:00Z", "2026-01-05T10:00:00Z"),
        ("2026-01-05t10:00:00z", "2026-01-05T10:00:00Z"),
        ("2026-01-05T10:00:00-00:00", "2026-01-05T10:00:00Z"),
        ("2026-01-05T10:00:00.000000000Z", "2026-01-05T10:00:00Z"),
        ("2026-01-05T10:00:00.1Z", "2026-01-05T10:00:00.100Z"),
        ("2026-01-05T10:00:00.0001Z", "2026-01-05T10:00:00.000100Z"),
        ("2026-01-05T10:00:00.123456789+02:00", "2026-01-05T08:00:00.123456789Z"),
        ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.500Z"),
        ("0001-01-01T23:59:00+23:59", "0001-01-01T00:00:00Z"),
    ],
)
def test_every_form_of_rfc_3339_becomes_the_canonical_one(text: str, canonical: str) -> None:
    assert canonical_when(text) == canonical


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-1-5T10:00:00Z", "2025-02-29T00:00:00Z", "2026-01-05T10:00:00", "x" * 10**6],
)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(SpanError, match="when must be an RFC 3339") as caught:
        canonical_when(text)
    assert len(str(caught.value)) < 300


def test_an_instant_outside_the_years_1_to_9999_is_refused() -> None:
    for ns in (MIN_NS - 1, MAX_NS + 1):
        with pytest.raises(SpanError, match="years 0001 to 9999"):
            when_from_ns(ns)


def test_a_span_keeps_only_the_canonical_form() -> None:
    assert make_span("How?", "So.", when="2026-01-05T11:00:00+01:00").when == "2026-01-05T10:00:00Z"
