"""Proofs about a log: Merkle trees, signed checkpoints, receipts. Needs no service.

Importing this needs blake3 and pynacl alone; the protobuf form of a receipt is in
`arenalab.proof.proto_form`. Whoever wants to verify with code of their own needs
what follows; tests/conformance/ledger has vectors, and a verifier of one page.

Hashes. Every hash is BLAKE3, 32 bytes. What is hashed begins with a byte that says
what it is, so that no leaf can pass for a node:

    leaf hash   BLAKE3(0x00 || leaf)
    node hash   BLAKE3(0x01 || left || right)
    empty root  BLAKE3("")

The tree over n > 1 leaves has at its left the largest power of two below n (RFC
9162, section 2.1.1); inclusion and consistency paths are those of sections 2.1.3
and 2.1.4, from the leaves up.

Notes. A signed note (c2sp.org/signed-note) is a text that ends in a newline, a blank
line and signature lines: an em dash, a space, the key's name, a space, and base64 of
the key hash (4 bytes) and the signature. A verifier key is NAME+HASH+BASE64, where
BASE64 is of a type byte and the 32 bytes of an Ed25519 public key, and HASH is the
first 4 bytes, in hexadecimal, of SHA-256(NAME || 0x0a || type || public key).

    type 0x01   a log: signs the text; its name is the log's origin
    type 0x04   a witness: see `cosignature`

Checkpoints (c2sp.org/tlog-checkpoint). The text has three lines: the origin, the
size in decimal, and the root in base64.

Receipts. A JSON object; bytes are in base64:

    leaf_index       number
    leaf             canonical JSON (RFC 8785)
    leaf_hash        as above
    inclusion_path   list of hashes, from the leaf up
    checkpoint       the note of a tree that holds the leaf
    log_public_key   the verifier key that signed it; trust the one known beforehand

Commitments. A leaf tells neither content nor subject. It holds, in hexadecimal, the
keyed BLAKE3 of a list of parts, each after its length in 8 bytes, big-endian; the key
is a salt of 32 random bytes:

    content   "content", its name, its text
    subject   "subject", the subject

Static files. `tiles` says how a whole log lies on a file server.
"""

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
