from collections.abc import Iterator
from pathlib import Path

import pytest

from arenalab.local.mirror import Mirror
from arenalab.mesh import PreconditionError
from arenalab.proof import (
    CHECKPOINT_PATH,
    Checkpoint,
    MerkleTree,
    ProofError,
    Signer,
    export_files,
    leaf_hash,
)

SIGNER = Signer("example.org/log", bytes(32))
KEYS = [str(SIGNER.verifier_key)]
LEAVES = [str(n).encode() for n in range(700)]


def _tree(size: int, *, first: bytes = b"0") -> MerkleTree:
    tree = MerkleTree()
    for leaf in [first, *LEAVES[1:size]]:
        tree.append(leaf_hash(leaf))
    return tree


def _export(tree: MerkleTree, since: int) -> Iterator[tuple[str, bytes]]:
    yield from export_files(tree.size, since, tree.hashes, lambda low, high: LEAVES[low:high])
    note = SIGNER.sign(Checkpoint("example.org/log", tree.size, tree.root()).text())
    yield CHECKPOINT_PATH, note.encode()


def _update(folder: Path, tree: MerkleTree) -> Mirror:
    mirror = Mirror.open(folder, KEYS)
    before = mirror.size
    for path, data in _export(tree, before):
        mirror.take(path, data)
    mirror.finish(tree.consistency_path(before, tree.size) if 0 < before < tree.size else [])
    return mirror


def test_a_mirror_grows_with_its_log(tmp_path: Path) -> None:
    for size in (1, 300, 300, 700):
        _update(tmp_path, _tree(size))
        assert Mirror.open(tmp_path, KEYS).size == size


def test_a_log_that_does_not_go_on_from_the_mirror_is_refused(tmp_path: Path) -> None:
    _update(tmp_path, _tree(3))
    before = (tmp_path / CHECKPOINT_PATH).read_bytes()
    with pytest.raises(ProofError):
        _update(tmp_path, _tree(600, first=b"another"))
    assert (tmp_path / CHECKPOINT_PATH).read_bytes() == before


def test_files_that_do_not_give_the_root_are_not_shown(tmp_path: Path) -> None:
    mirror = Mirror.open(tmp_path, KEYS)
    for path, data in _export(_tree(300), 0):
        mirror.take(path, data if path != "tile/0/001.p/44" else data[::-1])
    with pytest.raises(ProofError):
        mirror.finish([])
    assert not (tmp_path / CHECKPOINT_PATH).exists()


@pytest.mark.parametrize("path", ["../out", "/tmp/out", "tile/0/../../../out", "notes.txt"])  # noqa: S108
def test_a_path_outside_the_layout_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ProofError):
        Mirror.open(tmp_path / "in", KEYS).take(path, b"x")
    assert list(tmp_path.rglob("*")) == []


def test_another_logs_directory_and_an_export_cut_short_are_refused(tmp_path: Path) -> None:
    mirror = Mirror.open(tmp_path, KEYS)
    with pytest.raises(ProofError, match="without a checkpoint"):
        mirror.finish([])
    _update(tmp_path, _tree(2))
    with pytest.raises(PreconditionError, match="another log"):
        Mirror.open(tmp_path, [str(Signer("example.org/log", bytes(31) + b"1").verifier_key)])
