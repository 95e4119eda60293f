"""Signed notes and checkpoints, as c2sp.org/signed-note and c2sp.org/tlog-checkpoint have them.

Only Ed25519 signatures (type 0x01) are made and trusted; signatures of other keys
in a note, e.g. of witnesses, are skipped as the specification asks.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final, Self

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from arenalab.proof.errors import NoteError
from arenalab.proof.merkle import HASH_BYTES

_ED25519: Final = b"\x01"
_PUBLIC_KEY_BYTES: Final = 32
_KEY_HASH_BYTES: Final = 4
_SIGNATURE_PREFIX: Final = "\u2014 "
# The specification asks for at least 16; a bound keeps a hostile note cheap.
MAX_SIGNATURES: Final = 64
_CHECKPOINT_LINES: Final = 3
# Python reads longer numbers too, in quadratic time; no tree needs them.
_MAX_SIZE_DIGITS: Final = 20


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public key of a log and the name it signs under."""

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.name):
            raise NoteError(f"a key name must hold neither spaces nor '+', got {self.name!r}")
        if len(self.public_key) != _PUBLIC_KEY_BYTES:
            raise NoteError(f"an Ed25519 public key has 32 bytes, got {len(self.public_key)}")

    @property
    def key_hash(self) -> bytes:
        """The four bytes by which a signature line names this key."""
        named = self.name.encode() + b"\n" + _ED25519 + self.public_key
        return hashlib.sha256(named).digest()[:_KEY_HASH_BYTES]

    def __str__(self) -> str:
        encoded = base64.b64encode(_ED25519 + self.public_key).decode()
        return f"{self.name}+{self.key_hash.hex()}+{encoded}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads "name+hash+base64".

        Raises:
            NoteError: It is malformed, of another type, or its hash is wrong.
        """
        name, _, rest = text.partition("+")
        key_hash, _, encoded = rest.partition("+")
        material = _from_base64(encoded, "verifier key")
        if material[:1] != _ED25519:
            raise NoteError("the verifier key is not of type Ed25519")
        key = cls(name, material[1:])
        if key_hash != key.key_hash.hex():
            raise NoteError(f"the verifier key's hash is {key_hash!r}, not that of the key")
        return key


class Signer:
    """Signs notes with an Ed25519 seed under a name."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._key = SigningKey(seed)
        self.verifier_key = VerifierKey(name, self._key.verify_key.encode())
        self._prefix = f"{_SIGNATURE_PREFIX}{name} "

    def sign(self, text: str) -> str:
        """Returns the note of `text`, which must end in a newline."""
        signature = self._key.sign(text.encode()).signature
        encoded = base64.b64encode(self.verifier_key.key_hash + signature).decode()
        return f"{text}\n{self._prefix}{encoded}\n"


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


def open_note(note, keys):
    keys = [keys] if isinstance(keys, VerifierKey) else list(keys)
    for k in keys[:-1]:
        try:
            return _open_note(note, k)
        except NoteError:
            continue
    return _open_note(note, keys[-1])


def _open_note(note: str, key: VerifierKey) -> str:
    """Returns the text of a note that `key` signed.

    Raises:
        NoteError: The note is malformed, has no signature of `key`, or one that fails.
    """
    text, signatures = split_note(note)
    ours = [s for name, key_hash, s in signatures if (name, key_hash) == (key.name, key.key_hash)]
    if not ours:
        raise NoteError(f"the note is not signed by {key.name}+{key.key_hash.hex()}")
    for signature in ours:
        try:
            VerifyKey(key.public_key).verify(text.encode(), signature)
        except (BadSignatureError, ValueError) as error:
            raise NoteError(f"the signature of {key.name} does not hold") from error
    return text


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
    material = _from_base64(encoded, "signature")
    if len(material) <= _KEY_HASH_BYTES:
        raise NoteError("a signature is too short")
    return name, material[:_KEY_HASH_BYTES], material[_KEY_HASH_BYTES:]


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


def open_checkpoint(note: str, key) -> Checkpoint:
    """Returns the checkpoint of a note that `key` signed for its own log.

    Raises:
        NoteError: The note or the checkpoint does not hold, or is of another log.
    """
    checkpoint = parse_checkpoint(open_note(note, key))
    k = key if isinstance(key, VerifierKey) else next(iter(key))
    if checkpoint.origin != k.name:
        raise NoteError(f"the checkpoint is of {checkpoint.origin!r}, not of {k.name!r}")
    return checkpoint


def _root(encoded: str) -> bytes:
    root = _from_base64(encoded, "root")
    if len(root) != HASH_BYTES:
        raise NoteError(f"a root must be {HASH_BYTES} bytes, got {len(root)}")
    return root


def _from_base64(text: str, what: str) -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError(f"the {what} is not base64") from error
    # Unused bits in the last character would let one signature have several spellings.
    if base64.b64encode(value).decode() != text:
        raise NoteError(f"the {what} is not canonical base64")
    return value
