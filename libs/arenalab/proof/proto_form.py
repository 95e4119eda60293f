"""The protobuf form of a receipt."""

from arenalab.api.common.v1 import receipt_pb2
from arenalab.proof.receipt import Receipt


def receipt_to_proto(receipt: Receipt) -> receipt_pb2.Receipt:
    """Returns the message that travels between services."""
    return receipt_pb2.Receipt(
        leaf_index=receipt.leaf_index,
        leaf=receipt.leaf,
        leaf_hash=receipt.leaf_hash,
        inclusion_path=receipt.inclusion_path,
        checkpoint=receipt.checkpoint,
        log_public_key=receipt.log_public_key,
    )


def receipt_from_proto(message: receipt_pb2.Receipt) -> Receipt:
    """Returns the receipt of a message; nothing is checked before `verify_receipt`."""
    return Receipt(
        leaf_index=message.leaf_index,
        leaf=message.leaf,
        leaf_hash=message.leaf_hash,
        inclusion_path=tuple(message.inclusion_path),
        checkpoint=message.checkpoint,
        log_public_key=message.log_public_key,
    )
