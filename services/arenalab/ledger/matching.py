"""Whether an entry that comes again is the one that is there."""

import json
from typing import Any

from arenalab.ledger.entry import Entry, Private
from arenalab.ledger.line import EntryLine
from arenalab.mesh import InvalidInputError


def is_named(line: EntryLine, tenant: str, entry_id: str) -> bool:
    """Returns whether a line is the entry of that name."""
    return line.tenant == tenant and bool(json.loads(line.entry_id_json) == entry_id)


def is_sealed_as(line: EntryLine, private: Private | None, entry: Entry) -> bool:
    """Returns whether a line seals this entry.

    Args:
        line: What is in the log.
        private: What lies beside the leaf, or None when it was erased: then only what
            is public can be compared.
        entry: What is asked to be sealed.
    """
    leaf: dict[str, Any] = json.loads(line.leaf)
    # Facts as bytes, because Python holds True, 1 and 1.0 for equal.
    if leaf["kind"] != entry.kind or line.facts != entry.facts:
        return False
    if private is None:
        return set(leaf["content"]) == set(entry.content)
    return (private.content, private.subject) == (entry.content, entry.subject)


def conflict(entry: Entry, leaf_index: int) -> InvalidInputError:
    """Returns the error of an entry id that is taken by another entry."""
    return InvalidInputError(
        f"entry_id {entry.entry_id!r} is leaf {leaf_index} already, and says something else",
        field="entry_id",
    )
