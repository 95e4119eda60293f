"""What a segment is called: by search, on the server, and in the folder it was saved to."""

import json
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, NamedTuple

from arenalab.durable import replace
from arenalab.planning import Engine
from arenalab.search.index.files import IndexFileError

_FORMAT: Final = 1
_MARKER: Final = "remote.json"


class RemoteSegmentError(IndexFileError):
    """The server has no such segment that could be served, and why."""


class SegmentName(NamedTuple):
    """Which spans a segment is of."""

    tenant: str
    dataset: str
    part: str  # of the dataset, and of its state: never used for other spans

    @property
    def key(self) -> str:
        """32 hex digits that no other name has: names themselves may hold anything."""
        parts = [part.encode() for part in self]
        lengths = b"".join(len(part).to_bytes(4, "big") for part in parts)
        return blake2b(lengths + b"".join(parts), digest_size=16).hexdigest()


def digest_key(embedder_digest: str) -> str:
    """Returns 16 hex digits that stand for an embedder where names must be short."""
    return blake2b(embedder_digest.encode(), digest_size=8).hexdigest()


def check_same(found: tuple[object, ...], expected: tuple[object, ...]) -> None:
    """Compares size, dimension and embedder of a segment with what they must be.

    Raises:
        RemoteSegmentError: They differ.
    """
    for what, one, other in zip(("size", "dimension", "embedder"), found, expected, strict=True):
        if one != other:
            raise RemoteSegmentError(f"{what} of the segment is {one!r}, expected {other!r}")


class Marker(NamedTuple):
    """What is kept in a folder instead of an index."""

    engine: Engine
    name: SegmentName
    size: int
    dimension: int

    def write(self, folder: Path) -> None:
        """Writes the marker, synced.

        Raises:
            OSError: The disk is full, or the folder cannot be written to.
        """
        about = {
            "format": _FORMAT,
            "engine": self.engine.value,
            **self.name._asdict(),
            "size": self.size,
            "dimension": self.dimension,
        }
        replace(folder / _MARKER, json.dumps(about).encode())

    @classmethod
    def read(cls, folder: Path) -> "Marker":
        """Returns the marker of a folder.

        Raises:
            RemoteSegmentError: There is none, or it is damaged.
        """
        try:
            about: Any = json.loads((folder / _MARKER).read_text())
            marker = cls(
                Engine(about["engine"]),
                SegmentName(*(str(about[name]) for name in SegmentName._fields)),
                int(about["size"]),
                int(about["dimension"]),
            )
            written_as = about["format"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RemoteSegmentError(f"{_MARKER} cannot be read: {error}") from error
        if written_as != _FORMAT:
            raise RemoteSegmentError(f"format of {_MARKER} is {written_as!r}, expected {_FORMAT}")
        return marker
