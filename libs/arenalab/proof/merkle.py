"""The Merkle tree of RFC 9162, with BLAKE3 in the place of SHA-256.

Leaf and node hashes begin with different bytes, so that no leaf can pass for a
node. The tree keeps the hash of every perfect subtree, one byte array per level:
about 64 bytes a leaf, and every proof is read off in O(log n).
"""

from collections.abc import Sequence
from typing import Final

from blake3 import blake3

from arenalab.proof.errors import ProofError

HASH_BYTES: Final = 32
_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"


def leaf_hash(leaf: bytes) -> bytes:
    """Returns BLAKE3(0x00 || leaf)."""
    return blake3(_LEAF + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Returns BLAKE3(0x01 || left || right)."""
    return blake3(_NODE + left + right).digest()


EMPTY_ROOT: Final = blake3(b"").digest()


class MerkleTree:
    """An append-only tree of leaf hashes.

    Leaves below a size once reached never move: one thread may append while others
    ask for proofs of sizes that were reached before.
    """

    def __init__(self) -> None:
        # levels[k] holds, in order, the hashes of the perfect subtrees of 2^k leaves.
        self._levels = [bytearray()]

    @property
    def size(self) -> int:
        """How many leaves the tree has."""
        return len(self._levels[0]) // HASH_BYTES

    def append(self, leaf: bytes) -> None:
        """Adds a leaf by its hash."""
        node = leaf
        for level in self._levels:
            level.extend(node)
            if len(level) // HASH_BYTES % 2:
                return
            node = node_hash(bytes(level[-2 * HASH_BYTES : -HASH_BYTES]), node)
        self._levels.append(bytearray(node))

    def truncate(self, size: int) -> None:
        """Forgets every leaf from `size` on."""
        for height, level in enumerate(self._levels):
            del level[(size >> height) * HASH_BYTES :]

    def leaf(self, index: int) -> bytes:
        """Returns the hash of a leaf."""
        return self._perfect(0, index)

    def root(self, size: int | None = None) -> bytes:
        """Returns the root over the first `size` leaves; all of them by default."""
        size = self.size if size is None else size
        _require(0 <= size <= self.size, f"size must be in [0, {self.size}], got {size}")
        return self._range(0, size) if size else EMPTY_ROOT

    def inclusion_path(self, index: int, size: int) -> list[bytes]:
        """Returns the siblings of a leaf from the leaf up (RFC 9162, section 2.1.3.1)."""
        _require(
            0 <= index < size <= self.size,
            f"index must be below size, and size at most {self.size}, got {index} and {size}",
        )
        path, low, high = [], 0, size
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                path.append(self._range(middle, high))
                high = middle
            else:
                path.append(self._range(low, middle))
                low = middle
        path.reverse()
        return path

    def consistency_path(self, first: int, second: int) -> list[bytes]:
        """Returns the proof that the tree of `first` leaves begins that of `second`.

        Source: RFC 9162, section 2.1.4.1.
        """
        _require(
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
        """Returns the hash over [low, high), `low` being where a subtree of the tree starts."""
        count = high - low
        height = count.bit_length() - 1
        if count == 1 << height:
            return self._perfect(height, low >> height)
        middle = low + _split(count)
        return node_hash(self._range(low, middle), self._range(middle, high))

    def _perfect(self, height: int, position: int) -> bytes:
        start = position * HASH_BYTES
        return bytes(self._levels[height][start : start + HASH_BYTES])


def verify_inclusion(
    index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes
) -> None:
    """Checks that `leaf`, a leaf hash, is at `index` of the tree with this size and root.

    Raises:
        ProofError: It is not, or the path is malformed.

    Source: RFC 9162, section 2.1.3.2.
    """
    _require(0 <= index < size, f"leaf {index} is outside a tree of {size} leaves")
    _require_hashes((leaf, root, *path))
    position, last, node = index, size - 1, leaf
    for sibling in path:
        _require(last > 0, "the inclusion path is too long")
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        position, last = position >> 1, last >> 1
    _require(last == 0, "the inclusion path is too short")
    _require(node == root, "the inclusion path does not lead to the root")


def verify_consistency(
    first: int, second: int, first_root: bytes, second_root: bytes, path: Sequence[bytes]
) -> None:
    """Checks that the tree of `first` leaves is how the tree of `second` leaves begins.

    Raises:
        ProofError: It is not, or the path is malformed.

    Source: RFC 9162, section 2.1.4.2.
    """
    _require(
        0 < first <= second, f"sizes must satisfy 0 < first <= second, got {first} and {second}"
    )
    _require_hashes((first_root, second_root, *path))
    if first == second:
        _require(not path, "the consistency path of equal sizes must be empty")
        _require(first_root == second_root, "two roots of one size differ")
        return
    _require(len(path) > 0, "the consistency path is empty")
    nodes = [first_root, *path] if first & (first - 1) == 0 else list(path)
    old, new = _fold_consistency(first - 1, second - 1, nodes)
    _require(old == first_root, "the consistency path does not lead to the first root")
    _require(new == second_root, "the consistency path does not lead to the second root")


def _fold_consistency(position: int, last: int, nodes: Sequence[bytes]) -> tuple[bytes, bytes]:
    while position & 1:
        position, last = position >> 1, last >> 1
    old = new = nodes[0]
    for sibling in nodes[1:]:
        _require(last > 0, "the consistency path is too long")
        if position & 1 or position == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        position, last = position >> 1, last >> 1
    _require(last == 0, "the consistency path is too short")
    return old, new


def _split(count: int) -> int:
    """Returns the largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1


def _require_hashes(hashes: Sequence[bytes]) -> None:
    for value in hashes:
        _require(len(value) == HASH_BYTES, f"a hash must be {HASH_BYTES} bytes, got {len(value)}")


def _require(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as an assertion
    if not holds:
        raise ProofError(otherwise)
