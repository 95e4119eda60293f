"""Keys: everything that a value depends on, so that two things never share one."""

from typing import Final

from blake3 import blake3

KEY_BYTES: Final = 32
_LENGTH_BYTES: Final = 8
_TEXT: Final = b"t"
_BYTES: Final = b"b"


def cache_key(*parts: str | bytes) -> bytes:
    """Returns the key of a tuple of parts, 32 bytes.

    The first part names what is kept and the version of its form. Two tuples have one key
    only if BLAKE3 collides: parts are told apart by their lengths, texts from bytes.
    """
    return blake3(encoded(*parts)).digest()


def encoded(*parts: str | bytes) -> bytes:
    """Returns a tuple of parts as bytes that no other tuple has."""
    pieces: list[bytes] = []
    for part in parts:
        # A lone surrogate is no UTF-8, and still a text that differs from others.
        data = part.encode(errors="surrogatepass") if isinstance(part, str) else part
        kind = _TEXT if isinstance(part, str) else _BYTES
        pieces += (kind, len(data).to_bytes(_LENGTH_BYTES, "little"), data)
    return b"".join(pieces)
