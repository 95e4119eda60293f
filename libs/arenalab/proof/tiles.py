"""A log as static files, in the layout of c2sp.org/tlog-tiles, and a reader of them.

One thing differs from the specification: hashes are BLAKE3, not SHA-256. Paths and
encodings are the same, so any file server or bucket serves them, but a client that
computes SHA-256 cannot check them.

    checkpoint                   the signed checkpoint that the rest answers for
    tile/<L>/<N>[.p/<W>]         hashes of perfect subtrees of 256^L leaves, 32 bytes each
    tile/entries/<N>[.p/<W>]     leaves, each after its length in two bytes, big-endian

File N has the 256 hashes or leaves from 256 N on; a partial one (.p/) has the first W
of them. N is written in groups of three digits, all but the last led by an x:
1234067 is x001/x234/067. A leaf has at most 65,535 bytes. Files never change; what
grows is which there are.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

from arenalab.proof.errors import ProofError
from arenalab.proof.merkle import HASH_BYTES, require

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
MAX_LEAF_BYTES: Final = 0xFFFF
CHECKPOINT_PATH: Final = "checkpoint"
_ENTRIES: Final = "entries"
_LENGTH_BYTES: Final = 2
_GROUP: Final = 1000
_PATH: Final = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x\d{3}/)*\d{3})"
    r"(?:\.p/(?P<width>[1-9]\d{0,2}))?",
    re.ASCII,
)

# Returns the hashes of `count` perfect subtrees of 2^height leaves from `first` on,
# concatenated: (height, first, count). `MerkleTree.hashes` is one.
SubtreeHashes = Callable[[int, int, int], bytes]

# Returns the leaves [low, high).
Leaves = Callable[[int, int], Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class TileFile:
    """One static file of a log, other than its checkpoint."""

    level: int | None  # None: a bundle of entries
    index: int
    width: int = TILE_WIDTH  # hashes or leaves in it, in [1, 256]

    @property
    def path(self) -> str:
        """Where the file lies, relative to the log's prefix."""
        level = _ENTRIES if self.level is None else self.level
        groups = [f"{self.index % _GROUP:03}"]
        rest = self.index // _GROUP
        while rest:
            groups.append(f"x{rest % _GROUP:03}")
            rest //= _GROUP
        partial = f".p/{self.width}" if self.width < TILE_WIDTH else ""
        return f"tile/{level}/{'/'.join(reversed(groups))}{partial}"

    @classmethod
    def parse(cls, path: str) -> Self:
        """Reads a path.

        Raises:
            ProofError: No file of a log lies there.
        """
        found = _PATH.fullmatch(path)
        require(found is not None, f"no tile lies at {path!r}")
        assert found is not None  # noqa: S101 - for the type checker
        level = None if found["level"] == _ENTRIES else int(found["level"])
        index = int(found["index"].replace("x", "").replace("/", ""))
        file = cls(level, index, int(found["width"] or TILE_WIDTH))
        require(file.path == path, f"no tile lies at {path!r}")  # other spellings of it
        return file

    @property
    def whole(self) -> "TileFile":
        """The same file once it is full."""
        return TileFile(self.level, self.index)


def tile_files(size: int, since: int = 0) -> Iterator[TileFile]:
    """Yields the files of a tree of `size` leaves that one of `since` leaves does not have.

    Entries come first, then tiles from the leaves up. Partial files that were outgrown
    are not listed: a server may delete them.

    Raises:
        ProofError: Unless 0 <= since <= size.
    """
    require(0 <= since <= size, f"sizes must satisfy 0 <= since <= size, got {since} and {size}")
    yield from _files_of(None, size, since)
    level = 0
    while size:
        yield from _files_of(level, size, since)
        level, size, since = level + 1, size >> TILE_HEIGHT, since >> TILE_HEIGHT


def _files_of(level: int | None, count: int, since: int) -> Iterator[TileFile]:
    if count == since:
        return
    for index in range(since // TILE_WIDTH, -(-count // TILE_WIDTH)):
        yield TileFile(level, index, min(TILE_WIDTH, count - index * TILE_WIDTH))


def tile_content(file: TileFile, hashes: SubtreeHashes, leaves: Leaves) -> bytes:
    """Returns what a file of a log holds.

    Raises:
        ProofError: A leaf is longer than 65,535 bytes, or the tree does not have these.
    """
    first = file.index * TILE_WIDTH
    if file.level is None:
        return encode_entries(leaves(first, first + file.width))
    return hashes(file.level * TILE_HEIGHT, first, file.width)


def export_files(
    size: int, since: int, hashes: SubtreeHashes, leaves: Leaves
) -> Iterator[tuple[str, bytes]]:
    """Yields path and content of what `tile_files` lists.

    Raises:
        ProofError: As `tile_files` and `tile_content`.
    """
    for file in tile_files(size, since):
        yield file.path, tile_content(file, hashes, leaves)


def encode_entries(leaves: Sequence[bytes]) -> bytes:
    """Returns an entry bundle.

    Raises:
        ProofError: A leaf is longer than 65,535 bytes.
    """
    for leaf in leaves:
        require(
            len(leaf) <= MAX_LEAF_BYTES,
            f"a leaf of a tiled log may have {MAX_LEAF_BYTES} bytes, got {len(leaf)}",
        )
    return b"".join([len(leaf).to_bytes(_LENGTH_BYTES, "big") + leaf for leaf in leaves])


def decode_entries(bundle: bytes) -> list[bytes]:
    """Reads an entry bundle.

    Raises:
        ProofError: It ends within a leaf.
    """
    leaves, at = [], 0
    while at < len(bundle):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(bundle[at:start], "big")
        if start > len(bundle) or at > len(bundle):
            raise ProofError("an entry bundle ends within a leaf")
        leaves.append(bundle[start:at])
    return leaves


def hashes_in(tile: bytes, first: int, count: int) -> bytes:
    """Returns some of the hashes of a tile."""
    return tile[first * HASH_BYTES : (first + count) * HASH_BYTES]
