"""Batches that come from a storage elsewhere are believed as little as a file is.

A storage may be changed by whoever runs it. Each batch must hold leaves with the
hashes beside them, private parts with the hashes that the leaves bind, and end with a
checkpoint that one of the log's keys signed over exactly the tree that results.
"""

from collections.abc import Collection
from dataclasses import dataclass

from arenalab.ledger.line import EntryLine, parse_line, time_ns
from arenalab.ledger.scan import scan
from arenalab.ledger.segment_index import Keywords, fingerprint
from arenalab.ledger.store import StoredBatch
from arenalab.mesh import DataLossError, Reason
from arenalab.proof import Checkpoint, MerkleTree, NoteError, VerifierKey, open_checkpoint


@dataclass(frozen=True, slots=True)
class ArrivedEntry:
    """What the catalog keeps of an entry."""

    offset: int  # of its line, in the batch
    name: int  # fingerprint
    postings: list[int]
    when_ns: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """A batch that holds."""

    note: str
    entries: list[ArrivedEntry]


def check_arrival(batch: StoredBatch, tree: MerkleTree, keys: Collection[VerifierKey]) -> Arrived:
    """Adds the leaves of a batch to the tree, once all of it holds; returns what it has.

    Raises:
        DataLossError: CORRUPT_LEDGER; something does not hold, and the tree is as it was.
    """
    size = tree.size
    found = scan(batch.lines, memoryview(batch.content), size, batch.content_offset)
    if not found.is_whole or len(found.batches) != 1:
        raise _refused(batch, f"leaf {found.size} or one behind it is not what was sealed")
    note = found.batches[0].note
    tree.extend(bytes(found.hashes))
    try:
        checkpoint = open_checkpoint(note, keys)
    except NoteError as error:
        tree.truncate(size)
        raise _refused(batch, f"the checkpoint does not hold: {error}") from error
    if (checkpoint.size, checkpoint.root) != (tree.size, tree.root()):
        tree.truncate(size)
        message = f"leaves {size} to {found.size - 1} do not give the root that was signed"
        raise _refused(batch, message)
    return Arrived(note, [_entry(batch.lines, offset) for offset in found.offsets])


def check_caught_up(mark: Checkpoint | None, tree: MerkleTree) -> None:
    """Makes sure that the log, with what came, is the one that was acknowledged here.

    Raises:
        DataLossError: CORRUPT_LEDGER; it is shorter, or another one.
    """
    if mark is None or not mark.size:
        return
    if mark.size > tree.size:
        raise DataLossError(
            f"the log ends after {tree.size} leaves, but {mark.size} were sealed",
            Reason.CORRUPT_LEDGER,
        )
    if tree.root(mark.size) != mark.root:
        raise DataLossError(
            f"the first {mark.size} of {tree.size} leaves are not those that were sealed",
            Reason.CORRUPT_LEDGER,
        )


def _entry(lines: bytes, offset: int) -> ArrivedEntry:
    line = parse_line(lines[offset : lines.index(b"\n", offset) + 1])
    if not isinstance(line, EntryLine):
        raise DataLossError("a line of the log is not whole", Reason.CORRUPT_LEDGER)
    fields = line.fields()
    name = fingerprint("entry", fields["scope"], fields["entry_id"])
    return ArrivedEntry(
        offset, name, Keywords.of_line(line).fingerprints(), time_ns(fields["time"])
    )


def _refused(batch: StoredBatch, message: str) -> DataLossError:
    return DataLossError(f"{batch.name}: {message}", Reason.CORRUPT_LEDGER, file=batch.name)
