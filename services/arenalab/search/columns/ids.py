"""Span ids as the 16 bytes of their UUIDs: less than half of what their text takes.

The bytes are in the order of the texts. An array of "S16" is sorted, searched and joined by
NumPy. Taken out one by one, an element loses its last NUL bytes: ids stay in arrays.
"""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from arenalab.search.index.selection import BoolArray

IdArray = npt.NDArray[np.bytes_]

ID_BYTES: Final = 16
ID_TYPE: Final = f"S{ID_BYTES}"
_TEXT_LENGTH: Final = 36
_ONE: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_is_id: Final = re.compile(_ONE).fullmatch
# Of texts of the right length, one after the other: once for all costs a sixth.
_are_ids: Final = re.compile(f"(?:{_ONE})*+").fullmatch
_ZEROS: Final = "0" * 2 * ID_BYTES


def ids_of(texts: Sequence[str]) -> IdArray:
    """Returns the ids of texts.

    Raises:
        ValueError: One of them is no UUID in lower-case canonical form.
    """
    ids, is_id = read_ids(texts)
    if not is_id.all():
        raise ValueError(f"{texts[int(np.argmin(is_id))][:80]!a} is no span id")
    return ids


def read_ids(texts: Sequence[str]) -> tuple[IdArray, BoolArray]:
    """Returns the ids of texts, and which of the texts are ids; zeros stand for the others."""
    written = "".join(texts)
    if set(map(len, texts)) <= {_TEXT_LENGTH} and _are_ids(written):
        is_id = np.ones(len(texts), np.bool_)
    else:
        is_id = np.array([_is_id(text) is not None for text in texts], np.bool_)
        kept = zip(texts, is_id.tolist(), strict=True)
        written = "".join([text if is_one else _ZEROS for text, is_one in kept])
    return np.frombuffer(bytes.fromhex(written.replace("-", "")), ID_TYPE), is_id


def texts_of(ids: IdArray) -> list[str]:
    """Returns ids as they are written."""
    digits = ids.tobytes().hex()
    texts = []
    for at in range(0, len(digits), 2 * ID_BYTES):
        one = digits[at : at + 2 * ID_BYTES]
        texts.append(f"{one[:8]}-{one[8:12]}-{one[12:16]}-{one[16:20]}-{one[20:]}")
    return texts
