"""Verification of an open log: all of it, or a range of leaves."""

from collections.abc import Iterator

from arenalab.ledger.log import Log
from arenalab.ledger.replay import MAX_PROBLEMS, Problem
from arenalab.ledger.scan import scan_segment
from arenalab.ledger.verify import Verification, verify_directory
from arenalab.mesh import InvalidInputError
from arenalab.proof import HASH_BYTES


def verify_open_log(log: Log) -> Verification:
    """Checks the whole log against its signatures, while it goes on taking entries."""
    keys = log.public_keys
    # What is being written now looks like a torn tail.
    found = verify_directory(log.directory, keys)
    return Verification(found.entries, found.checkpoints, found.problems, 0)


def verify_range(log: Log, first: int, end: int) -> Verification:
    """Checks the segments that have the leaves [first, end), against the tree in memory.

    Args:
        log: An open log.
        first: First leaf to check.
        end: Where to stop; 0 means the end of the log.

    Raises:
        InvalidInputError: Unless first <= end <= size.
    """
    size = log.head.size
    end = end or size
    if not 0 <= first <= end <= size:
        raise InvalidInputError(
            f"leaves must satisfy first <= end <= {size}, got {first} and {end}",
            field="first_leaf" if not 0 <= first <= end else "end_leaf",
        )
    problems: list[Problem] = []
    entries = checkpoints = 0
    for number in _segments_of(log, first, end):
        files = log.segment_files[number]
        quick = scan_segment(files.lines, files.content, log.catalog.first_leaf(number))
        last = min(quick.size, size)
        entries += last - quick.first
        checkpoints += len(quick.batches)
        sealed = log.tree.hashes(0, quick.first, last - quick.first)
        read = bytes(quick.hashes[: len(sealed)])
        expected = _end_of(log, number, size)
        if read != sealed:
            wrong = next(
                n for n in range(0, len(read), HASH_BYTES) if read[n : n + 32] != sealed[n : n + 32]
            )
            leaf = quick.first + wrong // HASH_BYTES
            problems.append(
                Problem(
                    files.lines.name,
                    log.catalog.place(leaf).offset,
                    leaf,
                    "the leaf is not what was sealed",
                )
            )
        elif last < expected:
            problems.append(
                Problem(
                    files.lines.name,
                    quick.batches[-1].end if quick.batches else 0,
                    last,
                    f"the segment is whole up to leaf {last}, should be up to {expected}",
                )
            )
    return Verification(entries, checkpoints, tuple(problems[:MAX_PROBLEMS]), 0)


def _segments_of(log: Log, first: int, end: int) -> Iterator[int]:
    if first < end:
        yield from range(log.catalog.segment_of(first), log.catalog.segment_of(end - 1) + 1)


def _end_of(log: Log, number: int, size: int) -> int:
    is_last = number == len(log.catalog) - 1
    return size if is_last else min(log.catalog.first_leaf(number + 1), size)
