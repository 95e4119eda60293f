"""A receipt holds offline, and no changed receipt does."""

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arenalab.proof import (
    Receipt,
    ReceiptError,
    Signer,
    content_commitment,
    leaf_hash,
    receipt_from_json,
    receipt_to_json,
    verify_content,
    verify_receipt,
)
from arenalab.proof.proto_form import receipt_from_proto, receipt_to_proto

from .conftest import SmallLog


def test_every_receipt_of_a_log_holds(small_log: SmallLog) -> None:
    for receipt in small_log.receipts:
        verify_receipt(receipt, small_log.public_key)


def test_a_receipt_survives_its_json_and_protobuf_forms(small_log: SmallLog) -> None:
    for receipt in small_log.receipts:
        text = json.dumps(receipt_to_json(receipt))
        assert receipt_from_json(json.loads(text)) == receipt
        assert receipt_from_proto(receipt_to_proto(receipt)) == receipt


def test_protobufs_own_json_is_read_too(small_log: SmallLog) -> None:
    first = receipt_to_json(small_log.receipts[0])
    del first["leaf_index"]
    assert receipt_from_json(first) == small_log.receipts[0]
    third = receipt_to_json(small_log.receipts[3]) | {"leaf_index": "3"}
    assert receipt_from_json(third) == small_log.receipts[3]


@pytest.mark.parametrize(
    "change",
    [
        lambda r: replace(r, leaf_index=r.leaf_index + 1),
        lambda r: replace(r, leaf_index=99),
        lambda r: replace(r, leaf=r.leaf + b" "),
        lambda r: replace(r, leaf=b"{}", leaf_hash=leaf_hash(b"{}")),
        lambda r: replace(r, leaf_hash=bytes(32)),
        lambda r: replace(r, leaf_hash=b""),
        lambda r: replace(r, inclusion_path=r.inclusion_path[1:]),
        lambda r: replace(r, inclusion_path=(*r.inclusion_path, bytes(32))),
        lambda r: replace(r, inclusion_path=(bytes(32), *r.inclusion_path[1:])),
        lambda r: replace(r, inclusion_path=(b"short", *r.inclusion_path[1:])),
        lambda r: replace(r, checkpoint=""),
        lambda r: replace(r, checkpoint=r.checkpoint.replace("\n7\n", "\n8\n")),
        lambda r: replace(r, checkpoint=r.checkpoint.replace("example", "Example")),
        lambda r: replace(r, log_public_key=""),
        lambda r: replace(r, log_public_key=str(Signer("example.org/log", bytes(32)).verifier_key)),
    ],
)
@pytest.mark.parametrize("index", [0, 2, 6])
def test_a_receipt_with_one_field_changed_is_refused(
    small_log: SmallLog, index: int, change: object
) -> None:
    assert callable(change)
    with pytest.raises(ReceiptError):
        verify_receipt(change(small_log.receipts[index]), small_log.public_key)


def test_a_receipt_signed_by_somebody_else_is_refused(small_log: SmallLog) -> None:
    theirs = Signer("example.org/log", bytes(32))
    receipt = small_log.receipts[1]
    text = receipt.checkpoint.split("\n\n")[0] + "\n"
    forged = replace(receipt, checkpoint=theirs.sign(text), log_public_key=str(theirs.verifier_key))
    verify_receipt(forged, str(theirs.verifier_key))
    with pytest.raises(ReceiptError, match="another log"):
        verify_receipt(forged, small_log.public_key)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_receipt_file_with_one_byte_changed_is_refused_or_means_the_same(
    small_log: SmallLog, data: st.DataObject
) -> None:
    receipt = small_log.receipts[4]
    text = json.dumps(receipt_to_json(receipt)).encode()
    position = data.draw(st.integers(0, len(text) - 1))
    changed = bytearray(text)
    changed[position] ^= data.draw(st.integers(1, 255))
    try:
        read = receipt_from_json(json.loads(bytes(changed)))
        verify_receipt(read, small_log.public_key)
    except (ReceiptError, ValueError):
        return
    assert read == receipt


@pytest.mark.parametrize(
    "change",
    [
        {"leaf_index": -1},
        {"leaf_index": True},
        {"leaf_index": "x"},
        {"leaf_index": 1.5},
        {"leaf": None},
        {"leaf": "*"},
        {"leaf_hash": 3},
        {"inclusion_path": "AAAA"},
        {"inclusion_path": {"0": "AAAA"}},
        {"inclusion_path": [1]},
        {"checkpoint": 1},
        {"log_public_key": None},
    ],
)
def test_a_json_value_of_another_type_is_refused(
    small_log: SmallLog, change: dict[str, object]
) -> None:
    with pytest.raises(ReceiptError):
        receipt_from_json(receipt_to_json(small_log.receipts[0]) | change)
    with pytest.raises(ReceiptError):
        receipt_from_json([change])


def test_receipts_are_values(small_log: SmallLog) -> None:
    assert isinstance(small_log.receipts[0], Receipt)
    assert len(set(small_log.receipts)) == len(small_log.receipts)


def test_a_receipt_proves_the_very_text() -> None:
    salt = b"s" * 32
    leaf = json.dumps(
        {"commitments": {"answer": content_commitment(salt, "answer", "Yes.")}}
    ).encode()
    receipt = Receipt(0, leaf, b"", (), "", "")
    verify_content(receipt, salt, "answer", "Yes.")
    for forged in ((salt, "answer", "No."), (b"t" * 32, "answer", "Yes."), (salt, "x", "Yes.")):
        with pytest.raises(ReceiptError):
            verify_content(receipt, *forged)
    with pytest.raises(ReceiptError, match="32 bytes"):
        verify_content(receipt, b"short", "answer", "Yes.")
