"""A log as static files in the C2SP tlog-tiles layout."""

from collections.abc import Iterator

from arenalab.ledger.log import Log
from arenalab.mesh import InvalidInputError
from arenalab.proof import CHECKPOINT_PATH, export_files


def changed_files(log: Log, first_size: int) -> Iterator[tuple[str, bytes]]:
    """Yields path and content of the files that a log has more than at a size before.

    The checkpoint comes last: whoever writes the files in this order never shows a
    checkpoint without what it answers for.

    Raises:
        InvalidInputError: The log is smaller than `first_size`.
        DataLossError: CORRUPT_LEDGER.
    """
    log.check()
    head = log.head
    if first_size > head.size:
        raise InvalidInputError(
            f"first_size must be at most {head.size}, got {first_size}", field="first_size"
        )

    def leaves(low: int, high: int) -> list[bytes]:
        return [line.leaf for line in log.lines(low, high)]

    yield from export_files(head.size, first_size, log.tree.hashes, leaves)
    if head.note:
        yield CHECKPOINT_PATH, head.note.encode()
