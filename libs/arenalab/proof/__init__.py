"""Proofs about a log: Merkle trees, signed checkpoints, receipts. Needs no service."""

from arenalab.proof.commitment import (
    SALT_BYTES,
    content_commitment,
    subject_commitment,
    verify_content,
)
from arenalab.proof.errors import NoteError, ProofError, ReceiptError
from arenalab.proof.keyring import KeyRing
from arenalab.proof.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)
from arenalab.proof.note import (
    Checkpoint,
    Signer,
    TrustedKeys,
    VerifierKey,
    is_key_name,
    open_checkpoint,
    open_note,
    parse_checkpoint,
    split_note,
)
from arenalab.proof.receipt import Receipt, receipt_from_json, receipt_to_json, verify_receipt
from arenalab.proof.tree import LeafSource, MerkleTree

__all__ = [
    "EMPTY_ROOT",
    "HASH_BYTES",
    "SALT_BYTES",
    "Checkpoint",
    "KeyRing",
    "LeafSource",
    "MerkleTree",
    "NoteError",
    "ProofError",
    "Receipt",
    "ReceiptError",
    "Signer",
    "TrustedKeys",
    "VerifierKey",
    "content_commitment",
    "is_key_name",
    "leaf_hash",
    "node_hash",
    "open_checkpoint",
    "open_note",
    "parse_checkpoint",
    "receipt_from_json",
    "receipt_to_json",
    "split_note",
    "subject_commitment",
    "verify_consistency",
    "verify_content",
    "verify_inclusion",
    "verify_receipt",
]
