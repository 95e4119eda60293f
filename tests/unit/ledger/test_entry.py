"""An entry becomes a canonical leaf that tells nothing of its content."""

import json
import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.atomic import canonical_json
from arenalab.ledger.entry import (
    MAX_CONTENT_BYTES,
    MAX_FACTS_BYTES,
    Entry,
    SubjectKey,
    checked_entry,
    decrypt,
    encrypt,
    leaf_of,
    sealed_hash,
)
from arenalab.ledger.line import MAX_LEAF_BYTES
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
TOKEN = st.text(max_size=20)
CONTENTS = st.dictionaries(st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True), st.text())


def seal(entry: Entry, index: int = 0, seed: int = 1) -> tuple[bytes, bytes]:
    """Returns the leaf and the private part."""
    sealed, salt = encrypt(entry, KEY, random.Random(seed).randbytes)
    return leaf_of(entry, salt, sealed, index=index, when=WHEN), sealed


def _number(text: str) -> float:
    # A float beyond 2^53 is written without a point, and is no whole number to RFC 8785.
    return int(text) if abs(int(text)) < 2**53 else float(text)


@given(
    facts=st.dictionaries(st.text(), JSON_VALUES, max_size=4),
    content=CONTENTS,
    entry_id=st.text(min_size=1, max_size=128),
    subject=st.text(max_size=256),
    evidence=st.lists(st.text(min_size=1, max_size=64), max_size=4, unique=True),
    index=st.integers(0, 2**53 - 1),
    names=st.tuples(TOKEN, TOKEN, TOKEN),
)
def test_a_leaf_is_canonical_and_its_private_part_opens(
    facts: dict[str, object],
    content: dict[str, str],
    entry_id: str,
    subject: str,
    evidence: list[str],
    index: int,
    names: tuple[str, str, str],
) -> None:
    model, config, parent = names
    entry = an_entry(
        entry_id,
        facts_json=json.dumps(facts),
        content=content,
        subject=subject,
        evidence_ids=evidence,
        model_digest=model,
        config_digest=config,
        parent_id=parent,
        trace_id="0123456789abcdef" * 2,
        dataset_version="ab" * 32,
    )
    leaf, sealed = seal(entry, index)
    value = json.loads(leaf, parse_int=_number)
    assert canonical_json(value) == leaf
    assert value["entry_id"] == entry_id
    assert (value["index"], value["kind"], value["scope"]) == (index, "prediction", "default")
    assert (value["evidence_ids"], value["parent_id"]) == (evidence, parent)
    assert (value["model_digest"], value["config_digest"]) == (model, config)
    assert (value["trace_id"], value["dataset_version"]) == ("0123456789abcdef" * 2, "ab" * 32)
    assert value["sealed"] == sealed_hash(sealed)
    assert sealed.startswith(KEY.key_id)
    private = decrypt(sealed, KEY)
    assert (private.content, private.subject) == (content, subject)
    assert value["commitments"] == {
        name: content_commitment(private.salt, name, text) for name, text in content.items()
    }
    assert value["subject"] == subject_commitment(private.salt, subject)


def test_neither_leaf_nor_private_part_shows_content_or_subject() -> None:
    entry = an_entry(content={"question": "the-question"}, subject="the-subject")
    leaf, sealed = seal(entry)
    seen = leaf + sealed
    assert b"the-question" not in seen
    assert b"the-subject" not in seen


def test_the_same_content_looks_different_every_time() -> None:
    first, second = (json.loads(seal(an_entry(), seed=seed)[0]) for seed in (1, 2))
    assert first["commitments"]["question"] != second["commitments"]["question"]
    assert first["subject"] != second["subject"]


def test_a_private_part_does_not_open_under_another_keys_name() -> None:
    _, sealed = seal(an_entry())
    with pytest.raises(ValueError, match="does not open"):
        decrypt(sealed, SubjectKey(bytes(16), KEY.key))


def test_another_key_does_not_open_a_private_part() -> None:
    _, sealed = seal(an_entry())
    with pytest.raises(ValueError, match="does not open"):
        decrypt(sealed, SubjectKey(KEY.key_id, bytes(32)))


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"entry_id": ""}, "entry_id", Reason.INVALID_ARGUMENT),
        ({"entry_id": "x" * 129}, "entry_id", Reason.INVALID_ARGUMENT),
        ({"kind": ""}, "kind", Reason.INVALID_ARGUMENT),
        ({"kind": "An answer"}, "kind", Reason.INVALID_ARGUMENT),
        ({"kind": "answer"}, "kind", Reason.INVALID_ARGUMENT),
        ({"evidence_ids": ["s", "s"]}, "evidence_ids", Reason.INVALID_ARGUMENT),
        ({"evidence_ids": [""]}, "evidence_ids", Reason.INVALID_ARGUMENT),
        ({"evidence_ids": ["x" * 65]}, "evidence_ids", Reason.INVALID_ARGUMENT),
        ({"evidence_ids": ["\ud800"]}, "evidence_ids", Reason.INVALID_ARGUMENT),
        ({"evidence_ids": [str(n) for n in range(257)]}, "evidence_ids", Reason.TOO_LARGE),
        ({"dataset_version": "ab"}, "dataset_version", Reason.INVALID_ARGUMENT),
        ({"trace_id": "AB" * 16}, "trace_id", Reason.INVALID_ARGUMENT),
        ({"model_digest": "x" * 129}, "model_digest", Reason.INVALID_ARGUMENT),
        ({"config_digest": "x" * 129}, "config_digest", Reason.INVALID_ARGUMENT),
        ({"parent_id": "x" * 129}, "parent_id", Reason.INVALID_ARGUMENT),
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
    change: dict[str, Any], field: str, reason: Reason
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        an_entry(**{"entry_id": "e", **change})
    assert caught.value.reason is reason
    assert caught.value.metadata["field"] == field


def test_the_largest_entry_is_taken() -> None:
    entry = checked_entry(
        tenant="t",
        entry_id="x" * 128,
        kind="prediction",
        facts_json='{"a":"' + "x" * (MAX_FACTS_BYTES - 8) + '"}',
        content={"a": "x" * MAX_CONTENT_BYTES},
        subject="x" * 256,
    )
    assert entry.size_bytes == MAX_FACTS_BYTES + MAX_CONTENT_BYTES


def test_a_leaf_that_no_entry_bundle_could_carry_is_refused() -> None:
    facts = '{"a":"' + "x" * (MAX_FACTS_BYTES - 8) + '"}'
    evidence = [f"{n:03}" + "\x01" * 61 for n in range(256)]  # six bytes a character, escaped
    with pytest.raises(InvalidInputError) as caught:
        an_entry(facts_json=facts, evidence_ids=evidence)
    assert (caught.value.reason, caught.value.metadata["field"]) == (Reason.TOO_LARGE, "leaf")


@given(st.integers(20_000, MAX_FACTS_BYTES - 8), st.integers(0, 75))
def test_every_leaf_that_is_taken_fits(facts_bytes: int, spans: int) -> None:
    facts = '{"a":"' + "x" * facts_bytes + '"}'
    content = {f"{n:064}": "" for n in range(64)}
    evidence = [f"{n:03}" + "\x01" * 61 for n in range(spans)]
    fields: dict[str, Any] = {
        "facts_json": facts,
        "content": content,
        "evidence_ids": evidence,
        "tenant": "t" * 64,
    }
    # Refused by the sum of its parts, so none that is taken may be longer.
    with suppress(InvalidInputError):
        assert len(seal(an_entry(**fields), 10**18)[0]) <= MAX_LEAF_BYTES
