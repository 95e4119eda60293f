"""A collection at one moment: what a search reads, from its start to its end.

A change makes a new snapshot and puts it in the place of the old one, so that reading
needs no lock and a search never sees half a change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from arenalab.search.segment import Segment
from arenalab.search.stats import Stats, stats_of
from arenalab.search.store import Record


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The version's spans in one segment, those added since in a small one."""

    record: Record
    base: Segment
    delta: Segment  # always scanned
    base_added: int = 0  # spans of `base` that were added online and merged into it

    def __len__(self) -> int:
        return len(self.base) + len(self.delta)

    @property
    def segments(self) -> tuple[Segment, Segment]:
        return (self.base, self.delta)

    @property
    def added(self) -> int:
        """The number of spans that were added online."""
        return self.base_added + len(self.delta)

    @cached_property
    def stats(self) -> Stats:
        """Counts over both segments; computed once."""
        return stats_of([segment.columns for segment in self.segments])

    def rowids(self, ids: Sequence[str]) -> list[int | None]:
        """Returns the store's row of each span id, None for one that is not here."""
        found: list[int | None] = [None] * len(ids)
        for segment in self.segments:
            for place, row in enumerate(segment.columns.find(ids).tolist()):
                if row >= 0:
                    found[place] = int(segment.columns.rowids[row])
        return found
