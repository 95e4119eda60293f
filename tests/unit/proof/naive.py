"""RFC 9162's definitions written down as they stand: slow, recursive, the tests' oracle."""

import hashlib
from collections.abc import Callable, Sequence

from blake3 import blake3

Hash = Callable[[bytes], bytes]


def blake3_digest(data: bytes) -> bytes:
    return blake3(data).digest()


def sha256_digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def root(leaves: Sequence[bytes], digest: Hash = blake3_digest) -> bytes:
    if not leaves:
        return digest(b"")
    if len(leaves) == 1:
        return digest(b"\x00" + leaves[0])
    k = _split(len(leaves))
    return digest(b"\x01" + root(leaves[:k], digest) + root(leaves[k:], digest))


def inclusion(m: int, leaves: Sequence[bytes], digest: Hash = blake3_digest) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = _split(len(leaves))
    if m < k:
        return [*inclusion(m, leaves[:k], digest), root(leaves[k:], digest)]
    return [*inclusion(m - k, leaves[k:], digest), root(leaves[:k], digest)]


def consistency(m: int, leaves: Sequence[bytes], digest: Hash = blake3_digest) -> list[bytes]:
    return _subproof(m, leaves, digest, whole=True)


def _subproof(m: int, leaves: Sequence[bytes], digest: Hash, *, whole: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [root(leaves, digest)]
    k = _split(len(leaves))
    if m <= k:
        return [*_subproof(m, leaves[:k], digest, whole=whole), root(leaves[k:], digest)]
    return [*_subproof(m - k, leaves[k:], digest, whole=False), root(leaves[:k], digest)]


def _split(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k
