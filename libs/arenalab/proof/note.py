"""Signed notes and checkpoints, as c2sp.org/signed-note and c2sp.org/tlog-checkpoint have them.

Only Ed25519 signatures (type 0x01) are made and trusted here; signatures of other
keys in a note, e.g. of witnesses, are skipped as the specification asks. A log that
changes its key keeps its name: its keys differ by their hash, and a verifier trusts
a note that any of them signed.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final, Self

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from arenalab.proof.errors import NoteError
from arenalab.proof.merkle import HASH_BYTES

_PUBLIC_KEY_BYTES: Final = 32
KEY_HASH_BYTES: Final = 4
_SIGNATURE_PREFIX: Final = "\u2014 "
# The specification asks for at least 16; a bound keeps a hostile note cheap.
MAX_SIGNATURES: Final = 64
_CHECKPOINT_LINES: Final = 3
# Python reads longer numbers too, in quadratic time; no tree needs them.
_MAX_SIZE_DIGITS: Final = 20


@lru_cache(maxsize=256)  # asked for by every note that is opened
def _key_hash(name: str, typed_key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + typed_key).digest()[:KEY_HASH_BYTES]


@dataclass(frozen=True, slots=True)
class Ed25519Key:
    """A public key and the name that it signs under; subclasses say what it signs."""

    name: str
    public_key: bytes

    key_type: ClassVar[bytes]  # the specification's signature type identifier

    def __post_init__(self) -> None:
        if not is_key_name(self.name):
            raise NoteError(f"a key name must hold neither spaces nor '+', got {self.name!r}")
        if len(self.public_key) != _PUBLIC_KEY_BYTES:
            raise NoteError(f"an Ed25519 public key has 32 bytes, got {len(self.public_key)}")

    @property
    def key_hash(self) -> bytes:
        """The four bytes by which a signature line names this key."""
        return _key_hash(self.name, self.key_type + self.public_key)

    def __str__(self) -> str:
        encoded = base64.b64encode(self.key_type + self.public_key).decode()
        return f"{self.name}+{self.key_hash.hex()}+{encoded}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads "name+hash+base64".

        Raises:
            NoteError: It is malformed, of another type, or its hash is wrong.
        """
        name, _, rest = text.partition("+")
        key_hash, _, encoded = rest.partition("+")
        material = from_base64(encoded, "verifier key")
        if material[:1] != cls.key_type:
            raise NoteError(f"the verifier key is not of type 0x{cls.key_type.hex()}")
        key = cls(name, material[1:])
        if key_hash != key.key_hash.hex():
            raise NoteError(f"the verifier key's hash is {key_hash!r}, not that of the key")
        return key

    def check(self, message: bytes, signature: bytes) -> None:
        """Checks a signature.

        Raises:
            NoteError: It does not hold.
        """
        try:
            VerifyKey(self.public_key).verify(message, signature)
        except (BadSignatureError, ValueError) as error:
            raise NoteError(f"the signature of {self.name} does not hold") from error


@dataclass(frozen=True, slots=True)
class VerifierKey(Ed25519Key):
    """The public key of a log, whose name is the log's origin."""

    key_type: ClassVar[bytes] = b"\x01"


# Whom a verifier trusts: one key, or all that a log signed with in its time.
TrustedKeys = VerifierKey | Iterable[VerifierKey]


class Signer:
    """Signs notes with an Ed25519 seed under a name."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._key = SigningKey(seed)
        self.verifier_key = VerifierKey(name, self._key.verify_key.encode())
        self._key_hash = self.verifier_key.key_hash

    def sign(self, text: str) -> str:
        """Returns the note of `text`, which must end in a newline."""
        return f"{text}\n{self.signature_line(text)}"

    def signature_line(self, text: str) -> str:
        """Returns the line that signs `text`, with its newline."""
        signature = self._key.sign(text.encode()).signature
        return signature_line(self.verifier_key.name, self._key_hash, signature)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log commits to: its name, its size and the root over that many leaves."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Returns the text of the note."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def is_key_name(name: str) -> bool:
    """Returns whether a key may have this name: no spaces, no "+", no control characters."""
    return bool(name) and name.isprintable() and not any(c.isspace() or c == "+" for c in name)


def open_note(note: str, keys: TrustedKeys) -> str:
    """Returns the text of a note that at least one trusted key signed.

    Raises:
        NoteError: The note is malformed, no trusted key signed it, or a signature of
            one fails.
    """
    return _open(note, keys)[0]


def _open(note: str, keys: TrustedKeys) -> tuple[str, set[str]]:
    """Returns the text of a note, and the names of the trusted keys that signed it."""
    trusted = (keys,) if isinstance(keys, VerifierKey) else tuple(keys)
    by_id = {(key.name, key.key_hash): key for key in trusted}
    text, signatures = split_note(note)
    signers = set()
    for name, key_hash, signature in signatures:
        if key := by_id.get((name, key_hash)):
            key.check(text.encode(), signature)
            signers.add(name)
    if not signers:
        named = ", ".join(f"{key.name}+{key.key_hash.hex()}" for key in trusted)
        raise NoteError(f"the note is not signed by {named or 'anybody: no key is trusted'}")
    return text, signers


def signature_line(name: str, key_hash: bytes, signature: bytes) -> str:
    """Returns a signature line of a note, with its newline."""
    return f"{_SIGNATURE_PREFIX}{name} {base64.b64encode(key_hash + signature).decode()}\n"


def split_note(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """Returns the text and the signatures as (key name, key hash, signature), unchecked.

    Raises:
        NoteError: The note is malformed.
    """
    text, blank, lines = note.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise NoteError("a note must be a text, a blank line and signature lines")
    if any(c < " " and c != "\n" for c in note):
        raise NoteError("a note must not hold control characters")
    signatures = lines[:-1].split("\n")
    if len(signatures) > MAX_SIGNATURES:
        raise NoteError(f"a note may have {MAX_SIGNATURES} signatures, got {len(signatures)}")
    return text + "\n", [_parse_signature(line) for line in signatures]


def _parse_signature(line: str) -> tuple[str, bytes, bytes]:
    name, _, encoded = line.removeprefix(_SIGNATURE_PREFIX).partition(" ")
    if not line.startswith(_SIGNATURE_PREFIX) or not is_key_name(name):
        raise NoteError("a signature line must be an em dash, a key name and base64")
    material = from_base64(encoded, "signature")
    if len(material) <= KEY_HASH_BYTES:
        raise NoteError("a signature is too short")
    return name, material[:KEY_HASH_BYTES], material[KEY_HASH_BYTES:]


def parse_checkpoint(text: str) -> Checkpoint:
    """Reads the text of a checkpoint note; extension lines are allowed and skipped.

    Raises:
        NoteError: It is malformed.
    """
    lines = text.split("\n")
    if len(lines) <= _CHECKPOINT_LINES or lines.pop() or not all(lines):
        raise NoteError("a checkpoint must be three or more lines, none of them empty")
    origin, size, root = lines[:_CHECKPOINT_LINES]
    digits = size.isascii() and size.isdigit() and len(size) <= _MAX_SIZE_DIGITS
    if not digits or size != str(int(size)):
        raise NoteError(f"a tree size must be a whole number without leading zeros, got {size!r}")
    return Checkpoint(origin, int(size), _root(root))


def open_checkpoint(note: str, keys: TrustedKeys) -> Checkpoint:
    """Returns the checkpoint of a note that a trusted key signed for its own log.

    Raises:
        NoteError: The note or the checkpoint does not hold, or is of another log.
    """
    text, signers = _open(note, keys)
    checkpoint = parse_checkpoint(text)
    if checkpoint.origin not in signers:
        names = ", ".join(sorted(signers))
        raise NoteError(f"the checkpoint is of {checkpoint.origin!r}, not of {names!r}")
    return checkpoint


def _root(encoded: str) -> bytes:
    root = from_base64(encoded, "root")
    if len(root) != HASH_BYTES:
        raise NoteError(f"a root must be {HASH_BYTES} bytes, got {len(root)}")
    return root


def from_base64(text: str, what: str) -> bytes:
    """Returns the bytes of a text, which has one spelling only.

    Raises:
        NoteError: It is not canonical base64; the message calls it `what`.
    """
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError(f"the {what} is not base64") from error
    # Unused bits in the last character would let one signature have several spellings.
    if base64.b64encode(value).decode() != text:
        raise NoteError(f"the {what} is not canonical base64")
    return value
