"""An entry becomes a canonical leaf that tells nothing of its content."""

import base64
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.atomic import canonical_json
from arenalab.ledger.entry import (
    MAX_CONTENT_BYTES,
    MAX_FACTS_BYTES,
    SubjectKey,
    checked_entry,
    key_id_of,
    seal,
    sealed_hash,
    unseal,
)
from arenalab.mesh import InvalidInputError, Reason
from arenalab.proof import content_commitment, subject_commitment

from .conftest import an_entry

WHEN = "2026-01-01T00:00:00.000001Z"
KEY = SubjectKey(bytes(range(16)), bytes(range(32)))
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
CONTENTS = st.dictionaries(st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True), st.text())


def _number(text: str) -> float:
    # A float beyond 2^53 is written without a point, and is no whole number to RFC 8785.
    return int(text) if abs(int(text)) < 2**53 else float(text)


@given(
    facts=st.dictionaries(st.text(), JSON_VALUES, max_size=4),
    content=CONTENTS,
    entry_id=st.text(min_size=1, max_size=128),
    subject=st.text(max_size=256),
    seed=st.integers(0, 2**32),
)
def test_a_leaf_is_canonical_and_its_private_part_opens(
    facts: dict[str, object], content: dict[str, str], entry_id: str, subject: str, seed: int
) -> None:
    entry = an_entry(entry_id, facts_json=json.dumps(facts), content=content, subject=subject)
    leaf, sealed = seal(entry, WHEN, KEY, random.Random(seed).randbytes)
    value = json.loads(leaf, parse_int=_number)
    assert canonical_json(value) == leaf
    assert value["entry_id"] == entry_id
    assert value["sealed"] == sealed_hash(sealed)
    assert key_id_of(sealed) == KEY.key_id
    private = unseal(sealed, KEY)
    assert (private.content, private.subject) == (content, subject)
    assert value["content"] == {
        name: content_commitment(private.salt, name, text) for name, text in content.items()
    }
    assert value["subject"] == subject_commitment(private.salt, subject)


def test_neither_leaf_nor_private_part_shows_content_or_subject() -> None:
    entry = an_entry(content={"question": "the-question"}, subject="the-subject")
    leaf, sealed = seal(entry, WHEN, KEY, random.Random(1).randbytes)
    seen = leaf + sealed + base64.b64decode(sealed)
    assert b"the-question" not in seen
    assert b"the-subject" not in seen


def test_the_same_content_looks_different_every_time() -> None:
    draw = random.Random(1).randbytes
    first, second = (json.loads(seal(an_entry(), WHEN, KEY, draw)[0]) for _ in range(2))
    assert first["content"]["question"] != second["content"]["question"]
    assert first["subject"] != second["subject"]


def test_another_key_does_not_open_a_private_part() -> None:
    _, sealed = seal(an_entry(), WHEN, KEY, random.Random(1).randbytes)
    with pytest.raises(ValueError, match="does not open"):
        unseal(sealed, SubjectKey(KEY.key_id, bytes(32)))


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"entry_id": ""}, "entry_id", Reason.INVALID_ARGUMENT),
        ({"entry_id": "x" * 129}, "entry_id", Reason.INVALID_ARGUMENT),
        ({"kind": ""}, "kind", Reason.INVALID_ARGUMENT),
        ({"kind": "An answer"}, "kind", Reason.INVALID_ARGUMENT),
        ({"kind": "a" * 65}, "kind", Reason.INVALID_ARGUMENT),
        ({"subject": "x" * 257}, "subject", Reason.INVALID_ARGUMENT),
        ({"facts_json": ""}, "facts_json", Reason.INVALID_ARGUMENT),
        ({"facts_json": "[]"}, "facts_json", Reason.INVALID_ARGUMENT),
        ({"facts_json": "{"}, "facts_json", Reason.INVALID_ARGUMENT),
        ({"facts_json": '{"a":1,"a":2}'}, "facts_json", Reason.INVALID_ARGUMENT),
        ({"facts_json": '{"a":NaN}'}, "facts_json", Reason.INVALID_ARGUMENT),
        ({"facts_json": '{"a":1e999}'}, "facts_json", Reason.INVALID_ARGUMENT),
        ({"facts_json": '{"a":9007199254740993}'}, "facts_json", Reason.INVALID_ARGUMENT),
        ({"facts_json": '{"a":"\\ud800"}'}, "facts_json", Reason.INVALID_ARGUMENT),
        ({"facts_json": '{"a":' + "[" * 30_000}, "facts_json", Reason.INVALID_ARGUMENT),
        ({"facts_json": " " * (MAX_FACTS_BYTES + 1)}, "facts_json", Reason.TOO_LARGE),
        ({"content": {"a b": ""}}, "content", Reason.INVALID_ARGUMENT),
        ({"content": {"": ""}}, "content", Reason.INVALID_ARGUMENT),
        ({"content": {"a": "\ud800"}}, "content", Reason.INVALID_ARGUMENT),
        ({"content": {str(n): "" for n in range(65)}}, "content", Reason.TOO_LARGE),
        ({"content": {"a": "é" * (MAX_CONTENT_BYTES // 2 + 1)}}, "content", Reason.TOO_LARGE),
    ],
)
def test_a_field_outside_its_range_is_refused(
    change: dict[str, str], field: str, reason: Reason
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        an_entry(**{"entry_id": "e", **change})  # type: ignore[arg-type]
    assert caught.value.reason is reason
    assert caught.value.metadata["field"] == field


def test_the_largest_entry_is_taken() -> None:
    entry = checked_entry(
        tenant="t",
        entry_id="x" * 128,
        kind="k",
        facts_json='{"a":"' + "x" * (MAX_FACTS_BYTES - 8) + '"}',
        content={"a": "x" * MAX_CONTENT_BYTES},
        subject="x" * 256,
    )
    assert entry.size_bytes == MAX_FACTS_BYTES + MAX_CONTENT_BYTES
