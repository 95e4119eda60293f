"""One entry: what is public and goes into the leaf, what is private and lies beside it.

The leaf is canonical JSON with the facts, the hash of the private part, and salted
commitments to each content and to the subject. The private part (content, subject,
salt) is encrypted under the subject's key: destroying the key erases it, and
changes no leaf and no proof.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from blake3 import blake3
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from arenalab.atomic import JSON, canonical_json
from arenalab.mesh import InvalidInputError, Reason
from arenalab.proof import SALT_BYTES, content_commitment, subject_commitment

LEAF_VERSION: Final = 1
MAX_ENTRY_ID: Final = 128
MAX_FACTS_BYTES: Final = 65_536
MAX_CONTENT_BYTES: Final = 1_048_576
MAX_CONTENTS: Final = 64
MAX_SUBJECT: Final = 256
KEY_ID_BYTES: Final = 16
_NONCE_BYTES: Final = SecretBox.NONCE_SIZE
_KIND: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_CONTENT_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")

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
    facts_json: str,
    content: Mapping[str, str],
    subject: str,
    salt: bytes = b"",
) -> Entry:
    """Returns the entry, once every field is in its range.

    Raises:
        InvalidInputError: One is not; the metadata names it.
    """
    if not 1 <= len(entry_id) <= MAX_ENTRY_ID:
        raise InvalidInputError(
            f"entry_id must have 1 to {MAX_ENTRY_ID} characters, got {len(entry_id)}",
            field="entry_id",
        )
    if not _KIND.fullmatch(kind):
        raise InvalidInputError(f"kind must match {_KIND.pattern}, got {kind[:80]!r}", field="kind")
    if len(subject) > MAX_SUBJECT:
        raise InvalidInputError(
            f"subject may have {MAX_SUBJECT} characters, got {len(subject)}", field="subject"
        )
    if len(salt) not in (0, SALT_BYTES):
        raise InvalidInputError(
            f"content_salt must be {SALT_BYTES} bytes or none, got {len(salt)}",
            field="content_salt",
        )
    facts = _facts(facts_json)
    size_bytes = len(facts_json) + _content_bytes(content)
    return Entry(
        tenant=tenant,
        entry_id=entry_id,
        kind=kind,
        facts=facts,
        content=dict(content),
        subject=subject,
        salt=salt,
        size_bytes=size_bytes,
    )


def _facts(text: str) -> bytes:
    size = len(text.encode())
    if size > MAX_FACTS_BYTES:
        raise _too_large("facts_json", size, MAX_FACTS_BYTES)
    try:
        facts = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
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


def seal(entry: Entry, when: str, key: SubjectKey, random: Randomness) -> tuple[bytes, bytes]:
    """Returns the leaf, and the private part as base64 of key id, nonce and ciphertext.

    Args:
        entry: What to seal.
        when: RFC 3339 time in UTC, part of the leaf.
        key: Encrypts the private part.
        random: Returns that many random bytes.
    """
    salt = entry.salt or random(SALT_BYTES)
    private = canonical_json(
        {"content": dict(entry.content), "salt": salt.hex(), "subject": entry.subject}
    )
    box = SecretBox(key.key).encrypt(private, random(_NONCE_BYTES))
    sealed = base64.b64encode(key.key_id + box)
    commitments: JSON = {
        name: content_commitment(salt, name, text) for name, text in entry.content.items()
    }
    # Put together in the order of RFC 8785: the facts are canonical already, and the
    # fields after them are of fixed form.
    leaf = b'{"content":%b,"entry_id":%b,"facts":%b,%b}' % (
        canonical_json(commitments),
        canonical_json(entry.entry_id),
        entry.facts,
        f'"kind":"{entry.kind}","sealed":"{sealed_hash(sealed)}",'
        f'"subject":"{subject_commitment(salt, entry.subject)}",'
        f'"tenant":"{entry.tenant}","time":"{when}","v":{LEAF_VERSION}'.encode(),
    )
    return leaf, sealed


def sealed_hash(sealed: bytes) -> str:
    """Returns what the leaf says of the private part, so that no byte of a line is free."""
    return blake3(sealed).hexdigest()


def key_id_of(sealed: bytes) -> bytes:
    """Returns the id of the key that encrypts a private part."""
    return base64.b64decode(sealed[:24])[:KEY_ID_BYTES]


def unseal(sealed: bytes, key: SubjectKey) -> Private:
    """Returns the private part of an entry.

    Raises:
        ValueError: The key is not the one it was encrypted with.
    """
    try:
        box = base64.b64decode(sealed)[KEY_ID_BYTES:]
        value = json.loads(SecretBox(key.key).decrypt(box))
    except CryptoError as error:
        raise ValueError("the private part does not open with this key") from error
    return Private(value["content"], value["subject"], bytes.fromhex(value["salt"]))
