"""One entry: what is public and goes into the leaf, what is private and lies beside it.

The leaf is canonical JSON with the facts, the hash of the private part, and salted
commitments to each content and to the subject. The private part (content, subject,
salt) is encrypted under the subject's key: destroying the key erases it, and
changes no leaf and no proof.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from blake3 import blake3
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
)
from nacl.exceptions import CryptoError

from arenalab.atomic import JSON, canonical_json
from arenalab.atomic.canonical import encode_plain
from arenalab.ledger.line import LEAF_VERSION, MAX_LEAF_BYTES
from arenalab.mesh import InvalidInputError, Reason
from arenalab.proof import SALT_BYTES, content_commitment, subject_commitment

MAX_ENTRY_ID: Final = 128
MAX_DIGEST: Final = 128
MAX_FACTS_BYTES: Final = 32_768
MAX_EVIDENCE: Final = 256
MAX_SPAN_ID: Final = 64
MAX_CONTENT_BYTES: Final = 1_048_576
MAX_CONTENTS: Final = 64
MAX_SUBJECT: Final = 256
KEY_ID_BYTES: Final = 16
# Kinds that a caller may seal, and those that only the ledger makes.
KINDS: Final = frozenset({"prediction", "fallback", "feedback", "curation", "publication"})
OWN_KINDS: Final = frozenset({"erasure", "succession"})
# The most that a commitment, and that the fields of fixed form, take of a leaf.
_COMMITMENT_BYTES: Final = 134
_FIXED_BYTES: Final = 640
_NONCE_BYTES: Final = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
_CONTENT_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_DATASET_VERSION: Final = re.compile(r"([0-9a-f]{64})?")
_TRACE_ID: Final = re.compile(r"([0-9a-f]{32})?")

Randomness = Callable[[int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a caller asks to seal; `checked_entry` is how one is made."""

    tenant: str
    entry_id: str
    kind: str
    facts: bytes  # canonical JSON of an object
    content: Mapping[str, str]
    subject: str
    salt: bytes  # of the commitments; empty: drawn when it is sealed
    evidence_ids: tuple[str, ...]
    trace_id: str
    parent_id: str
    # The leaf's fields before and behind the facts, as canonical JSON without braces.
    before: bytes
    behind: bytes
    size_bytes: int  # of facts and content, for bounds on queues


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """The key of one subject's content, and the random name it goes by in segments."""

    key_id: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Private:
    """What lies beside a leaf."""

    content: Mapping[str, str]
    subject: str
    salt: bytes


def checked_entry(
    *,
    tenant: str,
    entry_id: str,
    kind: str,
    facts_json: str = "{}",
    content: Mapping[str, str],
    subject: str = "",
    salt: bytes = b"",
    evidence_ids: Sequence[str] = (),
    dataset_version: str = "",
    model_digest: str = "",
    config_digest: str = "",
    trace_id: str = "",
    parent_id: str = "",
) -> Entry:
    """Returns the entry, once every field is in its range.

    Raises:
        InvalidInputError: One is not; the metadata names it.
    """
    _check_length("entry_id", entry_id, 1, MAX_ENTRY_ID)
    if kind not in KINDS and kind not in OWN_KINDS:
        raise InvalidInputError(f"kind must be one of {sorted(KINDS)}, got {kind!r}", field="kind")
    _check_length("subject", subject, 0, MAX_SUBJECT)
    if len(salt) not in (0, SALT_BYTES):
        raise InvalidInputError(
            f"content_salt must be {SALT_BYTES} bytes or none, got {len(salt)}",
            field="content_salt",
        )
    _check_length("model_digest", model_digest, 0, MAX_DIGEST)
    _check_length("config_digest", config_digest, 0, MAX_DIGEST)
    _check_length("parent_id", parent_id, 0, MAX_ENTRY_ID)
    _check_form("dataset_version", dataset_version, _DATASET_VERSION)
    _check_form("trace_id", trace_id, _TRACE_ID)
    facts = _facts(facts_json)
    evidence = _evidence(evidence_ids)
    # Only strings below ASCII keys from here on: RFC 8785 needs no help with those.
    before = encode_plain(
        {
            "config_digest": config_digest,
            "dataset_version": dataset_version,
            "entry_id": entry_id,
            "evidence_ids": list(evidence),
        }
    )
    behind = encode_plain({"model_digest": model_digest, "parent_id": parent_id})
    size_bytes = len(facts) + _content_bytes(content)
    _check_leaf(len(facts) + len(before) + len(behind) + _COMMITMENT_BYTES * len(content))
    return Entry(
        tenant=tenant,
        entry_id=entry_id,
        kind=kind,
        facts=facts,
        content=dict(content),
        subject=subject,
        salt=salt,
        evidence_ids=evidence,
        trace_id=trace_id,
        parent_id=parent_id,
        before=before[1:-1],
        behind=behind[1:-1],
        size_bytes=size_bytes,
    )


def _check_leaf(varying_bytes: int) -> None:
    if varying_bytes + _FIXED_BYTES > MAX_LEAF_BYTES:
        raise _too_large("leaf", varying_bytes + _FIXED_BYTES, MAX_LEAF_BYTES)


def most_leaf_bytes(entry: Entry) -> int:
    """Returns the most that the leaf of an entry takes."""
    varying = len(entry.facts) + len(entry.before) + len(entry.behind)
    return varying + _COMMITMENT_BYTES * len(entry.content) + _FIXED_BYTES


def check_span_id(field: str, span_id: str) -> None:
    """Makes sure that a span id is in its range.

    Raises:
        InvalidInputError: It is not.
    """
    _check_length(field, span_id, 1, MAX_SPAN_ID)


def _check_length(field: str, text: str, least: int, most: int) -> None:
    if not least <= len(text) <= most:
        raise InvalidInputError(
            f"{field} must have {least} to {most} characters, got {len(text)}", field=field
        )
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidInputError(f"{field} must be Unicode text", field=field) from error


def _check_form(field: str, text: str, form: "re.Pattern[str]") -> None:
    if not form.fullmatch(text):
        raise InvalidInputError(
            f"{field} must match {form.pattern}, got {text[:80]!r}", field=field
        )


def _evidence(span_ids: Sequence[str]) -> tuple[str, ...]:
    if len(span_ids) > MAX_EVIDENCE:
        raise _too_large("evidence_ids", len(span_ids), MAX_EVIDENCE)
    for span_id in span_ids:
        check_span_id("evidence_ids", span_id)
    if len(set(span_ids)) != len(span_ids):
        raise InvalidInputError("evidence_ids must not name a span twice", field="evidence_ids")
    return tuple(span_ids)


def _facts(text: str) -> bytes:
    size = len(text.encode())
    if size > MAX_FACTS_BYTES:
        raise _too_large("facts_json", size, MAX_FACTS_BYTES)
    try:
        facts = _FACTS.decode(text)
        canonical = canonical_json(facts)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"facts_json must be a JSON object that RFC 8785 can write: {error}",
            field="facts_json",
        ) from error
    if not isinstance(facts, dict):
        raise InvalidInputError(
            f"facts_json must be a JSON object, got {type(facts).__name__}", field="facts_json"
        )
    return canonical


def _unique(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has two values for one key")
    return found


def _refuse_constant(name: str) -> JSON:
    raise ValueError(f"{name} is not JSON")


_FACTS: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)


def _content_bytes(content: Mapping[str, str]) -> int:
    if len(content) > MAX_CONTENTS:
        raise _too_large("content", len(content), MAX_CONTENTS)
    for name in content:
        if not _CONTENT_NAME.fullmatch(name):
            raise InvalidInputError(
                f"a content's name must match {_CONTENT_NAME.pattern}, got {name[:80]!r}",
                field="content",
            )
    try:
        size = sum(len(text.encode()) for text in content.values())
    except UnicodeEncodeError as error:
        raise InvalidInputError("content must be Unicode text", field="content") from error
    if size > MAX_CONTENT_BYTES:
        raise _too_large("content", size, MAX_CONTENT_BYTES)
    return size


def _too_large(field: str, size: int, limit: int) -> InvalidInputError:
    return InvalidInputError(
        f"{field} must be at most {limit}, got {size}",
        Reason.TOO_LARGE,
        field=field,
        limit=str(limit),
    )


def encrypt(entry: Entry, key: SubjectKey, random: Randomness) -> tuple[bytes, bytes]:
    """Returns the private part as key id, nonce and ciphertext; and the salt it holds."""
    salt = entry.salt or random(SALT_BYTES)
    private = encode_plain({"content": entry.content, "salt": salt.hex(), "subject": entry.subject})
    nonce = random(_NONCE_BYTES)
    # The key's id is authenticated too: no private part passes under another's name.
    box = crypto_aead_xchacha20poly1305_ietf_encrypt(private, key.key_id, nonce, key.key)
    return key.key_id + nonce + box, salt


def leaf_of(entry: Entry, salt: bytes, sealed: bytes, *, index: int, when: str) -> bytes:
    """Returns the leaf of an entry.

    Args:
        entry: What to seal.
        salt: Of the commitments, 32 bytes.
        sealed: The private part, as it is stored.
        index: Where the leaf will be.
        when: RFC 3339 time in UTC.
    """
    commitments = {
        name: content_commitment(salt, name, text) for name, text in entry.content.items()
    }
    # Put together in the order of RFC 8785: what varies is canonical already.
    return b'{"commitments":%b,%b,"facts":%b,"index":%d,"kind":"%b",%b,%b}' % (
        encode_plain(commitments),
        entry.before,
        entry.facts,
        index,
        entry.kind.encode(),
        entry.behind,
        f'"scope":"{entry.tenant}","sealed":"{sealed_hash(sealed)}",'
        f'"subject":"{subject_commitment(salt, entry.subject)}",'
        f'"time":"{when}","trace_id":"{entry.trace_id}","v":{LEAF_VERSION}'.encode(),
    )


def sealed_hash(sealed: bytes | memoryview) -> str:
    """Returns what the leaf says of the private part, so that no byte of it is free."""
    return blake3(sealed).hexdigest()


def decrypt(sealed: bytes, key: SubjectKey) -> Private:
    """Returns the private part of an entry.

    Raises:
        ValueError: The key is not the one it was encrypted with.
    """
    start = KEY_ID_BYTES + _NONCE_BYTES
    nonce, box = sealed[KEY_ID_BYTES:start], sealed[start:]
    try:
        value = json.loads(
            crypto_aead_xchacha20poly1305_ietf_decrypt(box, key.key_id, nonce, key.key)
        )
    except CryptoError as error:
        raise ValueError("the private part does not open with this key") from error
    return Private(value["content"], value["subject"], bytes.fromhex(value["salt"]))
