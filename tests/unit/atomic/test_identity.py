"""Identity: the content hash, the ids derived from it, and UUIDs of version 7."""

import json
import uuid
from collections.abc import Callable
from dataclasses import replace

import pytest
import rfc8785
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.atomic import (
    Context,
    Metadata,
    Span,
    Stakes,
    Status,
    content_hash,
    derived_id,
    dump_line,
    is_uuid7,
    to_json,
    uuid7,
)
from arenalab.testing.spans import id_strategy, make_span, metadata_strategy, span_strategy

SPAN = replace(make_span("How?", "So."), if_not="Else.", confirmed_by="operator")
OTHER_ID = uuid7(1, bytes(range(10)))


@pytest.mark.slow
@settings(deadline=None)
@given(span_strategy())
def test_the_content_hash_is_blake3_of_the_canonical_form_without_id_and_metadata(
    span: Span,
) -> None:
    content = {k: v for k, v in to_json(span).items() if k not in {"id", "metadata"}}
    assert content_hash(span) == blake3(rfc8785.dumps(content)).hexdigest()


@pytest.mark.slow
@settings(deadline=None)
@given(id_strategy(), metadata_strategy())
def test_the_content_hash_knows_neither_id_nor_metadata(span_id: str, metadata: Metadata) -> None:
    assert content_hash(replace(SPAN, id=span_id, metadata=metadata)) == content_hash(SPAN)
    assert content_hash(SPAN.with_quality(3)) == content_hash(SPAN)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: replace(s, source="builtin"),
        lambda s: replace(s, who="another"),
        lambda s: replace(s, did="answer"),
        lambda s: replace(s, this="How? "),
        lambda s: replace(s, when="2026-01-05T10:00:00.000000001Z"),
        lambda s: replace(s, status=Status.FAILED),
        lambda s: replace(s, if_ok="So"),
        lambda s: replace(s, if_not=None),
        lambda s: replace(s, confirmed_by="Operator"),
        lambda s: replace(s, context=Context(previous_spans=(OTHER_ID,))),
        lambda s: replace(s, context=Context(environment="faq")),
        lambda s: replace(s, context=Context(stakes=Stakes.LOW)),
        lambda s: replace(s, context=Context(emotional_state="calm")),
    ],
)
def test_the_content_hash_changes_with_every_other_field(change: Callable[[Span], Span]) -> None:
    assert content_hash(change(SPAN)) != content_hash(SPAN)


def test_a_content_hash_written_down_once_stays_the_same() -> None:
    # A change of this value makes every published dataset unverifiable.
    content = (
        b'{"did":"ask_question","if_ok":"So.","source":"user_upload","status":"completed",'
        b'"this":"How?","when":"2026-01-05T10:00:00Z","who":"tester"}'
    )
    span = make_span("How?", "So.")
    assert rfc8785.dumps(json.loads(content)) == content
    assert content_hash(span) == blake3(content).hexdigest()
    assert content_hash(span) == "e84a2fb52c2f36d40e6636d74e53a0fcd248e070ced0e669d5eebbf5dd242f7d"
    assert (
        span.id
        == derived_id(span.when, content_hash(span))
        == "019b8d99-6900-7e84-a8be-d4b0bcdb5039"
    )


def test_the_same_row_twice_gives_the_same_line() -> None:
    first, second = (make_span("How?", "So.", quality=q) for q in (1, 1))
    assert dump_line(first) == dump_line(second)


def test_rows_that_differ_only_in_metadata_share_an_id() -> None:
    assert make_span("How?", "So.", quality=1).id == make_span("How?", "So.", tags=("x",)).id


def test_rows_that_differ_in_content_have_ids_of_their_own() -> None:
    assert len({make_span("How?", str(n)).id for n in range(100)}) == 100


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=16))
def test_an_id_is_a_uuid_of_version_7_that_carries_its_time(unix_ms: int, entropy: bytes) -> None:
    text = uuid7(unix_ms, entropy)
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert is_uuid7(text)
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert parsed.int >> 80 == unix_ms


def test_all_74_free_bits_of_an_id_come_from_its_randomness() -> None:
    ids = [uuid.UUID(uuid7(0, (1 << bit).to_bytes(10, "big"))).int for bit in range(6, 80)]
    zero = uuid.UUID(uuid7(0, bytes(10))).int
    assert len({span_id ^ zero for span_id in ids}) == 74


def test_ids_sort_by_time() -> None:
    whens = ["2026-01-05T10:00:00Z", "2026-01-05T10:00:00.001Z", "9999-12-31T23:59:59.999999999Z"]
    ids = [make_span("How?", "So.", when=when).id for when in whens]
    assert ids == sorted(ids)


def test_a_time_before_the_epoch_counts_as_the_epoch_in_an_id() -> None:
    assert make_span("How?", "So.", when="1815-12-10T00:00:00Z").id.startswith("00000000-0000-7")


@pytest.mark.parametrize(("unix_ms", "size"), [(-1, 10), (2**48, 10), (0, 9)])
def test_what_an_id_cannot_hold_is_refused(unix_ms: int, size: int) -> None:
    with pytest.raises(ValueError, match=r"must be"):
        uuid7(unix_ms, bytes(size))


@pytest.mark.parametrize(
    "text",
    ["", SPAN.id.upper(), f"{SPAN.id}\n", f"{{{SPAN.id}}}", SPAN.id.replace("-7", "-4", 1)],
)
def test_only_the_canonical_form_of_version_7_is_an_id(text: str) -> None:
    assert not is_uuid7(text)
