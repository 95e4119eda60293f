"""Logs in a temporary directory, with a clock and randomness that repeat."""

import random
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from arenalab.ledger.disk import Disk
from arenalab.ledger.entry import Entry, checked_entry
from arenalab.ledger.local_storage import LocalStorage
from arenalab.ledger.log import Log, Rolling
from arenalab.proof import KeyRing, Signer

ORIGIN = "example.org/log"
START_NS = 1_767_225_600_000_000_123
SIGNER = Signer(ORIGIN, bytes(range(32)))
PUBLIC_KEY = str(SIGNER.verifier_key)

OpenLog = Callable[..., Log]


def an_entry(
    entry_id: str = "e1",
    *,
    tenant: str = "default",
    kind: str = "prediction",
    facts_json: str = '{"route":"memory"}',
    content: dict[str, str] | None = None,
    subject: str = "",
    **fields: Any,
) -> Entry:
    return checked_entry(
        tenant=tenant,
        entry_id=entry_id,
        kind=kind,
        facts_json=facts_json,
        content={"question": "Why?", "answer": "So."} if content is None else content,
        subject=subject,
        **fields,
    )


def open_log(
    directory: Path,
    segment_bytes: int = 1 << 20,
    signer: Signer = SIGNER,
    disk: Disk | None = None,
    *,
    compress: bool = False,
) -> Log:
    ticks = count(START_NS)
    # A new seed for each opening: an erased key must not come again.
    seed = sum(path.stat().st_size for path in directory.glob("*")) if directory.exists() else 0
    return Log(
        directory,
        KeyRing(signer),
        now_ns=lambda: next(ticks),
        random=random.Random(seed).randbytes,
        rolling=Rolling(size_bytes=segment_bytes, compress=compress),
        storage=LocalStorage(disk),
    )


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenLog]:
    """Opens logs, in `tmp_path / "log"` by default, and closes what is left open."""
    logs: list[Log] = []

    def opening(directory: Path = tmp_path / "log", segment_bytes: int = 1 << 20) -> Log:
        while logs:
            logs.pop().close()
        logs.append(open_log(directory, segment_bytes))
        return logs[-1]

    yield opening
    for log in logs:
        log.close()
