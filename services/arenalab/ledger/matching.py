"""Whether an entry that comes again is the one that is there."""

from arenalab.ledger.entry import Entry, Private
from arenalab.ledger.line import EntryLine
from arenalab.mesh import InvalidInputError


def is_named(line: EntryLine, tenant: str, entry_id: str) -> bool:
    """Returns whether a line is the entry of that name."""
    fields = line.fields()
    return (fields["scope"], fields["entry_id"]) == (tenant, entry_id)


def is_sealed_as(line: EntryLine, private: Private | None, entry: Entry) -> bool:
    """Returns whether a line seals this entry.

    The trace is not compared: who sends an entry again may do so under another.

    Args:
        line: What is in the log.
        private: What lies beside the leaf, or None when it was erased: then only what
            is public can be compared.
        entry: What is asked to be sealed.
    """
    # As bytes, because Python holds True, 1 and 1.0 for equal.
    public = b',%b,"facts":%b,"index":%d,"kind":"%b",%b,"scope":' % (
        entry.before,
        entry.facts,
        line.index,
        entry.kind.encode(),
        entry.behind,
    )
    if public not in line.leaf:
        return False
    if private is None:
        return set(line.fields()["commitments"]) == set(entry.content)
    return (private.content, private.subject) == (entry.content, entry.subject)


def conflict(entry: Entry, leaf_index: int) -> InvalidInputError:
    """Returns the error of an entry id that is taken by another entry."""
    return InvalidInputError(
        f"entry_id {entry.entry_id!r} is leaf {leaf_index} already, and says something else",
        field="entry_id",
    )
