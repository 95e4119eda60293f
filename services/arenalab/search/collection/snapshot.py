"""A collection at one moment: what a search reads, from its start to its end.

A change makes a new snapshot and puts it in the place of the old one, so that reading
needs no lock and a search never sees half a change.
"""

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from arenalab.search.collection.segment import Segment
from arenalab.search.collection.stats import Stats, stats_of
from arenalab.search.columns.ids import texts_of
from arenalab.search.condition import Filter
from arenalab.search.index.protocol import FloatArray
from arenalab.search.store.span_store import Record

# A new segment takes in the one before it while that is at most so many times as large:
# each span is copied a few times in its life, and few segments are left to search.
_GROWTH: Final = 4


class Place(NamedTuple):
    """Where a span is."""

    segment: int
    row: int


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Segments that share no span: the large one of the version first, newer ones after it."""

    record: Record
    segments: tuple[Segment, ...]

    def __len__(self) -> int:
        return sum(segment.live for segment in self.segments)

    @property
    def base(self) -> Segment:
        """The first segment."""
        return self.segments[0]

    @property
    def newer(self) -> int:
        """The number of spans outside the first segment."""
        return sum(segment.live for segment in self.segments[1:])

    @property
    def loose(self) -> tuple[Segment, ...]:
        """The newer segments that are scanned."""
        return tuple(segment for segment in self.segments[1:] if segment.is_scanned)

    @cached_property
    def added(self) -> int:
        """The number of spans that were added online."""
        return sum(
            int(np.count_nonzero(segment.columns.online))
            - int(np.count_nonzero(segment.columns.online[segment.gone.to_array()]))
            for segment in self.segments
        )

    @property
    def hidden(self) -> int:
        """The number of spans in quarantine."""
        return sum(len(segment.hidden - segment.removed) for segment in self.segments)

    @cached_property
    def stats(self) -> Stats:
        """Counts over all segments; computed once."""
        return stats_of([segment.counted for segment in self.segments])

    def counts(self, wanted: Filter) -> tuple[int, list[tuple[str, int]]]:
        """Returns how many spans pass a filter, and each of its conditions alone, fewest first."""
        matches = 0
        by_condition: Counter[str] = Counter()
        for segment in self.segments:
            selection = segment.select(wanted)
            matches += segment.live if selection is None else selection.count
            by_condition.update(segment.counts(wanted))
        return matches, sorted(by_condition.items(), key=lambda item: (item[1], item[0]))

    def places(self, ids: Sequence[str]) -> list[Place | None]:
        """Returns where each span is, None for one that is not here."""
        found: list[Place | None] = [None] * len(ids)
        for number, segment in enumerate(self.segments):
            for at, row in enumerate(segment.columns.find(ids).tolist()):
                if row >= 0 and row not in segment.removed:
                    found[at] = Place(number, row)
        return found

    def rowids(self, ids: Sequence[str]) -> list[int | None]:
        """Returns the store's row of each span id, None for one that is not here."""
        return [None if place is None else self.rowid(place) for place in self.places(ids)]

    def rowid(self, place: Place) -> int:
        """Returns the store's row of a span."""
        return int(self.segments[place.segment].columns.rowids[place.row])

    def vector(self, place: Place) -> FloatArray:
        """Returns the vector of a span, in full precision: shape (dimension,)."""
        vector: FloatArray = self.segments[place.segment].index.vectors(np.array([place.row]))[0]
        return vector

    def weight(self, place: Place) -> float:
        """Returns how much a span counts."""
        return float(self.segments[place.segment].columns.weights[place.row])

    def is_hidden(self, place: Place) -> bool:
        """Returns whether a span is in quarantine."""
        return place.row in self.segments[place.segment].hidden

    def adding(self, arrived: Segment, limit: int, sealed: Container[int] = ()) -> "Snapshot":
        """Returns the snapshot with one segment more, joined with small ones before it.

        Args:
            arrived: The new segment.
            limit: Spans beyond which segments are not joined.
            sealed: Serial numbers of segments that are being merged elsewhere.
        """
        segments = list(self.segments)
        while len(segments) > 1:
            last = segments[-1]
            if (
                not last.is_scanned
                or last.serial in sealed
                or len(last) > _GROWTH * len(arrived)
                or len(last) + len(arrived) > limit
            ):
                break
            arrived = Segment.merged([segments.pop(), arrived], self.record.version)
        return replace(self, segments=(*segments, arrived))

    def removing(self, places: Sequence[Place]) -> "Snapshot":
        """Returns the snapshot without some spans."""
        return self._changed(places, lambda segment, rows: segment.removing(rows))

    def hiding(self, places: Sequence[Place], *, hidden: bool) -> "Snapshot":
        """Returns the snapshot with some spans in quarantine, or out of it."""
        return self._changed(places, lambda segment, rows: segment.hiding(rows, hidden=hidden))

    def weighing(self, weights: Mapping[Place, float]) -> "Snapshot":
        """Returns the snapshot with other weights for some spans."""
        by_segment: dict[int, dict[int, float]] = {}
        for place, weight in weights.items():
            by_segment.setdefault(place.segment, {})[place.row] = weight

        def weigh(number: int, segment: Segment) -> Segment:
            rows = by_segment.get(number)
            if rows is None:
                return segment
            values = np.array(list(rows.values()), np.float32)
            return segment.weighing(np.array(list(rows), np.int64), values)

        return replace(
            self, segments=tuple(weigh(n, segment) for n, segment in enumerate(self.segments))
        )

    def _changed(
        self, places: Sequence[Place], change: Callable[[Segment, list[int]], Segment]
    ) -> "Snapshot":
        segments = []
        for number, segment in enumerate(self.segments):
            rows = [place.row for place in places if place.segment == number]
            segments.append(change(segment, rows) if rows else segment)
        # A newer segment of which nothing is left is not searched for nothing.
        kept = [one for one in segments[1:] if len(one.removed) < len(one)]
        return replace(self, segments=(segments[0], *kept))

    def improved(self, before: Sequence[Segment], after: Segment) -> "Snapshot | None":
        """Returns the snapshot with one segment in the place of some.

        What was removed, hidden or weighed while `after` was made is done to it too.

        Args:
            before: The segments as they were when `after` was begun.
            after: Their spans in one segment.

        Returns:
            None where one of them is not served any more.
        """
        serials = {segment.serial for segment in before}
        now = [segment for segment in self.segments if segment.serial in serials]
        if len(now) != len(serials):
            return None
        first = self.segments.index(now[0])
        for old, new in zip(before, now, strict=True):
            after = _caught_up(after, old, new)
        left = [segment for segment in self.segments if segment.serial not in serials]
        left.insert(first, after)
        return replace(self, segments=tuple(left))


def _caught_up(after: Segment, old: Segment, new: Segment) -> Segment:
    """Returns `after` with what changed between two states of a segment that it came from."""

    def rows(of: Sequence[int]) -> list[int]:
        ids = texts_of(new.columns.ids[list(of)])
        return [row for row in after.columns.find(ids).tolist() if row >= 0]

    if removed := list(new.removed - old.removed):
        after = after.removing(rows(removed))
    if hidden := list(new.hidden - old.hidden):
        after = after.hiding(rows(hidden), hidden=True)
    if shown := list(old.hidden - new.hidden):
        after = after.hiding(rows(shown), hidden=False)
    weighed = np.flatnonzero(new.columns.weights != old.columns.weights)
    weighed = weighed[~np.isin(weighed, np.array(new.removed.to_array(), np.int64))]
    if len(weighed):
        after = after.weighing(np.array(rows(weighed.tolist())), new.columns.weights[weighed])
    return after
