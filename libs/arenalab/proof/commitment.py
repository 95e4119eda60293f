"""Salted commitments: a leaf binds content and subject without telling either.

The salt is random, new for every entry, and kept only with the encrypted content.
Who has the salt can check a text against the leaf; once the salt is erased, nobody
can test guesses against it.
"""

import json
from typing import Final

from blake3 import blake3

from arenalab.proof.errors import ReceiptError
from arenalab.proof.receipt import Receipt

SALT_BYTES: Final = 32


def content_commitment(salt: bytes, name: str, text: str) -> str:
    """Returns what a leaf says of the content called `name`: 64 hexadecimal digits."""
    return _keyed(salt, b"content", name.encode(), text.encode())


def verify_content(receipt: Receipt, salt: bytes, name: str, text: str) -> None:
    """Checks that the leaf of a receipt seals this very text.

    `verify_receipt` says that the leaf is in the log; this, what the leaf speaks of.

    Args:
        receipt: What the log handed out.
        salt: What came with the answer, 32 bytes.
        name: Of the content, e.g. "answer".
        text: The content itself.

    Raises:
        ReceiptError: The leaf seals another text, or none of this name.
    """
    if len(salt) != SALT_BYTES:
        raise ReceiptError(f"the salt must be {SALT_BYTES} bytes, got {len(salt)}")
    try:
        sealed = json.loads(receipt.leaf)["commitments"][name]
    except (ValueError, LookupError, TypeError) as error:
        raise ReceiptError(f"the leaf commits to no content called {name!r}") from error
    if sealed != content_commitment(salt, name, text):
        raise ReceiptError(f"the leaf seals another {name}")


def subject_commitment(salt: bytes, subject: str) -> str:
    """Returns what a leaf says of its subject: 64 hexadecimal digits."""
    return _keyed(salt, b"subject", subject.encode())


def _keyed(salt: bytes, *parts: bytes) -> str:
    # Lengths in front keep ("ab", "c") and ("a", "bc") apart.
    framed = b"".join([len(part).to_bytes(8, "big") + part for part in parts])
    return blake3(framed, key=salt).hexdigest()
