"""Values as they lie in a layer that others can write to.

Redis and the disk are shared: whoever can write there must not be able to put words into an
answer, nor to move one tenant's answer under another's key. So a value carries a keyed BLAKE3
over its key, its expiry and itself. It holds against a mixed-up connection too, one that hands
a reply to the wrong caller: the reply does not fit the key that was asked for.
"""

import hmac
import struct
from typing import Final

from blake3 import blake3

# Of this layout; another one is not read.
_VERSION: Final = b"\x01"
_EXPIRY: Final = struct.Struct("<d")
_TAG_BYTES: Final = 16
_HEAD_BYTES: Final = len(_VERSION) + _EXPIRY.size + _TAG_BYTES


class Seal:
    """Seals values under one secret, and opens what was sealed under it."""

    def __init__(self, secret: bytes) -> None:
        """`secret` may have any length but zero; whoever knows it can write values."""
        if not secret:
            raise ValueError("the secret of a cache must not be empty")
        self._key = blake3(secret, derive_key_context="arenalab cache value v1").digest()

    def close(self, key: bytes, value: bytes, expires_at_s: float) -> bytes:
        """Returns what to write for a key; `expires_at_s` is in seconds since 1970."""
        expiry = _EXPIRY.pack(expires_at_s)
        return b"".join((_VERSION, expiry, self._tag(key, expiry, value), value))

    def open(self, key: bytes, sealed: bytes) -> tuple[bytes, float] | None:
        """Returns value and expiry; None for what was not sealed for this key, with this secret."""
        if len(sealed) < _HEAD_BYTES or sealed[:1] != _VERSION:
            return None
        expiry = sealed[1 : 1 + _EXPIRY.size]
        tag, value = sealed[1 + _EXPIRY.size : _HEAD_BYTES], sealed[_HEAD_BYTES:]
        if not hmac.compare_digest(tag, self._tag(key, expiry, value)):
            return None
        return value, _EXPIRY.unpack(expiry)[0]

    def _tag(self, key: bytes, expiry: bytes, value: bytes) -> bytes:
        # Only the value has no fixed length, once that of the key is told.
        head = len(key).to_bytes(8, "little")
        return blake3(b"".join((head, key, expiry, value)), key=self._key).digest(_TAG_BYTES)
