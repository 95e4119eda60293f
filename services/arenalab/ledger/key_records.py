"""The record of one subject's key, and what keeps such records.

A record names its subject only by a keyed hash. It is live, then erasing (the key is
zeros, the erasure not yet sealed), then erased (the hash is zeros too).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self

from blake3 import blake3

from arenalab.ledger.entry import KEY_ID_BYTES

# A power of two, so that no record of a file straddles a sector and no crash tears one.
RECORD_BYTES: Final = 128
KEY_BYTES: Final = 32
LIVE, ERASING, ERASED = 1, 2, 3
NO_KEY: Final = bytes(KEY_BYTES)
_CHECK_BYTES: Final = 15


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key."""

    key_id: bytes
    tag: bytes
    key: bytes
    state: int

    def encode(self) -> bytes:
        """Returns the record with its check, RECORD_BYTES long."""
        body = self.key_id + self.tag + self.key + bytes([self.state])
        body = body.ljust(RECORD_BYTES - _CHECK_BYTES, b"\0")
        return body + blake3(body).digest(_CHECK_BYTES)

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Returns the record, or None where the check fails."""
        body, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
        if len(data) != RECORD_BYTES or blake3(body).digest(_CHECK_BYTES) != check:
            return None
        tag, key, state = KEY_ID_BYTES, KEY_ID_BYTES + KEY_BYTES, KEY_ID_BYTES + 2 * KEY_BYTES
        return cls(body[:tag], body[tag:key], body[key:state], body[state])


class KeyRecords(Protocol):
    """Keeps records by their number; every change is durable before a method returns."""

    @property
    def name(self) -> str:
        """What it is called, for messages."""

    @property
    def secret(self) -> bytes:
        """The key of the hash that names subjects, 32 bytes."""

    def load(self) -> list[KeyRecord]:
        """Returns all records, in the order of their numbers.

        Raises:
            DataLossError: CORRUPT_LEDGER; one fails its check.
        """

    def settle(self) -> list[KeyRecord]:
        """Returns the records of appends that failed and were kept nevertheless.

        Raises:
            NotReadyError: That is still not known.
        """

    def append(self, records: Sequence[KeyRecord]) -> None:
        """Adds records.

        Raises:
            OSError: The disk is full; none was kept.
            MeshError: Whether they were kept is not known; `settle` will tell.
        """

    def overwrite(self, number: int, record: KeyRecord) -> None:
        """Puts a record in the place of one, and destroys every byte of that.

        Raises:
            OSError: The disk refused; the same call must be made again.
            MeshError: As above.
        """

    def close(self) -> None:
        """Lets go of what it holds."""
