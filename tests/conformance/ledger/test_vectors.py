"""The published vectors hold for a verifier that shares no code with us, and no others do."""

import ast
import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arenalab.proof import (
    ReceiptError,
    WitnessKey,
    WitnessPolicy,
    content_commitment,
    receipt_from_json,
    verify_content,
    verify_receipt,
)
from tests.conformance.ledger import independent_verifier, make_vectors

VERIFIER = Path(independent_verifier.__file__)
VECTORS: dict[str, Any] = json.loads(make_vectors.PATH.read_text())


def test_the_published_file_is_what_is_made() -> None:
    assert make_vectors.PATH.read_text() == make_vectors.as_text()


def test_the_verifier_is_independent_and_short() -> None:
    source = VERIFIER.read_text()
    assert len(source.splitlines()) <= 60
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    assert imported == {"base64", "blake3", "hashlib", "json", "nacl.signing", "sys", "typing"}


def test_the_independent_verifier_accepts_the_vectors() -> None:
    independent_verifier.verify(VECTORS)
    with make_vectors.PATH.open() as file:
        subprocess.run([sys.executable, str(VERIFIER)], stdin=file, check=True, timeout=60)  # noqa: S603 - our own


Step = str | int


def scalars(value: Any, way: tuple[Step, ...] = ()) -> Iterator[tuple[Step, ...]]:
    """Yields the way to every text and number."""
    if isinstance(value, dict | list):
        steps: Any = value.items() if isinstance(value, dict) else enumerate(value)
        for step, below in steps:
            yield from scalars(below, (*way, step))
    else:
        yield way


def damages(value: str | int) -> Iterator[str | int]:
    if isinstance(value, int):
        yield from (value + 1, value - 1)
        return
    yield value + "0"
    for at in {0, len(value) // 3, len(value) // 2, len(value) - 1} if value else ():
        yield value[:at] + ("1" if value[at] == "0" else "0") + value[at + 1 :]
        yield value[:at] + value[at + 1 :]


@pytest.mark.slow
def test_vectors_with_any_one_field_damaged_are_refused() -> None:
    ways = list(scalars(VECTORS))
    assert len(ways) > 300
    count = 0
    for *above, last in ways:
        damaged = copy.deepcopy(VECTORS)
        parent: Any = damaged
        for step in above:
            parent = parent[step]
        whole = parent[last]
        for parent[last] in damages(whole):
            count += 1
            try:
                independent_verifier.verify(damaged)
            except Exception:  # noqa: BLE001, S112 - any will do
                continue
            pytest.fail(f"{[*above, last]} may be {parent[last]!r}")
    assert count > 2000


def test_our_own_verifier_agrees_on_the_receipt() -> None:
    receipt, keys = receipt_from_json(VECTORS["receipt"]), VECTORS["keys"]
    verify_receipt(receipt, keys["verifier_keys"])
    policy = WitnessPolicy((WitnessKey.parse(keys["witness_key"]),), 1)
    assert list(policy.verify(receipt.checkpoint).values()) == [keys["time"]]
    [_, name, text] = VECTORS["commitments"][0]["parts"]
    salt = bytes.fromhex(VECTORS["commitments"][0]["salt"])
    verify_content(receipt, salt, name, text)
    assert content_commitment(salt, name, text) == VECTORS["commitments"][0]["value"]
    with pytest.raises(ReceiptError):
        verify_content(receipt, salt, name, text + " ")
