"""The text of an API key: `al_<id>_<secret>`.

The id is public: it finds the key's record, and names the key in lists and logs. The
secret is 32 random bytes in base64url, so a fast keyed hash is enough to store it by:
there is nothing to guess that a slow one would protect.
"""

import base64
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

PREFIX: Final = "al"
ID_CHARS: Final = 12
SECRET_BYTES: Final = 32
_SECRET_CHARS: Final = 43
_ID_BYTES: Final = 8
MAX_CHARS: Final = 512  # of a key of any kind; what is longer is not even hashed
_KEY: Final = re.compile(
    rf"{PREFIX}_([a-z2-7]{{{ID_CHARS}}})_[A-Za-z0-9_-]{{{_SECRET_CHARS}}}", re.ASCII
)
_KEY_ID: Final = re.compile(rf"[a-z2-7]{{{ID_CHARS}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made. Its text is shown once, and never stored."""

    key_id: str
    text: str = field(repr=False)


def make_key(key_id: str | None = None, random: Callable[[int], bytes] = os.urandom) -> NewKey:
    """Returns a new key.

    Args:
        key_id: Of a key that gets a new secret; None makes an id too.
        random: Returns so many random bytes.
    """
    if key_id is None:
        key_id = base64.b32encode(random(_ID_BYTES)).decode().lower()[:ID_CHARS]
    secret = base64.urlsafe_b64encode(random(SECRET_BYTES)).decode().rstrip("=")
    return NewKey(key_id, f"{PREFIX}_{key_id}_{secret}")


def id_of(text: str) -> str | None:
    """Returns the public id in the text of a key; None when that is no key of this form."""
    found = _KEY.fullmatch(text)
    return found[1] if found is not None else None


def is_key_id(text: str) -> bool:
    """Returns whether a key could have this id."""
    return _KEY_ID.fullmatch(text) is not None


def masked(key_id: str) -> str:
    """Returns what may be shown of a key."""
    return f"{PREFIX}_{key_id}_…"
