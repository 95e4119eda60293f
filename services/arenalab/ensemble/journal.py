"""Entries that the ledger could not take, kept on disk until it can.

One serialised AppendRequest a line, in base64. A line is acknowledged after
fsync. A torn last line was never acknowledged and is dropped.
"""

import base64
import binascii
import contextlib
from collections.abc import Sequence
from pathlib import Path

from google.protobuf.message import DecodeError

from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.durable import append, remove_left_over, replace
from arenalab.mesh import BudgetSpentError, tenant_of


class Journal:
    """A bounded, durable queue of ledger entries; one process writes it."""

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._limit = limit
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_left_over(path)
        self._entries = self._read()

    def __len__(self) -> int:
        return len(self._entries)

    def pending(self) -> Sequence[ledger_pb.AppendRequest]:
        """Returns the entries that wait, oldest first."""
        return tuple(self._entries)

    def add(self, entry: ledger_pb.AppendRequest) -> None:
        """Keeps `entry` durably.

        Raises:
            BudgetSpentError: `limit` entries wait already.
            OSError: The disk is full; nothing was kept.
        """
        if len(self._entries) >= self._limit:
            raise BudgetSpentError(
                f"{self._limit} answers wait to be sealed already", queue="unsealed"
            )
        append(self._path, _line(entry))
        self._entries.append(entry)

    def remove_first(self, count: int) -> None:
        """Forgets the oldest `count` entries, once the ledger has them."""
        self._rewrite(self._entries[count:])

    def erase(self, tenant: str, subject: str) -> int:
        """Takes the content from a subject's entries; returns how many there were.

        They are still sealed: that something was said at that time, and from which
        spans, stays true.

        Raises:
            OSError: The disk is full; nothing was erased.
        """
        theirs = [
            tenant_of(entry.scope) == tenant and entry.subject == subject for entry in self._entries
        ]
        if any(theirs):
            self._rewrite(
                [
                    _without_content(entry) if is_theirs else entry
                    for entry, is_theirs in zip(self._entries, theirs, strict=True)
                ]
            )
        return sum(theirs)

    def _rewrite(self, left: list[ledger_pb.AppendRequest]) -> None:
        replace(self._path, b"".join(map(_line, left)))
        self._entries = left

    def _read(self) -> list[ledger_pb.AppendRequest]:
        if not self._path.exists():
            return []
        entries = []
        whole = self._path.read_bytes()
        lines = whole.split(b"\n")
        for line in lines[:-1]:
            with contextlib.suppress(DecodeError, binascii.Error):
                entries.append(
                    ledger_pb.AppendRequest.FromString(base64.b64decode(line, validate=True))
                )
        if lines[-1]:
            with self._path.open("r+b") as file:
                file.truncate(len(whole) - len(lines[-1]))
        return entries


def _line(entry: ledger_pb.AppendRequest) -> bytes:
    return base64.b64encode(entry.SerializeToString(deterministic=True)) + b"\n"


def _without_content(entry: ledger_pb.AppendRequest) -> ledger_pb.AppendRequest:
    bare = ledger_pb.AppendRequest()
    bare.CopyFrom(entry)
    for name in ("content", "subject", "content_salt"):
        bare.ClearField(name)
    return bare
