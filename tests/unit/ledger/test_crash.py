"""A writer that is killed at any moment has lost nothing it acknowledged."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from arenalab.ledger.verify import verify_directory
from arenalab.proof import (
    Receipt,
    open_checkpoint,
    receipt_from_json,
    verify_consistency,
    verify_receipt,
)

from .conftest import PUBLIC_KEY, SIGNER, open_log

WRITER = Path(__file__).with_name("writer.py")


def write_until_killed(directory: Path, first: int, lines: int) -> list[Receipt]:
    """Returns the receipts that a writer printed before it was killed with SIGKILL."""
    command = [sys.executable, str(WRITER), str(directory), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:  # noqa: S603 - our own script
        assert writer.stdout is not None
        read = [writer.stdout.readline() for _ in range(lines)]
        writer.kill()
        read += writer.stdout.readlines()
    return [receipt_from_json(json.loads(line)) for line in read if line.endswith(b"\n")]


@pytest.mark.slow
def test_every_acknowledged_entry_survives_kills(tmp_path: Path) -> None:
    receipts: list[Receipt] = []
    for kill, lines in enumerate((1, 7, 60, 200)):
        receipts += write_until_killed(tmp_path / "log", 100_000 * kill, lines)
        log = open_log(tmp_path / "log")
        assert log.damage is None
        newest = open_checkpoint(log.head.note, SIGNER.verifier_key)
        for receipt in receipts:
            verify_receipt(receipt, PUBLIC_KEY)
            entry_id = json.loads(receipt.leaf)["entry_id"]
            assert log.find("default", entry_id) == receipt.leaf_index
            stored = log.get("default", receipt.leaf_index)
            assert stored.leaf == receipt.leaf
            assert stored.private is not None
            assert stored.private.content == {"answer": entry_id[1:]}
        for note in {receipt.checkpoint for receipt in receipts}:
            older = open_checkpoint(note, SIGNER.verifier_key)
            path, second = log.consistency(older.size, 0)
            verify_consistency(older.size, second, older.root, newest.root, path)
        log.close()
        assert verify_directory(tmp_path / "log", PUBLIC_KEY).valid
    assert len(receipts) >= 268
