"""Sealing a batch: leaves, lines and private parts of entries that are new to the log."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from arenalab.ledger.entry import Entry, Randomness, SubjectKey, encrypt, leaf_of, most_leaf_bytes
from arenalab.ledger.line import encode_entry
from arenalab.ledger.segment_index import Keywords, superseded_span
from arenalab.ledger.subjects import Subject
from arenalab.mesh import InvalidInputError, Reason
from arenalab.proof import leaf_hash

# A note with the longest origin and the signatures of two keys (high_water.SLOT_BYTES),
# as a line of JSON.
MAX_CHECKPOINT_BYTES: Final = 1280
# What a line has around its leaf, and a private part around its content and subject.
_ENVELOPE_BYTES: Final = 192
_PRIVATE_BYTES: Final = 192


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


def most_bytes(entry: Entry) -> int:
    """Returns the most that the line and the private part of an entry take together."""
    # Escaped as RFC 8785 has it: only what must be.
    private = json.dumps([dict(entry.content), entry.subject], ensure_ascii=False)
    return most_leaf_bytes(entry) + _ENVELOPE_BYTES + len(private.encode()) + _PRIVATE_BYTES


def too_large(entry: Entry, limit: int | None) -> InvalidInputError | None:
    """Returns the error of an entry that the log's storage cannot take, if it is one."""
    if limit is None or (size := most_bytes(entry)) <= limit:
        return None
    return InvalidInputError(
        f"the entry takes up to {size} bytes where the ledger's storage takes {limit}",
        Reason.TOO_LARGE,
        field="content",
        limit=str(limit),
    )


def pieces(fresh: list[NewEntry], limit: int | None) -> Iterator[list[NewEntry]]:
    """Yields the entries in batches of at most so many bytes, in order."""
    if limit is None:
        if fresh:
            yield fresh
        return
    piece: list[NewEntry] = []
    size = 0
    for new in fresh:
        added = most_bytes(new.entry)
        if piece and size + added > limit:
            yield piece
            piece, size = [], 0
        piece.append(new)
        size += added
    if piece:
        yield piece


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
