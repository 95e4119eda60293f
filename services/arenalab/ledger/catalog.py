"""Where every leaf of a log is: by number, by name, and by what it can be asked for by.

Of closed segments nothing but a few kilobytes each and the names' fingerprints is in
memory; the rest is in their index files. One thread adds, any may ask.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from arenalab.ledger.entry_index import EntryIndex
from arenalab.ledger.replay import Place
from arenalab.ledger.segment_index import OpenSegmentIndex, SegmentIndex


class Catalog:
    """The indexes of all segments, in order; the last one is open."""

    def __init__(self) -> None:
        """Starts without a segment."""
        self._segments: list[OpenSegmentIndex | SegmentIndex] = []
        self._firsts: list[int] = []
        self._names = EntryIndex()

    def __len__(self) -> int:
        """Returns how many segments there are."""
        return len(self._segments)

    def take(self, segment: OpenSegmentIndex | SegmentIndex) -> None:
        """Adds the next segment, with the entries that it has."""
        names = segment.entries() if isinstance(segment, SegmentIndex) else segment.entries
        for number, name in enumerate(names.tolist(), segment.first):
            self._names.add(name, number)
        self._segments.append(segment)
        self._firsts.append(segment.first)

    def add(self, offset: int, name: int, postings: Sequence[int], when_ns: int) -> None:
        """Adds the next entry to the last segment."""
        last = self.last
        index = last.first + last.count
        last.add(offset, name, postings, when_ns)
        self._names.add(name, index)

    @property
    def last(self) -> OpenSegmentIndex:
        """The segment that is being written."""
        last = self._segments[-1]
        assert isinstance(last, OpenSegmentIndex)  # noqa: S101 - only others are closed
        return last

    def opened(self, number: int) -> OpenSegmentIndex | None:
        """Returns a segment's index while it is in memory, else None."""
        segment = self._segments[number]
        return segment if isinstance(segment, OpenSegmentIndex) else None

    def close(self, number: int, index: SegmentIndex) -> None:
        """Puts the index file of a segment in the place of what was in memory."""
        self._segments[number] = index

    def place(self, leaf_index: int) -> Place:
        """Returns where an entry's line starts."""
        number = self.segment_of(leaf_index)
        return Place(number, self._segments[number].offset(leaf_index))

    def segment_of(self, leaf_index: int) -> int:
        """Returns the number of the segment that has a leaf."""
        # Segments may be empty: the last one that starts at or before the leaf has it.
        return bisect_right(self._firsts, leaf_index) - 1

    def first_leaf(self, number: int) -> int:
        """Returns the first leaf of a segment."""
        return self._firsts[number]

    def count(self, number: int) -> int:
        """Returns how many leaves a segment has."""
        return self._segments[number].count

    def times(self, number: int) -> tuple[int, int] | None:
        """Returns the earliest and the latest time in a segment, in nanoseconds."""
        return self._segments[number].times

    def named(self, name: int) -> Iterator[int]:
        """Yields the leaves under the fingerprint of a name."""
        return self._names.candidates(name)

    def find(self, posting: int) -> Iterator[int]:
        """Yields the leaves under a fingerprint, in order."""
        for segment in list(self._segments):
            yield from segment.find(posting)

    def indexed_until(self) -> int:
        """Returns the first leaf that has no index file behind it."""
        for segment in self._segments:
            if isinstance(segment, OpenSegmentIndex) and segment.count:
                return segment.first
        return self._firsts[-1] if self._firsts else 0

    def hashes(self, low: int, high: int) -> bytes:
        """Returns the hashes of the leaves [low, high), all in closed segments."""
        parts = []
        while low < high:
            number = self.segment_of(low)
            segment = self._segments[number]
            assert isinstance(segment, SegmentIndex)  # noqa: S101 - as the docstring asks
            end = min(high, segment.first + segment.count)
            parts.append(segment.hashes(low, end))
            low = end
        return b"".join(parts)
