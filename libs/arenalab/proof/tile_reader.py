"""Proofs read off static files: trusted no further than the checkpoint they hang from."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final

from arenalab.proof.merkle import HASH_BYTES, leaf_hash, parent_hashes, require
from arenalab.proof.note import Checkpoint
from arenalab.proof.tiles import TILE_HEIGHT, TILE_WIDTH, TileFile, decode_entries, hashes_in
from arenalab.proof.tree import ProvingTree

_CACHED_TILES: Final = 256  # 2 MiB of them


class TileReader(ProvingTree):
    """A log's tree, as its static files show it.

    The rightmost tiles must give the checkpoint's root; every other tile must give
    the hash that the tile above has for it; every leaf, its hash. So each method
    returns what the checkpoint commits to, or raises. One thread at a time.
    """

    def __init__(self, fetch: Callable[[str], bytes], checkpoint: Checkpoint) -> None:
        """Reads the rightmost tiles.

        Args:
            fetch: Returns the content of a path below the log's prefix, and raises
                OSError when there is none.
            checkpoint: Verified beforehand: see `open_checkpoint`.

        Raises:
            ProofError: The files are not of this checkpoint's tree.
            OSError: A file cannot be fetched.
        """
        super().__init__()
        self._fetch = fetch
        self._size = checkpoint.size
        self._full: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._partial = {
            level: self._fetch_tile(TileFile(level, count // TILE_WIDTH, count % TILE_WIDTH))
            for level, count in _counts(checkpoint.size)
            if count % TILE_WIDTH
        }
        require(self.root() == checkpoint.root, "the tiles do not have the checkpoint's root")

    @property
    def size(self) -> int:
        """How many leaves the checkpoint's tree has."""
        return self._size

    def leaf(self, index: int) -> bytes:
        """Returns the hash of a leaf."""
        require(0 <= index < self._size, f"leaf {index} is outside a tree of {self._size}")
        return self._perfect(0, index)

    def leaves(self, first: int, end: int) -> Iterator[bytes]:
        """Yields the leaves [first, end), each checked.

        Raises:
            ProofError: They are not in the tree, or a file is not what was sealed.
            OSError: A file cannot be fetched.
        """
        require(0 <= first <= end <= self._size, f"leaves [{first}, {end}) are outside the tree")
        for index in range(first // TILE_WIDTH, -(-end // TILE_WIDTH)):
            start = index * TILE_WIDTH
            leaves = self._bundle(index)
            yield from leaves[max(first - start, 0) : end - start]

    def _bundle(self, index: int) -> list[bytes]:
        width = min(TILE_WIDTH, self._size - index * TILE_WIDTH)
        file = TileFile(None, index, width)
        leaves = decode_entries(self._fetch_file(file))[:width]
        sealed = hashes_in(self._tile(0, index), 0, width)
        found = b"".join([leaf_hash(leaf) for leaf in leaves])
        require(found == sealed, f"{file.path} does not hold the leaves that were sealed")
        return leaves

    def _perfect(self, height: int, position: int) -> bytes:
        level, within = divmod(height, TILE_HEIGHT)
        first = position << within
        hashes = hashes_in(self._tile(level, first // TILE_WIDTH), first % TILE_WIDTH, 1 << within)
        for _ in range(within):
            hashes = parent_hashes(hashes)
        return hashes

    def _tile(self, level: int, index: int) -> bytes:
        """Returns a tile that is known to be the tree's."""
        if index == self._size >> TILE_HEIGHT * (level + 1):
            return self._partial[level]
        tile = self._full.get((level, index))
        if tile is None:
            file = TileFile(level, index)
            tile = self._fetch_tile(file)
            above = self._tile(level + 1, index // TILE_WIDTH)
            sealed = hashes_in(above, index % TILE_WIDTH, 1)
            require(_fold(tile) == sealed, f"{file.path} is not a tile of the checkpoint's tree")
            self._full[level, index] = tile
            if len(self._full) > _CACHED_TILES:
                self._full.popitem(last=False)
        self._full.move_to_end((level, index))
        return tile

    def _fetch_tile(self, file: TileFile) -> bytes:
        tile = self._fetch_file(file)[: file.width * HASH_BYTES]
        require(len(tile) == file.width * HASH_BYTES, f"{file.path} has {len(tile)} bytes")
        return tile

    def _fetch_file(self, file: TileFile) -> bytes:
        try:
            return self._fetch(file.path)
        except OSError:
            if file.width == TILE_WIDTH:
                raise
            return self._fetch(file.whole.path)  # it was outgrown meanwhile, and deleted


def _counts(size: int) -> Iterator[tuple[int, int]]:
    """Yields, for each level of tiles, how many hashes it has."""
    level = 0
    while size:
        yield level, size
        level, size = level + 1, size >> TILE_HEIGHT


def _fold(tile: bytes) -> bytes:
    while len(tile) > HASH_BYTES:
        tile = parent_hashes(tile)
    return tile
