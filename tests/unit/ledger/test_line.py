"""Lines of a segment: what is written reads back, in one spelling only."""

import json
import random

from hypothesis import given
from hypothesis import strategies as st

from arenalab.atomic import canonical_json
from arenalab.ledger.entry import Entry, SubjectKey, encrypt, leaf_of
from arenalab.ledger.line import (
    CheckpointLine,
    EntryLine,
    encode_checkpoint,
    encode_entry,
    parse_line,
)
from arenalab.ledger.scan import scan
from arenalab.proof import leaf_hash

from .conftest import SIGNER, an_entry

KEY = SubjectKey(bytes(16), bytes(32))
WHEN = "2026-01-01T00:00:00Z"
KEY_ID = bytes(range(16))
NOTE = SIGNER.sign("example.org/log\n1\nAAAA\n")


def leaf_for(entry: Entry, index: int = 0) -> bytes:
    sealed, salt = encrypt(entry, KEY, random.Random(1).randbytes)
    return leaf_of(entry, salt, sealed, index=index, when=WHEN)


@given(
    index=st.integers(0, 2**53 - 1),
    entry_id=st.text(min_size=1, max_size=128),
    facts=st.dictionaries(st.text(), st.text(), max_size=3),
    names=st.sets(st.from_regex(r"[A-Za-z0-9_.-]{1,8}", fullmatch=True), max_size=3),
    offset=st.integers(0, 2**40),
    size=st.integers(0, 2**21),
)
def test_an_entry_reads_back_and_is_canonical_json(
    index: int, entry_id: str, facts: dict[str, str], names: set[str], offset: int, size: int
) -> None:
    entry = an_entry(entry_id, facts_json=json.dumps(facts), content=dict.fromkeys(names, "x"))
    leaf = leaf_for(entry, index)
    line = encode_entry(leaf, leaf_hash(leaf), KEY_ID, offset, size)
    assert canonical_json(json.loads(line)) + b"\n" == line
    parsed = parse_line(line)
    assert isinstance(parsed, EntryLine)
    assert (parsed.index, parsed.leaf) == (index, leaf)
    assert (parsed.offset, parsed.content_bytes, parsed.key_id) == (offset, size, KEY_ID)
    assert parsed.hash_hex == leaf_hash(leaf).hex()
    assert parsed.sealed_hex == json.loads(leaf)["sealed"]
    assert parsed.fields()["entry_id"] == entry_id


def test_facts_that_look_like_the_end_of_a_leaf_change_nothing() -> None:
    end = f'"kind":"k","sealed":"{"0" * 64}","subject":"{"0" * 64}","index":7'
    facts = {end: 1, "z": end + ',"time":"2026-01-01T00:00:00Z","trace_id":"","v":2}}'}
    leaf = leaf_for(an_entry(facts_json=json.dumps(facts)), 3)
    parsed = parse_line(encode_entry(leaf, leaf_hash(leaf), KEY_ID, 0, 1))
    assert isinstance(parsed, EntryLine)
    assert parsed.index == 3
    assert parsed.sealed_hex == json.loads(leaf)["sealed"]


def test_a_checkpoint_reads_back() -> None:
    assert parse_line(encode_checkpoint(NOTE)) == CheckpointLine(NOTE)


@given(st.data())
def test_a_checkpoint_spelled_otherwise_is_no_line(data: st.DataObject) -> None:
    line = encode_checkpoint(NOTE)
    position = data.draw(st.integers(0, len(line) - 1))
    changed = line[:position] + data.draw(st.binary(max_size=2)) + line[position + 1 :]
    if changed != line:
        assert parse_line(changed) != CheckpointLine(NOTE)


@given(st.binary())
def test_any_bytes_are_a_line_or_none(data: bytes) -> None:
    assert parse_line(data) is None
    assert parse_line(b'{"checkpoint":"' + data) is None or b'"}\n' in data


@given(
    trace_id=st.sampled_from(["", "ab" * 16]),
    when=st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000000001Z"]),
    tenant=st.sampled_from(["t", "t" * 64]),
)
def test_the_quick_reading_finds_the_private_parts_hash(
    trace_id: str, when: str, tenant: str
) -> None:
    facts = '{"z":{"sealed":"' + "0" * 64 + '"}}'
    entry = an_entry(facts_json=facts, trace_id=trace_id, tenant=tenant, parent_id='"sealed":"')
    sealed, salt = encrypt(entry, KEY, random.Random(1).randbytes)
    leaf = leaf_of(entry, salt, sealed, index=0, when=when)
    line = encode_entry(leaf, leaf_hash(leaf), KEY.key_id, 0, len(sealed))
    found = scan(line + encode_checkpoint(NOTE), memoryview(sealed), 0)
    assert found.is_whole
    assert bytes(found.hashes) == leaf_hash(leaf)
    assert not scan(line + encode_checkpoint(NOTE), memoryview(sealed[:-1] + b"\0"), 0).is_whole
