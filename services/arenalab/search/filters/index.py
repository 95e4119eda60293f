"""Which rows of a segment pass a filter, and how many: exact, never estimated."""

from collections.abc import Sequence
from typing import Any, Final, Self

from pyroaring import FrozenBitMap

from arenalab.search.columns.columns import Columns
from arenalab.search.condition import Filter
from arenalab.search.filters.fields import VALUES, Fields
from arenalab.search.filters.recent import Recent
from arenalab.search.filters.values import united
from arenalab.search.index.bitmaps import NOTHING, bytes_of
from arenalab.search.index.selection import Selection

# What a kept selection may come to hold a row, in all the forms that engines ask for.
_KEPT_BYTES: Final = 64 << 20
_BYTES_A_ROW: Final = 5
_MOST_KEPT: Final = 256
_LEAST_KEPT: Final = 16

_NESTED: Final = frozenset({"all_of", "any_of", "none_of"})


class FilterIndex:
    """The filters of one segment's spans; what a field needs is made when it is first used.

    Nothing in it changes what it returns, so any number of threads may use it.
    """

    def __init__(self, columns: Columns, version: str) -> None:
        """Keeps its arguments.

        Args:
            columns: The fields of the spans.
            version: The origin of the spans that were not added online.
        """
        self._fields = Fields(columns, version)
        self._size = len(columns)
        kept = _KEPT_BYTES // max(1, _BYTES_A_ROW * self._size)
        kept = max(_LEAST_KEPT, min(kept, _MOST_KEPT))
        self._selections: Recent[Filter, Selection | None] = Recent(kept)
        self._counts: Recent[Filter, dict[str, int]] = Recent(_MOST_KEPT)

    @classmethod
    def of(cls, columns: Columns, version: str) -> Self:
        """Returns the filters of spans, of which those not added online are of `version`."""
        return cls(columns, version)

    def select(self, wanted: Filter, order: Sequence[str] = ()) -> Selection | None:
        """Returns the rows that pass; None stands for all of them.

        Args:
            wanted: The conditions.
            order: Names of conditions to evaluate first, in this order. It matters for
                speed, never for the result; without it the most selective comes first.
        """
        try:
            return self._selections[wanted]
        except KeyError:
            passing = self._passing(wanted, None, order)
            selection = None
            if passing is not None and len(passing) < self._size:
                selection = Selection(passing, self._size, wanted)
            self._selections[wanted] = selection
            return selection

    def knows(self, wanted: Filter) -> bool:
        """Returns whether `select` is a look-up."""
        return wanted in self._selections

    def count(self, wanted: Filter) -> int:
        """Returns how many rows pass."""
        names = list(wanted.conditions())
        if len(names) == 1 and names[0] not in _NESTED:
            return self._count_of(names[0], getattr(wanted, names[0]))
        selection = self.select(wanted)
        return self._size if selection is None else selection.count

    def counts_by_condition(self, wanted: Filter) -> dict[str, int]:
        """Returns how many rows pass each condition that is set, alone."""
        try:
            counts = self._counts[wanted]
        except KeyError:
            counts = {
                name: self.count(Filter(**{name: getattr(wanted, name)}))
                for name in wanted.conditions()
            }
            self._counts[wanted] = counts
        return dict(counts)

    @property
    def memory_bytes(self) -> int:
        """Bytes held beside the columns, by fields that were used and by kept selections."""
        kept = [one for one in self._selections.values() if one is not None]
        return self._fields.memory_bytes + sum(bytes_of(one.bitmap) for one in kept)

    def _passing(
        self, wanted: Filter, within: FrozenBitMap | None, order: Sequence[str] = ()
    ) -> FrozenBitMap | None:
        """Returns the rows of `within` that pass; None stands for all, there and here."""
        for name in self._ordered(wanted, order):
            if within is not None and not within:
                break
            within = self._narrowed(within, name, wanted)
        return within

    def _ordered(self, wanted: Filter, order: Sequence[str]) -> list[str]:
        names = list(wanted.conditions())
        if "not_before" in names and "before" in names:
            names.remove("before")  # both are one range
        if len(names) < 2:  # noqa: PLR2004 - one alone is in order
            return names
        places = {name: place for place, name in enumerate(order)}

        def key(name: str) -> tuple[int, int]:
            if name in places:
                return places[name], 0
            if name in _NESTED:
                return len(places), self._size
            return len(places), self._count_of(name, getattr(wanted, name))

        return sorted(names, key=key)

    def _count_of(self, name: str, value: Any) -> int:
        """Returns how many rows pass one condition that is not nested."""
        fields = self._fields
        if name in VALUES:
            rows, numbers = VALUES[name](fields, value)
            return rows.count(numbers)
        if name == "tags":
            return (
                fields.tags.count(value[0]) if len(value) == 1 else len(self._tagged(None, value))
            )
        if name == "min_quality":
            return fields.quality.count(value)
        start, end = (value, None) if name == "not_before" else (None, value)
        return fields.times.count(start, end)

    def _narrowed(
        self, within: FrozenBitMap | None, name: str, wanted: Filter
    ) -> FrozenBitMap | None:
        """Returns the rows of `within` that pass one condition; None stands for all."""
        if name in VALUES:
            rows, numbers = VALUES[name](self._fields, getattr(wanted, name))
            return _both(within, rows.bitmap(numbers))
        if name == "tags":
            return self._tagged(within, wanted.tags)
        if name == "min_quality":
            return self._fields.quality.narrowed(within, getattr(wanted, name))
        if name in _NESTED:
            return self._nested(within, name, getattr(wanted, name))
        return self._fields.times.narrowed(within, wanted.not_before, wanted.before)

    def _nested(
        self, within: FrozenBitMap | None, name: str, parts: Sequence[Filter]
    ) -> FrozenBitMap | None:
        if name == "all_of":
            for part in parts:
                within = self._passing(part, within)
            return within
        found = self._any(within, parts)
        if name == "any_of":
            return found
        if found is None:
            return NOTHING
        return (self._fields.all_rows if within is None else within) - found

    def _any(self, within: FrozenBitMap | None, parts: Sequence[Filter]) -> FrozenBitMap | None:
        found = []
        for part in parts:
            passing = self._passing(part, within)
            if passing is None or passing is within:
                return within
            found.append(passing)
        return united(found)

    def _tagged(self, within: FrozenBitMap | None, tags: Sequence[str]) -> FrozenBitMap:
        for tag in sorted(tags, key=self._fields.tags.count):
            within = _both(within, self._fields.tags.bitmap(tag))
        return NOTHING if within is None else within


def _both(within: FrozenBitMap | None, passing: FrozenBitMap) -> FrozenBitMap:
    return passing if within is None else within & passing
