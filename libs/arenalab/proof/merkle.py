"""The hashes and proofs of RFC 9162, with BLAKE3 in the place of SHA-256.

Domain separation: a leaf hashes as BLAKE3(0x00 || leaf), a node as
BLAKE3(0x01 || left || right), so that no leaf can pass for a node; an empty tree
has the root BLAKE3(""). Every hash has 32 bytes. The shape of the tree and of its
proofs is that of RFC 9162, section 2.1.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final

from blake3 import blake3

from arenalab.proof.errors import ProofError

HASH_BYTES: Final = 32
_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"
_PAIR_BYTES: Final = 2 * HASH_BYTES
_PAIR: Final = Struct(f"{_PAIR_BYTES}s")


def leaf_hash(leaf: bytes) -> bytes:
    """Returns BLAKE3(0x00 || leaf)."""
    return blake3(_LEAF + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Returns BLAKE3(0x01 || left || right)."""
    return blake3(_NODE + left + right).digest()


def parent_hashes(hashes: bytes | bytearray) -> bytes:
    """Returns the hashes of the nodes over each whole pair of hashes, concatenated."""
    whole = len(hashes) // _PAIR_BYTES * _PAIR_BYTES
    return b"".join(
        [blake3(_NODE + pair).digest() for (pair,) in _PAIR.iter_unpack(hashes[:whole])]
    )


EMPTY_ROOT: Final = blake3(b"").digest()


def verify_inclusion(
    index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes
) -> None:
    """Checks that `leaf`, a leaf hash, is at `index` of the tree with this size and root.

    Raises:
        ProofError: It is not, or the path is malformed.

    Source: RFC 9162, section 2.1.3.2.
    """
    require(0 <= index < size, f"leaf {index} is outside a tree of {size} leaves")
    _require_hashes((leaf, root, *path))
    position, last, node = index, size - 1, leaf
    for sibling in path:
        require(last > 0, "the inclusion path is too long")
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        position, last = position >> 1, last >> 1
    require(last == 0, "the inclusion path is too short")
    require(node == root, "the inclusion path does not lead to the root")


def verify_consistency(
    first: int, second: int, first_root: bytes, second_root: bytes, path: Sequence[bytes]
) -> None:
    """Checks that the tree of `first` leaves is how the tree of `second` leaves begins.

    Raises:
        ProofError: It is not, or the path is malformed.

    Source: RFC 9162, section 2.1.4.2.
    """
    require(
        0 < first <= second, f"sizes must satisfy 0 < first <= second, got {first} and {second}"
    )
    _require_hashes((first_root, second_root, *path))
    if first == second:
        require(not path, "the consistency path of equal sizes must be empty")
        require(first_root == second_root, "two roots of one size differ")
        return
    require(len(path) > 0, "the consistency path is empty")
    nodes = [first_root, *path] if first & (first - 1) == 0 else list(path)
    old, new = _fold_consistency(first - 1, second - 1, nodes)
    require(old == first_root, "the consistency path does not lead to the first root")
    require(new == second_root, "the consistency path does not lead to the second root")


def _fold_consistency(position: int, last: int, nodes: Sequence[bytes]) -> tuple[bytes, bytes]:
    while position & 1:
        position, last = position >> 1, last >> 1
    old = new = nodes[0]
    for sibling in nodes[1:]:
        require(last > 0, "the consistency path is too long")
        if position & 1 or position == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        position, last = position >> 1, last >> 1
    require(last == 0, "the consistency path is too short")
    return old, new


def _require_hashes(hashes: Sequence[bytes]) -> None:
    for value in hashes:
        require(len(value) == HASH_BYTES, f"a hash must be {HASH_BYTES} bytes, got {len(value)}")


def require(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as an assertion
    """Raises ProofError unless a condition holds."""
    if not holds:
        raise ProofError(otherwise)
