"""A tree that reads its leaves again proves what one that keeps them proves, and no more."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.proof import (
    HASH_BYTES,
    MerkleTree,
    ProofError,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)

LEAVES = b"".join(leaf_hash(n.to_bytes(4, "big")) for n in range(1200))


def read(low: int, high: int) -> bytes:
    return LEAVES[low * HASH_BYTES : high * HASH_BYTES]


def kept(size: int) -> MerkleTree:
    """Returns a tree built leaf by leaf, which the other tests hold against the definitions."""
    tree = MerkleTree()
    for index in range(size):
        tree.append(read(index, index + 1))
    return tree


def held_bytes(tree: MerkleTree) -> int:
    return sum(len(level.hashes) for level in tree._levels)


SIZES = st.one_of(st.integers(0, 70), st.integers(240, 270), st.integers(1000, 1100))


@pytest.mark.slow
@given(st.lists(SIZES, max_size=4))
def test_leaves_added_at_once_are_leaves_added_one_by_one(sizes: list[int]) -> None:
    tree, at = MerkleTree(), 0
    for size in sorted(sizes):
        tree.extend(read(at, size))
        at = max(at, size)
        if at < 1100:
            tree.append(read(at, at + 1))
            at += 1
        plain = kept(at)
        assert tree.size == at
        assert tree.root() == plain.root()
        assert [level.hashes for level in tree._levels if level.hashes] == [
            level.hashes for level in plain._levels if level.hashes
        ]


@pytest.mark.slow
@given(st.data())
def test_a_tree_that_forgot_leaves_proves_the_same(data: st.DataObject) -> None:
    size = data.draw(SIZES.filter(bool))
    forgotten = data.draw(st.integers(0, size))
    tree, plain = MerkleTree(read), kept(1200)
    tree.extend(read(0, size))
    tree.forget_leaves(forgotten)
    tree.extend(read(size, 1150))
    tree.forget_leaves(data.draw(st.integers(0, 1150)))
    for index in range(1150, 1200):
        tree.append(read(index, index + 1))
    second = data.draw(st.integers(1, 1200))
    first = data.draw(st.integers(1, second))
    index = data.draw(st.integers(0, second - 1))
    assert tree.root(second) == plain.root(second)
    assert tree.leaf(index) == plain.leaf(index)
    path = tree.inclusion_path(index, second)
    assert path == plain.inclusion_path(index, second)
    verify_inclusion(index, second, tree.leaf(index), path, tree.root(second))
    path = tree.consistency_path(first, second)
    assert path == plain.consistency_path(first, second)
    verify_consistency(first, second, tree.root(first), tree.root(second), path)


@given(st.data())
def test_the_hashes_of_a_height_are_the_roots_of_its_subtrees(data: st.DataObject) -> None:
    tree = MerkleTree(read)
    tree.extend(read(0, 1200))
    tree.forget_leaves(data.draw(st.integers(0, 1200)))
    height = data.draw(st.sampled_from([0, 1, 2, 3, 4, 8]))
    first = data.draw(st.integers(0, 1200 >> height))
    count = data.draw(st.integers(0, min(20, (1200 >> height) - first)))
    expected = b""
    for position in range(first, first + count):
        subtree = MerkleTree()
        subtree.extend(read(position << height, position + 1 << height))
        expected += subtree.root()
    assert tree.hashes(height, first, count) == expected


def test_a_tree_that_forgot_its_leaves_holds_four_bytes_a_leaf() -> None:
    tree = MerkleTree(read)
    tree.extend(read(0, 1200))
    assert held_bytes(tree) > 1200 * 63
    tree.forget_leaves(1200)
    assert held_bytes(tree) <= 1200 * 4
    tree.forget_leaves(17)  # less than before: nothing comes back
    assert held_bytes(tree) <= 1200 * 4


ATTEMPTS: tuple[Callable[[MerkleTree], object], ...] = (
    lambda tree: tree.leaf(3),
    lambda tree: tree.inclusion_path(3, 64),
    lambda tree: tree.hashes(0, 0, 64),
    lambda tree: tree.consistency_path(3, 64),
    lambda tree: tree.root(3),
)


def test_leaves_that_are_not_those_appended_are_found_out() -> None:
    def changed(low: int, high: int) -> bytes:
        data = bytearray(read(low, high))
        data[5] ^= 1
        return bytes(data)

    for source in (changed, lambda low, high: read(low, high)[:-1], lambda _low, _high: b""):
        tree = MerkleTree(source)
        tree.extend(read(0, 64))
        tree.forget_leaves(64)
        for attempt in ATTEMPTS:
            with pytest.raises(ProofError, match="not those appended"):
                attempt(tree)
        assert tree.root() == kept(64).root()  # what is held needs no leaf


def test_what_is_forgotten_cannot_be_truncated() -> None:
    tree = MerkleTree(read)
    tree.extend(read(0, 100))
    tree.forget_leaves(90)
    tree.truncate(80)
    tree.extend(read(80, 100))
    assert tree.root() == kept(100).root()
    with pytest.raises(ProofError, match="cannot truncate to 79"):
        tree.truncate(79)


def test_forgetting_and_hashes_outside_the_tree_are_refused() -> None:
    plain = kept(5)
    with_source = MerkleTree(read)
    with_source.extend(read(0, 5))
    for call in (
        lambda: plain.forget_leaves(1),
        lambda: with_source.forget_leaves(6),
        lambda: plain.hashes(0, 0, 6),
        lambda: plain.hashes(1, 2, 1),
        lambda: plain.hashes(-1, 0, 1),
        lambda: plain.hashes(0, -1, 1),
        lambda: plain.leaf(5),
        lambda: plain.leaf(-1),
        lambda: plain.extend(bytes(33)),
    ):
        with pytest.raises(ProofError):
            call()


def test_a_root_after_a_cut_is_not_the_one_before_it() -> None:
    tree = kept(9)
    before = tree.root()
    tree.truncate(8)
    tree.append(bytes(HASH_BYTES))
    assert tree.root() != before


def test_proofs_hold_while_another_thread_appends_cuts_and_forgets() -> None:
    tree, plain = MerkleTree(read), kept(1200)
    tree.extend(read(0, 200))
    reached, stop = [200], threading.Event()

    def prove(seed: int) -> int:
        rng, proofs = Random(seed), 0
        while not stop.is_set() or proofs == 0:
            size = rng.randint(1, reached[0])
            index = rng.randrange(size)
            assert tree.inclusion_path(index, size) == plain.inclusion_path(index, size)
            assert tree.root(size) == plain.root(size)
            assert tree.leaf(index) == plain.leaf(index)
            proofs += 1
        return proofs

    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(prove, seed) for seed in range(3)]
        try:
            for size in range(200, 1200, 5):
                tree.append(bytes(HASH_BYTES))  # what is cut again was never acknowledged
                tree.root()
                tree.truncate(size)
                tree.extend(read(size, size + 5))
                reached[0] = size + 5
                tree.forget_leaves(size)
        finally:
            stop.set()
        assert all(future.result() for future in futures)
