"""The tree and its verifiers against RFC 9162's recursive definitions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.proof import (
    EMPTY_ROOT,
    MerkleTree,
    ProofError,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)

from . import naive

ALL_SIZES = 64
LEAVES = [n.to_bytes(2, "big") for n in range(300)]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]
ROOTS = [naive.root(LEAVES[:n]) for n in range(ALL_SIZES + 1)]

# Leaves and SHA-256 roots that the certificate transparency tests share.
CT_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CT_INCLUSION_OF_5_IN_8 = [
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
]
CT_CONSISTENCY_OF_6_AND_8 = [
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
]


def tree_of(size: int) -> MerkleTree:
    tree = MerkleTree()
    for value in HASHES[:size]:
        tree.append(value)
    return tree


def test_the_oracle_gives_the_published_sha256_vectors() -> None:
    sha = naive.sha256_digest
    assert [naive.root(CT_LEAVES[: n + 1], sha).hex() for n in range(8)] == CT_ROOTS
    assert [h.hex() for h in naive.inclusion(5, CT_LEAVES, sha)] == CT_INCLUSION_OF_5_IN_8
    assert [h.hex() for h in naive.consistency(6, CT_LEAVES, sha)] == CT_CONSISTENCY_OF_6_AND_8


def test_roots_and_inclusion_paths_of_every_small_size_are_the_oracles() -> None:
    tree = tree_of(ALL_SIZES)
    assert tree.root(0) == EMPTY_ROOT == naive.root([])
    for size in range(1, ALL_SIZES + 1):
        assert tree.root(size) == ROOTS[size]
        for index in range(size):
            path = tree.inclusion_path(index, size)
            assert path == naive.inclusion(index, LEAVES[:size])
            verify_inclusion(index, size, HASHES[index], path, ROOTS[size])


def test_consistency_paths_of_every_pair_of_small_sizes_are_the_oracles() -> None:
    tree = tree_of(ALL_SIZES)
    for second in range(1, ALL_SIZES + 1, 3):
        for first in range(1, second + 1):
            path = tree.consistency_path(first, second)
            assert path == naive.consistency(first, LEAVES[:second])
            verify_consistency(first, second, ROOTS[first], ROOTS[second], path)


@given(st.data())
def test_proofs_of_larger_trees_hold_and_no_others(data: st.DataObject) -> None:
    size = data.draw(st.integers(65, len(LEAVES)))
    index = data.draw(st.integers(0, size - 1))
    tree = tree_of(size)
    path = tree.inclusion_path(index, size)
    root = tree.root()
    assert root == naive.root(LEAVES[:size])
    verify_inclusion(index, size, HASHES[index], path, root)
    other = data.draw(st.integers(0, size - 1).filter(lambda n: n != index))
    with pytest.raises(ProofError):
        verify_inclusion(other, size, HASHES[index], path, root)
    with pytest.raises(ProofError):
        verify_inclusion(index, size, HASHES[other], path, root)


@given(st.data())
def test_a_changed_path_proves_nothing(data: st.DataObject) -> None:
    second = data.draw(st.integers(2, 64))
    first = data.draw(st.integers(1, second - 1))
    tree = tree_of(second)
    path = tree.consistency_path(first, second)
    changed = data.draw(
        st.sampled_from(
            [
                path[:-1],
                [*path, bytes(32)],
                [*path[:-1], bytes(32)],
                [path[0][:31], *path[1:]],
                [],
            ]
        )
    )
    with pytest.raises(ProofError):
        verify_consistency(first, second, ROOTS[first], ROOTS[second], changed)
    with pytest.raises(ProofError):
        verify_consistency(first, second, ROOTS[second], ROOTS[second], path)


@given(st.integers(0, 130), st.integers(0, 130), st.integers(0, 40))
def test_a_tree_cut_back_grows_as_if_the_rest_had_never_been(
    size: int, kept: int, grown: int
) -> None:
    kept = min(kept, size)
    tree = tree_of(size)
    tree.truncate(kept)
    assert tree.size == kept
    for value in HASHES[200 : 200 + grown]:
        tree.append(value)
    assert tree.root() == naive.root([*LEAVES[:kept], *LEAVES[200 : 200 + grown]])


def test_what_is_outside_the_tree_is_refused() -> None:
    tree = tree_of(5)
    for call in (
        lambda: tree.root(6),
        lambda: tree.inclusion_path(5, 5),
        lambda: tree.inclusion_path(0, 6),
        lambda: tree.consistency_path(0, 5),
        lambda: tree.consistency_path(5, 6),
        lambda: verify_inclusion(5, 5, HASHES[0], [], ROOTS[5]),
        lambda: verify_consistency(0, 5, ROOTS[0], ROOTS[5], []),
        lambda: verify_consistency(5, 5, ROOTS[5], ROOTS[4], []),
        lambda: verify_consistency(5, 5, ROOTS[5], ROOTS[5], [ROOTS[5]]),
    ):
        with pytest.raises(ProofError):
            call()
