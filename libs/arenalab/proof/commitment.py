"""Salted commitments: a leaf binds content and subject without telling either.

The salt is random, new for every entry, and kept only with the encrypted content.
Who has the salt can check a text against the leaf; once the salt is erased, nobody
can test guesses against it.
"""

from typing import Final

from blake3 import blake3

SALT_BYTES: Final = 32


def content_commitment(salt: bytes, name: str, text: str) -> str:
    """Returns what a leaf says of the content called `name`: 64 hexadecimal digits."""
    return _keyed(salt, b"content", name.encode(), text.encode())


def subject_commitment(salt: bytes, subject: str) -> str:
    """Returns what a leaf says of its subject: 64 hexadecimal digits."""
    return _keyed(salt, b"subject", subject.encode())


def _keyed(salt: bytes, *parts: bytes) -> str:
    # Lengths in front keep ("ab", "c") and ("a", "bc") apart.
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return blake3(framed, key=salt).hexdigest()
