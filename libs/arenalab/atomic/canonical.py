"""Canonical JSON (RFC 8785) of any JSON value that a span may hold.

The `rfc8785` package is the reference, but is written in Python. The standard
library's encoder, in C, writes the same bytes unless one of these is present,
and then the reference is used (a property test compares the two):

* a key beyond the basic plane: RFC 8785 sorts by UTF-16 code units, Python by code points;
* a float that is a whole number, or so small that the notations differ: RFC 8785
  follows ECMAScript ("80", "0.00001", "1e-7"), Python has its own ("80.0", "1e-05").
"""

import json
from collections.abc import Mapping
from typing import Final, TypeAlias

import rfc8785

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

# The whole numbers that a double holds exactly; RFC 8785 has no others.
MAX_SAFE_INTEGER: Final = (1 << 53) - 1

# From here up to MAX_SAFE_INTEGER, Python and ECMAScript both write a float that is
# no whole number in plain decimals, with the fewest digits that read back the same.
_SMALLEST_PLAIN: Final = 1e-4
_LAST_OF_BASIC_PLANE: Final = "\uffff"
_encode: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, sort_keys=True, separators=(",", ":")
).encode


def canonical_json(value: JSON) -> bytes:
    """Returns the RFC 8785 bytes of `value`.

    Raises:
        ValueError: A number is not finite or is a whole number beyond 2^53 - 1, or
            a text holds a lone surrogate.
    """
    return _encode(value).encode() if _is_plain(value) else rfc8785.dumps(value)


def encode_plain(value: Mapping[str, object]) -> bytes:
    """Returns the same bytes as `canonical_json`, for a value known to need no reference."""
    return _encode(value).encode()


def is_plain_number(value: float) -> bool:
    """Returns whether Python writes this number as RFC 8785 does."""
    if isinstance(value, int):
        return -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER
    return _SMALLEST_PLAIN <= abs(value) < MAX_SAFE_INTEGER and not value.is_integer()


def _is_plain(value: JSON) -> bool:
    if value is None or isinstance(value, str | bool):
        return True
    if isinstance(value, int | float):
        return is_plain_number(value)
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return all(
        (key.isascii() or max(key) <= _LAST_OF_BASIC_PLANE) and _is_plain(item)
        for key, item in value.items()
    )
