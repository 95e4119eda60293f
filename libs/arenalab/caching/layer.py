"""What every layer of a cache can do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """A value to keep, and for how long."""

    value: bytes
    ttl_s: float


class Layer(Protocol):
    """A place for bytes by key. It may forget anything at any time, and never fails a caller.

    A layer that cannot be reached, is full or is damaged finds nothing and keeps nothing, and
    counts that as an error.
    """

    @property
    def name(self) -> str:
        """What metrics call it: "memory", "redis" or "disk"."""

    async def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Returns the values of the keys that are there and have not expired."""

    async def set_many(self, entries: Mapping[bytes, Entry]) -> None:
        """Keeps values, in the place of those that their keys have."""

    async def delete(self, keys: Sequence[bytes]) -> None:
        """Forgets keys."""

    async def clear(self) -> None:
        """Forgets everything of this cache, and nothing of another one."""

    async def recent(self, limit: int) -> list[bytes]:
        """Returns keys used lately, the newest first; none where a layer cannot say."""

    async def close(self) -> None:
        """Lets go of files and connections. Nothing may be called after it."""
