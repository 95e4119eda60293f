"""Erasing a subject: its key is destroyed, and that it was is sealed as a leaf."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from arenalab.ledger.entry import Entry, checked_entry
from arenalab.ledger.log import Log
from arenalab.mesh import NotFoundError, Reason
from arenalab.proof import Receipt


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did."""

    entries: int
    receipt: Receipt


def erase(log: Log, seal: Callable[[Entry], Receipt], tenant: str, subject: str) -> Erased:
    """Destroys a subject's key, then seals that it was.

    The key goes first: if sealing then fails, nothing can be read any more and the
    same call, made again, seals what is missing. The leaf names the key, not the
    subject.

    Raises:
        NotFoundError: UNKNOWN_LEAF; the subject has no content.
        MeshError: What the log raises.
    """
    log.check()
    key_ids = log.subjects.destroy(tenant, subject)
    entries = sum(map(log.entries_of_key, key_ids))
    if not entries:
        for key_id in key_ids:  # made for a batch that was then refused
            log.subjects.confirm_erased(key_id)
        raise NotFoundError(f"the subject has no content in {tenant!r}", Reason.UNKNOWN_LEAF)
    receipt = None
    for key_id in key_ids:
        receipt = seal(_leaf(tenant, key_id, log.entries_of_key(key_id)))
        log.subjects.confirm_erased(key_id)
    assert receipt is not None  # noqa: S101 - there are entries, so there is a key
    return Erased(entries, receipt)


def _leaf(tenant: str, key_id: bytes, entries: int) -> Entry:
    return checked_entry(
        tenant=tenant,
        entry_id=f"erasure-{key_id.hex()}",
        kind="erasure",
        facts_json=json.dumps({"entries": entries, "key_id": key_id.hex()}),
        content={},
    )
