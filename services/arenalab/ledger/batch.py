"""Sealing a batch: leaves, lines and private parts of entries that are new to the log."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from arenalab.ledger.entry import Entry, Randomness, SubjectKey, encrypt, leaf_of
from arenalab.ledger.line import encode_entry
from arenalab.ledger.segment_index import Keywords, superseded_span
from arenalab.ledger.subjects import Subject
from arenalab.proof import leaf_hash


@dataclass(slots=True)
class NewEntry:
    """An entry that is not in the log yet, and what it becomes."""

    entry: Entry
    name: int  # fingerprint
    index: int
    leaf: bytes = b""
    offset: int = 0  # of its line
    key_id: bytes = b""

    def postings(self) -> list[int]:
        """Returns what the entry can be asked for by."""
        entry = self.entry
        facts = json.loads(entry.facts) if entry.kind == "curation" else {}
        return Keywords(
            entry.tenant,
            entry.kind,
            self.key_id,
            entry.evidence_ids,
            entry.trace_id,
            entry.parent_id,
            superseded_span(entry.kind, facts),
        ).fingerprints()


@dataclass(frozen=True, slots=True)
class SealedBatch:
    """What is to be written, and the hashes of its leaves, in order."""

    lines: bytes
    content: bytes
    hashes: bytes


def seal_batch(
    fresh: Sequence[NewEntry],
    keys: Mapping[Subject, SubjectKey],
    when: str,
    random: Randomness,
    offset: int,
    content_offset: int,
) -> SealedBatch:
    """Seals entries, and fills in what each became.

    Args:
        fresh: The entries, in log order.
        keys: Of every subject of theirs.
        when: RFC 3339 time in UTC: the leaves' time.
        random: Returns that many random bytes.
        offset: Where the first line will start.
        content_offset: Where the first private part will start.
    """
    lines: list[bytes] = []
    contents: list[bytes] = []
    hashes: list[bytes] = []
    for new in fresh:
        key = keys[new.entry.tenant, new.entry.subject]
        sealed, salt = encrypt(new.entry, key, random)
        new.leaf = leaf_of(new.entry, salt, sealed, index=new.index, when=when)
        new.key_id, new.offset = key.key_id, offset
        hashed = leaf_hash(new.leaf)
        lines.append(encode_entry(new.leaf, hashed, key.key_id, content_offset, len(sealed)))
        contents.append(sealed)
        hashes.append(hashed)
        offset += len(lines[-1])
        content_offset += len(sealed)
    return SealedBatch(b"".join(lines), b"".join(contents), b"".join(hashes))
