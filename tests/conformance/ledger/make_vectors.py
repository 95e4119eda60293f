"""Writes vectors.json, always the same: `python -m tests.conformance.ledger.make_vectors`.

Bytes are hexadecimal; in the receipt, which is the JSON that a log hands out, base64.

hashes        what is hashed, and its BLAKE3: nothing, 0x00 || leaf, 0x01 || left || right
leaves        the leaves of a tree; the last one is a small sealed entry
roots         of the trees of 0, 1, ... leaves
inclusion     index, size and path, for every leaf of every size
consistency   first size, second size and path, for every pair
keys          what a verifier trusts: keys of the log and of a witness, the log's origin,
              and when the witness cosigned, in seconds since 1970
checkpoint    the signed note of the last tree: two signatures of the log, one cosignature
commitments   salt, what is committed to, and the commitment; the first is the leaf's answer
receipt       of the last leaf
"""

import json
from pathlib import Path
from typing import Any, Final

from blake3 import blake3

from arenalab.proof import (
    EMPTY_ROOT,
    Checkpoint,
    Cosigner,
    KeyRing,
    MerkleTree,
    Receipt,
    Signer,
    content_commitment,
    leaf_hash,
    node_hash,
    receipt_to_json,
    subject_commitment,
)

PATH: Final = Path(__file__).with_name("vectors.json")
ORIGIN: Final = "vectors.example/log"
SIZES: Final = 9
TIME_S: Final = 1_800_000_000
SALT: Final = bytes(range(32))
SUBJECT: Final = "customer-7"
ANSWER: Final = "Ja \u2014 tenants are kept apart."
OLD: Final = Signer(ORIGIN, b"\x01" * 32)
NEW: Final = Signer(ORIGIN, b"\x02" * 32)
_TWO: Final = (b"\xaa" * 32, b"\xbb" * 32)
WITNESS: Final = Cosigner("witness.vectors.example/w1", b"\x03" * 32)


def vectors() -> dict[str, Any]:
    """Returns the vectors."""
    leaves = [bytes(range(n)) for n in range(SIZES - 1)] + [_sealed_leaf()]
    tree = MerkleTree()
    for leaf in leaves:
        tree.append(leaf_hash(leaf))
    text = Checkpoint(ORIGIN, SIZES, tree.root()).text()
    note = KeyRing(NEW, [OLD]).sign(text) + WITNESS.cosign(text, TIME_S)
    last = SIZES - 1
    receipt = Receipt(
        leaf_index=last,
        leaf=leaves[last],
        leaf_hash=tree.leaf(last),
        inclusion_path=tuple(tree.inclusion_path(last, SIZES)),
        checkpoint=note,
        log_public_key=str(NEW.verifier_key),
    )
    return {
        "hashes": [
            {"data": "", "hash": EMPTY_ROOT.hex()},
            {"data": "00" + "00ff", "hash": leaf_hash(b"\x00\xff").hex()},
            {"data": "01" + "aa" * 32 + "bb" * 32, "hash": node_hash(*_TWO).hex()},
        ],
        "leaves": [leaf.hex() for leaf in leaves],
        "roots": [tree.root(size).hex() for size in range(SIZES + 1)],
        "inclusion": [
            [index, size, _hex(tree.inclusion_path(index, size))]
            for size in range(1, SIZES + 1)
            for index in range(size)
        ],
        "consistency": [
            [first, second, _hex(tree.consistency_path(first, second))]
            for second in range(1, SIZES + 1)
            for first in range(1, second + 1)
        ],
        "keys": {
            "verifier_keys": [str(NEW.verifier_key), str(OLD.verifier_key)],
            "witness_key": str(WITNESS.witness_key),
            "origin": ORIGIN,
            "time": TIME_S,
        },
        "checkpoint": note,
        "commitments": [
            {
                "salt": SALT.hex(),
                "parts": ["content", "answer", ANSWER],
                "value": _answer_commitment(),
            },
            {
                "salt": SALT.hex(),
                "parts": ["subject", SUBJECT],
                "value": subject_commitment(SALT, SUBJECT),
            },
        ],
        "receipt": receipt_to_json(receipt),
    }


def _sealed_leaf() -> bytes:
    # A leaf as the ledger seals it (version 2). The private part that `sealed` is the hash
    # of would lie beside the log, encrypted; here it is empty.
    sealed = {
        "commitments": {"answer": _answer_commitment()},
        "config_digest": "",
        "dataset_version": "ab" * 32,
        "entry_id": "prediction-1",
        "evidence_ids": ["0198a1b2-0000-7000-8000-000000000001"],
        "facts": {"confidence": 0.97, "route": "memory"},
        "index": SIZES - 1,
        "kind": "prediction",
        "model_digest": "",
        "parent_id": "",
        "scope": "default",
        "sealed": blake3(b"").hexdigest(),
        "subject": subject_commitment(SALT, SUBJECT),
        "time": "2026-01-01T00:00:00Z",
        "trace_id": "0123456789abcdef" * 2,
        "v": 2,
    }
    return json.dumps(sealed, separators=(",", ":"), sort_keys=True).encode()


def _answer_commitment() -> str:
    return content_commitment(SALT, "answer", ANSWER)


def _hex(path: list[bytes]) -> list[str]:
    return [node.hex() for node in path]


def as_text() -> str:
    """Returns the file's text."""
    return json.dumps(vectors(), indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    PATH.write_text(as_text())
