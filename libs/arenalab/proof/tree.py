"""The tree that a log keeps, and how proofs are read off any store of perfect subtrees."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from arenalab.proof.merkle import EMPTY_ROOT, HASH_BYTES, node_hash, parent_hashes, require

# Below this height, subtrees of leaves that can be read again are not kept: 16 leaf
# hashes are one short read and 15 hashings away from every node over them.
BLOCK_HEIGHT: Final = 4

# Returns the hashes of the leaves [low, high), 32 bytes each, from where they lie.
LeafSource = Callable[[int, int], bytes]


class ProvingTree(ABC):
    """Roots and proofs, from the hashes of perfect subtrees wherever they are kept."""

    def __init__(self) -> None:
        # Shared by the proofs of one size; replaced as a whole, so never seen half-made.
        self._last_edges: tuple[int, tuple[bytes, ...]] = (0, (b"",))

    @property
    @abstractmethod
    def size(self) -> int:
        """How many leaves the tree has."""

    @abstractmethod
    def _perfect(self, height: int, position: int) -> bytes:
        """Returns the hash over the leaves [position << height, position + 1 << height)."""

    def root(self, size: int | None = None) -> bytes:
        """Returns the root over the first `size` leaves; all of them by default."""
        size = self.size if size is None else size
        require(0 <= size <= self.size, f"size must be in [0, {self.size}], got {size}")
        return self._edges(size)[-1] if size else EMPTY_ROOT

    def inclusion_path(self, index: int, size: int) -> list[bytes]:
        """Returns the siblings of a leaf from the leaf up (RFC 9162, section 2.1.3.1)."""
        require(
            0 <= index < size <= self.size,
            f"index must be below size, and size at most {self.size}, got {index} and {size}",
        )
        edges = self._edges(size)
        path = []
        for height in range((size - 1).bit_length()):
            sibling, complete = index >> height ^ 1, size >> height
            if sibling < complete:
                path.append(self._perfect(height, sibling))
            elif sibling == complete and (edge := edges[height]):
                path.append(edge)
        return path

    def consistency_path(self, first: int, second: int) -> list[bytes]:
        """Returns the proof that the tree of `first` leaves begins that of `second`.

        Source: RFC 9162, section 2.1.4.1.
        """
        require(
            0 < first <= second <= self.size,
            f"sizes must satisfy 0 < first <= second <= {self.size}, got {first} and {second}",
        )
        path, low, high = [], 0, second
        while first != high:
            middle = low + _split(high - low)
            if first <= middle:
                path.append(self._range(middle, high))
                high = middle
            else:
                path.append(self._range(low, middle))
                low = middle
        if low:  # else the verifier knows this subtree: it is the whole first tree
            path.append(self._range(low, high))
        path.reverse()
        return path

    def _range(self, low: int, high: int) -> bytes:
        """Returns the hash over [low, high), a subtree of the tree of `high` leaves."""
        count = high - low
        height = count.bit_length() - 1
        if count == 1 << height:
            return self._perfect(height, low >> height)
        return self._edges(high)[height + 1]

    def _edges(self, size: int) -> tuple[bytes, ...]:
        """Returns, for every k, the hash over the last `size mod 2^k` leaves; b"" for none.

        These are the incomplete subtrees at the right of the tree of `size` leaves;
        the last one is its root.
        """
        known, edges = self._last_edges
        if known != size:
            edges = self._compute_edges(size)
            self._last_edges = (size, edges)
        return edges

    def _compute_edges(self, size: int) -> tuple[bytes, ...]:
        edge = b""
        edges = [edge]
        for height in range(size.bit_length()):
            if size >> height & 1:
                left = self._perfect(height, (size >> height) - 1)
                edge = node_hash(left, edge) if edge else left
            edges.append(edge)
        return tuple(edges)


class _Level:
    """The hashes of one height, in order; those before position `base` are not held.

    A level is replaced when its base moves, so that a reader who took it before
    still finds everything where it was.
    """

    __slots__ = ("base", "hashes")

    def __init__(self, base: int, hashes: bytearray) -> None:
        self.base = base
        self.hashes = hashes


class MerkleTree(ProvingTree):
    """An append-only tree of leaf hashes: 64 bytes a leaf, 4 when leaves can be read again.

    It keeps the hash of every perfect subtree, one byte array a level, and every
    proof is read off in O(log n). With a source of leaves, `forget_leaves` drops the
    levels that a few leaves give back.

    Leaves below a size once reached never move: one thread may append, truncate and
    forget while others ask for proofs of sizes that were reached before and are not
    truncated. The source must then be safe to read from several threads.
    """

    def __init__(self, leaves: LeafSource | None = None) -> None:
        super().__init__()
        # levels[k] holds, in order, the hashes of the perfect subtrees of 2^k leaves.
        self._levels = [_Level(0, bytearray())]
        self._size = 0  # set last, so that everything below it is there
        self._source = leaves
        self._last_block: tuple[int, list[bytes]] = (-1, [])

    @property
    def size(self) -> int:
        """How many leaves the tree has."""
        return self._size

    def append(self, leaf: bytes) -> None:
        """Adds a leaf by its hash."""
        node = leaf
        for level in self._levels:
            hashes = level.hashes
            hashes.extend(node)
            if len(hashes) & HASH_BYTES:  # an odd count: a base is always even
                break
            node = node_hash(bytes(hashes[-2 * HASH_BYTES : -HASH_BYTES]), node)
        else:
            self._levels.append(_Level(0, bytearray(node)))
        self._size += 1

    def extend(self, leaves: bytes) -> None:
        """Adds many leaves by their hashes, concatenated.

        Raises:
            ProofError: The length is no multiple of 32.
        """
        require(len(leaves) % HASH_BYTES == 0, "leaf hashes must have 32 bytes each")
        fresh, height = leaves, 0
        while fresh:
            if height == len(self._levels):
                self._levels.append(_Level(0, bytearray()))
            hashes = self._levels[height].hashes
            start = len(hashes) & HASH_BYTES  # the last one has no parent yet
            hashes.extend(fresh)
            fresh = parent_hashes(hashes[len(hashes) - len(fresh) - start :])
            height += 1
        self._size += len(leaves) // HASH_BYTES

    def truncate(self, size: int) -> None:
        """Forgets every leaf from `size` on.

        Raises:
            ProofError: Leaves from there on are forgotten already.
        """
        low = self._levels[0].base
        require(size >= low, f"leaves below {low} are not held: cannot truncate to {size}")
        self._size = min(size, self._size)
        self._last_edges = (0, (b"",))  # other leaves may come in their place
        for height, level in enumerate(self._levels):
            del level.hashes[max((size >> height) - level.base, 0) * HASH_BYTES :]

    def forget_leaves(self, size: int) -> None:
        """Says that the source returns the leaves below `size` from now on.

        What they give back is dropped: every level below the fourth, in whole blocks
        of 16 leaves. What is read later is checked against the levels above.

        Raises:
            ProofError: There is no source, or the tree is smaller.
        """
        require(self._source is not None, "a tree without a source keeps its leaves")
        require(size <= self._size, f"size must be at most {self._size}, got {size}")
        for height, level in enumerate(self._levels[:BLOCK_HEIGHT]):
            base = size >> BLOCK_HEIGHT << BLOCK_HEIGHT >> height
            if base > level.base:
                kept = level.hashes[(base - level.base) * HASH_BYTES :]
                self._levels[height] = _Level(base, kept)

    def leaf(self, index: int) -> bytes:
        """Returns the hash of a leaf.

        Raises:
            ProofError: It is not in the tree, or what the source has was not appended.
        """
        require(0 <= index < self._size, f"leaf {index} is outside a tree of {self._size}")
        return self._perfect(0, index)

    def hashes(self, height: int, first: int, count: int) -> bytes:
        """Returns the hashes of `count` perfect subtrees of 2^height leaves, from one on.

        Raises:
            ProofError: They are not in the tree, or what the source has was not appended.
        """
        end = (first + count) << max(height, 0)
        require(
            min(height, first, count) >= 0 and end <= self._size,
            f"subtrees [{first}, {first + count}) of height {height} are outside the tree",
        )
        if not count:
            return b""
        level = self._levels[height]
        if first >= level.base:
            return bytes(_part(level, first, count))
        # Whole blocks; the last of them may lie above the watermark.
        low = first << height >> BLOCK_HEIGHT
        held = self._levels[0].base
        split = min(end, held)
        levels = self._read(low, (split - 1 >> BLOCK_HEIGHT) + 1)
        start = first - (low << BLOCK_HEIGHT >> height)
        read = levels[height][start * HASH_BYTES : (start + (split >> height) - first) * HASH_BYTES]
        rest = count - len(read) // HASH_BYTES
        return read + (self.hashes(height, first + count - rest, rest) if rest else b"")

    def _perfect(self, height: int, position: int) -> bytes:
        level = self._levels[height]
        if position >= level.base:
            return bytes(_part(level, position, 1))
        block = position << height >> BLOCK_HEIGHT
        known, levels = self._last_block
        if known != block:  # the steps of one proof stay within a block
            levels = self._read(block, block + 1)
            self._last_block = (block, levels)
        start = (position - (block << BLOCK_HEIGHT >> height)) * HASH_BYTES
        return levels[height][start : start + HASH_BYTES]

    def _read(self, low: int, high: int) -> list[bytes]:
        """Returns the levels of the blocks [low, high) from the source, leaves first."""
        assert self._source is not None  # noqa: S101 - nothing is forgotten without one
        first, end = low << BLOCK_HEIGHT, high << BLOCK_HEIGHT
        levels = [self._source(first, end)]
        for height in range(BLOCK_HEIGHT):
            levels.append(parent_hashes(levels[height]))
        held = _part(self._levels[BLOCK_HEIGHT], low, high - low)
        require(levels.pop() == held, f"the leaves [{first}, {end}) are not those appended")
        return levels


def _part(level: _Level, first: int, count: int) -> bytearray:
    start = (first - level.base) * HASH_BYTES
    return level.hashes[start : start + count * HASH_BYTES]


def _split(count: int) -> int:
    """Returns the largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1
