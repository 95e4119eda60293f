"""The receipt: one small file that proves, without any service, that a leaf is in the log."""

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from arenalab.proof.errors import ProofError, ReceiptError
from arenalab.proof.merkle import leaf_hash, verify_inclusion
from arenalab.proof.note import VerifierKey, open_checkpoint


@dataclass(frozen=True, slots=True)
class Receipt:
    """A leaf, its way up the tree, and the signed checkpoint of that tree."""

    leaf_index: int
    leaf: bytes  # canonical JSON
    leaf_hash: bytes
    inclusion_path: tuple[bytes, ...]  # from the leaf up
    checkpoint: str  # signed note
    log_public_key: str  # verifier key


def verify_receipt(receipt: Receipt, public_keys: str | Iterable[str]) -> None:
    """Checks a receipt offline, against the log's verifier keys as known beforehand.

    Args:
        receipt: What the log handed out.
        public_keys: "name+hash+base64", one or all that the log signed with in its
            time. Taking the one in the receipt would prove nothing: anybody can sign
            with a key of their own.

    Raises:
        ReceiptError: The message says which part does not hold.
    """
    trusted = (public_keys,) if isinstance(public_keys, str) else tuple(public_keys)
    if receipt.log_public_key not in trusted:
        raise ReceiptError("the receipt names another log's public key")
    if leaf_hash(receipt.leaf) != receipt.leaf_hash:
        raise ReceiptError("the leaf does not have the receipt's leaf hash")
    try:
        keys = [VerifierKey.parse(key) for key in trusted]
        checkpoint = open_checkpoint(receipt.checkpoint, keys)
        verify_inclusion(
            receipt.leaf_index,
            checkpoint.size,
            receipt.leaf_hash,
            receipt.inclusion_path,
            checkpoint.root,
        )
    except ProofError as error:
        raise ReceiptError(str(error)) from error


def receipt_to_json(receipt: Receipt) -> dict[str, object]:
    """Returns the JSON form: the proto's field names, bytes in base64, the index a number."""
    return {
        "leaf_index": receipt.leaf_index,
        "leaf": _encode(receipt.leaf),
        "leaf_hash": _encode(receipt.leaf_hash),
        "inclusion_path": [_encode(node) for node in receipt.inclusion_path],
        "checkpoint": receipt.checkpoint,
        "log_public_key": receipt.log_public_key,
    }


def receipt_from_json(value: object) -> Receipt:
    """Reads `receipt_to_json`'s form.

    What protobuf's own JSON mapping writes is read too: an index as decimal text,
    and defaults left out. Unknown keys are skipped.

    Raises:
        ReceiptError: A field is missing or of another type.
    """
    if not isinstance(value, Mapping):
        raise ReceiptError("a receipt must be a JSON object")
    path = value.get("inclusion_path", [])
    if isinstance(path, str) or not isinstance(path, Sequence):
        raise ReceiptError("inclusion_path must be a list")
    return Receipt(
        leaf_index=_index(value.get("leaf_index", 0)),
        leaf=_bytes("leaf", value.get("leaf")),
        leaf_hash=_bytes("leaf_hash", value.get("leaf_hash")),
        inclusion_path=tuple(_bytes("inclusion_path", node) for node in path),
        checkpoint=_text("checkpoint", value.get("checkpoint")),
        log_public_key=_text("log_public_key", value.get("log_public_key")),
    )


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _index(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:  # noqa: PLR2004 - the digits of 2^64
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ReceiptError("leaf_index must be a whole number")


def _text(field: str, value: object) -> str:
    if not isinstance(value, str):
        raise ReceiptError(f"{field} must be text")
    return value


def _bytes(field: str, value: object) -> bytes:
    try:
        return base64.b64decode(_text(field, value), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ReceiptError(f"{field} must be base64") from error
