"""Proofs about a log: Merkle trees, signed checkpoints, receipts. Needs no service."""

from arenalab.proof.commitment import (
    SALT_BYTES,
    content_commitment,
    subject_commitment,
    verify_content,
)
from arenalab.proof.cosignature import (
    Cosigner,
    WitnessKey,
    WitnessPolicy,
    add_cosignatures,
    cosignature_times,
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
from arenalab.proof.tile_reader import TileReader
from arenalab.proof.tiles import (
    CHECKPOINT_PATH,
    MAX_LEAF_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    TileFile,
    decode_entries,
    encode_entries,
    export_files,
    tile_content,
    tile_files,
)
from arenalab.proof.tree import LeafSource, MerkleTree

__all__ = [
    "CHECKPOINT_PATH",
    "EMPTY_ROOT",
    "HASH_BYTES",
    "MAX_LEAF_BYTES",
    "SALT_BYTES",
    "TILE_HEIGHT",
    "TILE_WIDTH",
    "Checkpoint",
    "Cosigner",
    "KeyRing",
    "LeafSource",
    "MerkleTree",
    "NoteError",
    "ProofError",
    "Receipt",
    "ReceiptError",
    "Signer",
    "TileFile",
    "TileReader",
    "TrustedKeys",
    "VerifierKey",
    "WitnessKey",
    "WitnessPolicy",
    "add_cosignatures",
    "content_commitment",
    "cosignature_times",
    "decode_entries",
    "encode_entries",
    "export_files",
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
    "tile_content",
    "tile_files",
    "verify_consistency",
    "verify_content",
    "verify_inclusion",
    "verify_receipt",
]
