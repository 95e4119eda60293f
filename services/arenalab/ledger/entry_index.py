"""Where each entry id is: a compact map from a name's fingerprint to leaf indexes.

A Python dict takes some 150 bytes an entry; here it is 16 bytes at a load between a
third and two thirds. Only a 64-bit fingerprint of (scope, entry id) is kept; the caller
compares the entry itself.
"""

from array import array
from collections.abc import Iterator
from typing import Final

# Many small tables instead of a large one: each grows alone, so no insert waits for
# more than a few thousand entries to move.
_TABLES: Final = 512
_FIRST_SLOTS: Final = 8


class EntryIndex:
    """Fingerprints of entries with their leaf indexes; one writer, many readers."""

    def __init__(self) -> None:
        """Starts empty."""
        self._tables = [_Table(_FIRST_SLOTS) for _ in range(_TABLES)]

    def candidates(self, fingerprint: int) -> Iterator[int]:
        """Yields every leaf index that was added under this fingerprint."""
        return self._tables[fingerprint % _TABLES].find(fingerprint)

    def add(self, fingerprint: int, leaf_index: int) -> None:
        """Records where an entry is; a fingerprint is never 0."""
        table = self._tables[fingerprint % _TABLES]
        if table.is_full():
            table = table.doubled()
            self._tables[fingerprint % _TABLES] = table
        table.add(fingerprint, leaf_index)


class _Table:
    """Open addressing with linear probing; the slot count is a power of two."""

    def __init__(self, slots: int) -> None:
        self._mask = slots - 1
        self._used = 0
        self._fingerprints = array("Q", bytes(8 * slots))
        self._indexes = array("Q", bytes(8 * slots))

    def is_full(self) -> bool:
        return 3 * self._used >= 2 * (self._mask + 1)

    def find(self, fingerprint: int) -> Iterator[int]:
        slot = self._home(fingerprint)
        while self._fingerprints[slot]:
            if self._fingerprints[slot] == fingerprint:
                yield self._indexes[slot]
            slot = (slot + 1) & self._mask

    def add(self, fingerprint: int, leaf_index: int) -> None:
        slot = self._home(fingerprint)
        while self._fingerprints[slot]:
            slot = (slot + 1) & self._mask
        self._indexes[slot] = leaf_index  # first: a reader must not find a slot without it
        self._fingerprints[slot] = fingerprint
        self._used += 1

    def doubled(self) -> "_Table":
        larger = _Table(2 * (self._mask + 1))
        for fingerprint, leaf_index in zip(self._fingerprints, self._indexes, strict=True):
            if fingerprint:
                larger.add(fingerprint, leaf_index)
        return larger

    def _home(self, fingerprint: int) -> int:
        return fingerprint // _TABLES & self._mask
