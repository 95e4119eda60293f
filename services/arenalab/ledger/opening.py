"""Opening a log's directory: a new one gets its high-water mark, an old one is replayed.

Closed segments with an index that can be believed are not read line by line: their
leaf hashes must lead to the root of the checkpoint that ends them, and the file must
have the BLAKE3 it had. Where that leads to a problem, everything is read.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from arenalab.ledger.catalog import Catalog
from arenalab.ledger.high_water import create_high_water, read_high_water, read_notes
from arenalab.ledger.line import EntryLine, parse_line
from arenalab.ledger.packing import read_lines
from arenalab.ledger.replay import Place, Problem, Replay, Replayed
from arenalab.ledger.scan import scan_segment
from arenalab.ledger.segment_files import SegmentFiles, list_segments
from arenalab.ledger.segment_index import SegmentIndex, index_of_lines
from arenalab.mesh import PreconditionError, Reason
from arenalab.proof import (
    EMPTY_ROOT,
    Checkpoint,
    KeyRing,
    MerkleTree,
    NoteError,
    open_checkpoint,
    parse_checkpoint,
    split_note,
)


@dataclass(frozen=True, slots=True)
class Opened:
    """What is in a log's directory."""

    size: int
    note: str  # the last genuine checkpoint; empty for an empty log
    tree: MerkleTree
    catalog: Catalog  # without meaning where there is a problem
    end: Place  # of what was acknowledged
    content_end: int  # of the private parts, in that segment
    is_torn: bool  # something lies behind the end
    is_ahead: bool  # of the high-water mark: the last batch may never have been synced
    unindexed: list[tuple[int, str]]  # closed segments without an index; last checkpoint
    high_water: Checkpoint | None
    problem: Problem | None


def open_directory(directory: Path, keys: KeyRing, *, may_lag: bool = False) -> Opened:
    """Returns what is in the log, damage included; makes an empty log of a new directory.

    Args:
        directory: Locked by the caller.
        keys: The log's.
        may_lag: What the directory lacks up to its high-water mark is somewhere else.

    Raises:
        PreconditionError: MISSING_KEY; the log was signed by another key.
    """
    segments = list_segments(directory)
    mark = read_high_water(directory, keys.verifier_keys)
    if mark is None:
        _check_whose_it_is(directory, keys)
        if not segments:
            # Before the first segment, so that segments without a mark mean damage.
            empty = Checkpoint(keys.verifier_key.name, 0, EMPTY_ROOT)
            create_high_water(directory, keys.sign(empty.text()))
            mark = read_high_water(directory, keys.verifier_keys)
    opening = _Opening(segments, keys, mark[0] if mark else None, may_lag=may_lag)
    found = opening.run(use_indexes=True)
    return opening.run(use_indexes=False) if found.problem and opening.used_index else found


class _Opening:
    def __init__(
        self,
        segments: list[SegmentFiles],
        keys: KeyRing,
        high_water: Checkpoint | None,
        *,
        may_lag: bool,
    ) -> None:
        self._segments = segments
        self._keys = keys
        self._high_water = high_water
        self._may_lag = may_lag
        self.used_index = False

    def run(self, *, use_indexes: bool) -> Opened:
        catalog = Catalog()
        replay = Replay(self._open_note, MerkleTree(catalog.hashes))
        indexes: dict[int, SegmentIndex] = {}
        for number, files in enumerate(self._segments):
            is_last = number == len(self._segments) - 1
            if use_indexes and not is_last:
                index = SegmentIndex.load(files, replay.next_leaf)
                if index is not None and replay.take(number, files, index.scanned()):
                    indexes[number] = index
                    continue
            quick = scan_segment(files.lines, files.content, replay.next_leaf)
            if not replay.take(number, files, quick):
                replay.read(number, files)
        self.used_index = bool(indexes)
        found = replay.finish(self._segments, self._high_water, may_lag=self._may_lag)
        return self._opened(found, catalog, indexes)

    def _opened(
        self, found: Replayed, catalog: Catalog, indexes: dict[int, SegmentIndex]
    ) -> Opened:
        problem = found.problems[0] if found.problems else None
        unindexed: list[tuple[int, str]] = []
        if problem is None:
            for number, files in enumerate(self._segments):
                if number in indexes:
                    catalog.take(indexes[number])
                    continue
                first, offsets = found.first_leaves[number], found.offsets[number]
                lines = _entries_of(files, offsets)
                catalog.take(index_of_lines(min(first, found.size), offsets, lines))
                if offsets and number < len(self._segments) - 1:
                    unindexed.append((number, _last_note_of(files)))
            found.tree.forget_leaves(catalog.indexed_until())
        content_end = self._content_end(found, indexes) if problem is None else 0
        is_torn = bool(found.torn_bytes) or self._has_more_content(found.end, content_end)
        return Opened(
            found.size,
            found.note,
            found.tree,
            catalog,
            found.end,
            content_end,
            is_torn,
            self._high_water is not None and self._high_water.size < found.size,
            unindexed,
            self._high_water,
            problem,
        )

    def _content_end(self, found: Replayed, indexes: dict[int, SegmentIndex]) -> int:
        """Returns where the private parts end in the segment of the last checkpoint."""
        if not self._segments:
            return 0
        number = found.end.segment
        if number in indexes:
            index = indexes[number]
            offset = index.offset(index.first + index.count - 1)
        elif found.offsets[number]:
            offset = found.offsets[number][-1]
        else:
            return 0
        (last,) = _entries_of(self._segments[number], [offset])
        return last.offset + last.content_bytes

    def _has_more_content(self, end: Place, content_end: int) -> bool:
        """Whether private parts were written whose lines were not."""
        ends = {end.segment: content_end}
        return any(
            files.content.exists() and files.content.stat().st_size > ends.get(number, 0)
            for number, files in enumerate(self._segments)
            if number >= end.segment
        )

    def _open_note(self, note: str) -> Checkpoint:
        """Opens a note by signing its text again, which takes a third of verifying it."""
        text = note.rpartition("\n\n")[0] + "\n"
        if self._keys.sign(text) == note:
            return parse_checkpoint(text)
        return open_checkpoint(note, self._keys.verifier_keys)


def _entries_of(files: SegmentFiles, offsets: Iterable[int]) -> Iterator[EntryLine]:
    data = read_lines(files.lines)
    for offset in offsets:
        line = parse_line(data[offset : data.index(b"\n", offset) + 1])
        assert isinstance(line, EntryLine)  # noqa: S101 - it was one when it was replayed
        yield line


def _last_note_of(files: SegmentFiles) -> str:
    data = read_lines(files.lines)
    line = parse_line(data[data.rindex(b"\n", 0, -1) + 1 :])
    assert line is not None  # noqa: S101 - as above: a closed segment ends with a checkpoint
    assert not isinstance(line, EntryLine)  # noqa: S101
    return line.note


def _check_whose_it_is(directory: Path, keys: KeyRing) -> None:
    names = {(key.name, key.key_hash) for key in keys.verifier_keys}
    for note in read_notes(directory):
        try:
            signatures = split_note(note)[1]
        except NoteError:  # damage, which the replay reports
            continue
        name, key_hash, _ = signatures[0]
        if (name, key_hash) not in names:
            key = keys.verifier_key
            raise PreconditionError(
                f"the log in {directory} was signed by the key {name}+{key_hash.hex()},"
                f" not by {key.name}+{key.key_hash.hex()}",
                Reason.MISSING_KEY,
                key=f"{name}+{key_hash.hex()}",
            )
