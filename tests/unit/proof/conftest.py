"""A small signed log for the tests of this folder."""

from dataclasses import dataclass

import pytest

from arenalab.proof import Checkpoint, MerkleTree, Receipt, Signer, leaf_hash

SIZE = 7


@dataclass(frozen=True)
class SmallLog:
    signer: Signer
    receipts: tuple[Receipt, ...]

    @property
    def public_key(self) -> str:
        return str(self.signer.verifier_key)


@pytest.fixture(scope="session")
def small_log() -> SmallLog:
    signer = Signer("example.org/log", bytes(range(32)))
    leaves = [f'{{"n":{n}}}'.encode() for n in range(SIZE)]
    tree = MerkleTree()
    for leaf in leaves:
        tree.append(leaf_hash(leaf))
    note = signer.sign(Checkpoint("example.org/log", SIZE, tree.root()).text())
    return SmallLog(
        signer,
        tuple(
            Receipt(
                index,
                leaf,
                leaf_hash(leaf),
                tuple(tree.inclusion_path(index, SIZE)),
                note,
                str(signer.verifier_key),
            )
            for index, leaf in enumerate(leaves)
        ),
    )
