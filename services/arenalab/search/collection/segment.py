"""Some spans, their vectors and what finds them.

A segment is never changed: to remove, hide or weigh spans, or to give it a better index,
makes another one that shares everything else and keeps the serial number.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from typing import Final, NamedTuple, Self

import numpy as np
from pyroaring import BitMap, FrozenBitMap

from arenalab.planning import Engine
from arenalab.search.collection.stats import Partial, partial_of
from arenalab.search.collection.tuning import Tuning
from arenalab.search.collection.words import Words
from arenalab.search.columns.columns import Columns
from arenalab.search.condition import Filter
from arenalab.search.filters import FilterIndex
from arenalab.search.filters.recent import Recent
from arenalab.search.index.exact import ExactIndex
from arenalab.search.index.protocol import FloatArray, VectorIndex
from arenalab.search.index.selection import BoolArray, IntArray, Selection
from arenalab.search.store.row import StoredRow

_serials = count(1)
_NONE: Final = FrozenBitMap()
# Selections kept while rows are gone; without such rows the filters keep their own. A
# large one may take ten bytes a row, in all the forms that engines ask for.
_KEPT_SELECTIONS: Final = 8


class Made(NamedTuple):
    """How an index came about."""

    build_s: float = 0.0
    disk_bytes: int = 0


_NOT_BUILT: Final = Made()


@dataclass(frozen=True, eq=False)
class Segment:
    """Spans by ascending id; row i of everything in it belongs to the same span."""

    columns: Columns
    filters: FilterIndex
    index: VectorIndex
    removed: FrozenBitMap = _NONE  # tombstones: spans that were deleted or replaced since
    hidden: FrozenBitMap = _NONE  # spans in quarantine
    serial: int = field(default_factory=lambda: next(_serials))
    made: Made = _NOT_BUILT
    tuning: Tuning = field(default_factory=Tuning)  # of the index
    words: Words = field(default_factory=Words)  # built when a search first asks for words
    _selections: Recent[Filter, Selection] = field(
        default_factory=lambda: Recent(_KEPT_SELECTIONS), init=False, repr=False
    )

    @classmethod
    def of(cls, columns: Columns, index: VectorIndex, version: str) -> Self:
        """Returns the segment of an index over the vectors of the columns' spans."""
        return cls(
            columns=columns,
            filters=FilterIndex.of(columns, version),
            index=index,
            hidden=FrozenBitMap(np.flatnonzero(columns.hidden).astype(np.uint32)),
        )

    @classmethod
    def of_rows(cls, rows: Sequence[StoredRow], vectors: FloatArray, version: str) -> Self:
        """Returns the segment of rows by ascending span id and their vectors."""
        return cls.of(Columns.of(rows), ExactIndex(vectors), version)

    def __len__(self) -> int:
        return len(self.columns)

    @cached_property
    def gone(self) -> FrozenBitMap:
        """The rows that no search may find."""
        return self.removed | self.hidden

    @cached_property
    def counted(self) -> Partial:
        """Counts of the rows that a search may find."""
        if not self.gone:
            return partial_of(self.columns)
        keep: BoolArray = np.ones(len(self), np.bool_)
        keep[np.array(self.gone.to_array(), np.int64)] = False
        return partial_of(self.columns.taken(keep))

    @property
    def live(self) -> int:
        """The number of spans that a search may find."""
        return len(self) - len(self.gone)

    @property
    def is_scanned(self) -> bool:
        """Whether there is no index but the exact scan."""
        return self.index.engine is Engine.EXACT

    def select(self, wanted: Filter, order: Sequence[str] = ()) -> Selection | None:
        """Returns the rows that pass and are not gone; None stands for all of them."""
        if not self.gone:
            return self.filters.select(wanted, order)
        try:
            return self._selections[wanted]
        except KeyError:
            passing = self.filters.select(wanted, order)
            if passing is None:
                rows = BitMap(self.gone)
                rows.flip_inplace(0, len(self))
                found = Selection(rows, len(self), wanted)
            else:
                found = Selection(passing.bitmap - self.gone, len(self), wanted)
            self._selections[wanted] = found
            return found

    def knows(self, wanted: Filter) -> bool:
        """Returns whether `select` is a look-up."""
        return wanted in self._selections if self.gone else self.filters.knows(wanted)

    def counts(self, wanted: Filter) -> dict[str, int]:
        """Returns how many spans that a search may find pass each condition alone."""
        if not self.gone:
            return self.filters.counts_by_condition(wanted)
        return {
            name: self._count(Filter(**{name: getattr(wanted, name)}))
            for name in wanted.conditions()
        }

    def _count(self, wanted: Filter) -> int:
        selected = self.select(wanted)
        return self.live if selected is None else selected.count

    def removing(self, rows: Sequence[int]) -> Self:
        """Returns the segment without some rows."""
        return replace(self, removed=self.removed | BitMap(rows))

    def hiding(self, rows: Sequence[int], *, hidden: bool) -> Self:
        """Returns the segment with some rows in quarantine, or out of it."""
        changed = BitMap(rows)
        return replace(self, hidden=self.hidden | changed if hidden else self.hidden - changed)

    def weighing(self, rows: IntArray, weights: FloatArray) -> Self:
        """Returns the segment with other weights for some rows."""
        return replace(self, columns=self.columns.with_weights(rows, weights))

    def with_index(self, index: VectorIndex, made: Made) -> Self:
        """Returns this segment with another index over the same vectors."""
        return replace(self, index=index, made=made, tuning=Tuning())

    def restored(
        self,
        *,
        removed: Sequence[int],
        hidden: Sequence[int],
        made: Made,
        tuning: Tuning,
        words: Words,
    ) -> Self:
        """Returns the segment in the state that a file tells of."""
        return replace(
            self,
            removed=FrozenBitMap(removed),
            hidden=FrozenBitMap(hidden),
            made=made,
            tuning=tuning,
            words=words,
        )

    @classmethod
    def merged(cls, segments: "Sequence[Segment]", version: str) -> "Segment":
        """Returns one segment of what is not removed of all, to be scanned."""
        parts = [segment.compact for segment in segments]
        columns, order = parts[0][0], np.arange(len(parts[0][0]))
        for other, _ in parts[1:]:
            columns, joined = columns.joined(other)
            order = np.concatenate([order, len(order) + np.arange(len(other))])[joined]
        vectors = np.concatenate([vectors for _, vectors in parts])
        in_order = len(parts) == 1
        return Segment.of(columns, ExactIndex(vectors if in_order else vectors[order]), version)

    @property
    def compact(self) -> tuple[Columns, FloatArray]:
        """The columns and vectors of the rows that are not removed, hidden as they are now."""
        keep: BoolArray = np.ones(len(self), np.bool_)
        keep[np.array(self.removed.to_array(), np.int64)] = False
        columns = self.columns.with_hidden(np.array(self.hidden.to_array(), np.int64))
        rows = np.flatnonzero(keep)
        return columns if keep.all() else columns.taken(keep), self.index.vectors(rows)
