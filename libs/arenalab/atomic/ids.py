"""Span ids: UUIDs of version 7 (RFC 9562), so that ids sort by time."""

import re
from typing import Final

from arenalab.atomic.instant import split_when

_UUID7: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII
)
_MAX_UNIX_MS: Final = (1 << 48) - 1
_RANDOM_BYTES: Final = 10  # 80 bits, of which an id holds 74


def is_uuid7(text: str) -> bool:
    """Returns whether `text` is a UUIDv7 in its canonical lower-case form."""
    return _UUID7.fullmatch(text) is not None


def uuid7(unix_ms: int, random_bytes: bytes) -> str:
    """Returns the UUIDv7 of a time and of randomness.

    Args:
        unix_ms: Milliseconds since the epoch, in [0, 2^48).
        random_bytes: Ten bytes or more; the first 74 bits are used.

    Raises:
        ValueError: An argument is outside its range.

    Source: RFC 9562, section 5.7.
    """
    if not 0 <= unix_ms <= _MAX_UNIX_MS:
        raise ValueError(f"unix_ms must be in [0, {_MAX_UNIX_MS}], got {unix_ms}")
    if len(random_bytes) < _RANDOM_BYTES:
        raise ValueError(f"random_bytes must be {_RANDOM_BYTES} or more, got {len(random_bytes)}")
    random = int.from_bytes(random_bytes[:_RANDOM_BYTES], "big") >> 6
    version_and_a = 0x7000 | random >> 62
    variant_and_b = 1 << 63 | random & (1 << 62) - 1
    digits = f"{unix_ms:012x}{version_and_a:04x}{variant_and_b:016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def derived_id(when: str, content_hash: str) -> str:
    """Returns the id that a span gets from its own content, always the same one.

    Ingesting one row twice so gives one id. Its time is `when` in milliseconds,
    or the epoch for anything earlier, because an id cannot count backwards.

    Args:
        when: The span's `when`.
        content_hash: The span's content hash, in hexadecimal.
    """
    seconds, nanos = split_when(when)
    unix_ms = max(0, seconds * 1000 + nanos // 1_000_000)  # year 9999 still fits in 48 bits
    return uuid7(unix_ms, bytes.fromhex(content_hash))
