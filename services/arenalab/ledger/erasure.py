"""Erasing a subject: its key is destroyed, and that it was is sealed as a leaf."""

import json
from collections.abc import Callable, Sequence
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


def erase(
    logs: Sequence[Log], seal: Callable[[Entry], Receipt], tenant: str, subject: str
) -> Erased:
    """Destroys a subject's key, then seals that it was.

    The key goes first: if sealing then fails, nothing can be read any more and the
    same call, made again, seals what is missing. The leaf names the key, not the
    subject.

    Args:
        logs: Every log of the scope; they share their subjects' keys.
        seal: Appends to the one that takes entries.
        tenant: The scope.
        subject: Whose content is to be erased.

    Raises:
        NotFoundError: UNKNOWN_LEAF; the subject has no content.
        MeshError: What the log raises.
    """
    for log in logs:
        log.check()
    subjects = logs[-1].subjects
    entries = {
        key_id: sum(log.entries_of_key(key_id) for log in logs)
        for key_id in subjects.destroy(tenant, subject)
    }
    receipt = None
    for key_id, count in entries.items():
        if count:  # else it was made for a batch that was then refused
            receipt = seal(_leaf(tenant, key_id, count))
        subjects.confirm_erased(key_id)
    if receipt is None:
        raise NotFoundError(f"the subject has no content in {tenant!r}", Reason.UNKNOWN_LEAF)
    return Erased(sum(entries.values()), receipt)


def _leaf(tenant: str, key_id: bytes, entries: int) -> Entry:
    return checked_entry(
        tenant=tenant,
        entry_id=f"erasure-{key_id.hex()}",
        kind="erasure",
        facts_json=json.dumps({"entries": entries, "key_id": key_id.hex()}),
        content={},
    )
