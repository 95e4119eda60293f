"""What finds the rows of a segment by each field; each is made when it is first used."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
from pyroaring import FrozenBitMap

from arenalab.search.columns.columns import Columns
from arenalab.search.condition import ONLINE
from arenalab.search.filters.ranges import QualityBuckets, TimeOrder
from arenalab.search.filters.values import CodedRows, TagRows, TextRows
from arenalab.search.index.bitmaps import bitmap_of_mask, bytes_of


class Fields:
    """The fields of one segment's spans."""

    def __init__(self, columns: Columns, version: str) -> None:
        self._columns = columns
        self._version = version

    @cached_property
    def domains(self) -> TextRows:
        """By domain."""
        return TextRows(self._columns.domains)

    @cached_property
    def actions(self) -> TextRows:
        """By action, and by its words."""
        return TextRows(self._columns.actions)

    @cached_property
    def sources(self) -> TextRows:
        """By source."""
        return TextRows(self._columns.sources)

    @cached_property
    def creatures(self) -> TextRows:
        """By creature."""
        return TextRows(self._columns.creatures)

    @cached_property
    def statuses(self) -> CodedRows:
        """By number of the status."""
        return CodedRows(self._columns.statuses, 1)

    @cached_property
    def origins(self) -> CodedRows:
        """By whether a span was added online."""
        return CodedRows(self._columns.online.view(np.uint8), 2)

    @cached_property
    def tags(self) -> TagRows:
        """By tag."""
        return TagRows(self._columns.tags)

    @cached_property
    def times(self) -> TimeOrder:
        """By time."""
        return TimeOrder(self._columns.when_s, self._columns.when_ns)

    @cached_property
    def quality(self) -> QualityBuckets:
        """By quality score."""
        return QualityBuckets(self._columns.quality)

    @cached_property
    def all_rows(self) -> FrozenBitMap:
        """Every row."""
        return bitmap_of_mask(np.ones(len(self._columns), np.bool_))

    def with_statuses(self, wanted: Sequence[int]) -> tuple[CodedRows, set[int]]:
        """Returns the rows by status, and the numbers that occur among some."""
        return self.statuses, {number for number in wanted if 0 <= number < self.statuses.values}

    def with_origins(self, wanted: Sequence[str]) -> tuple[CodedRows, set[int]]:
        """Returns the rows by origin, and the numbers of those that are among some."""
        numbers = {self._version: 0, ONLINE: 1}
        return self.origins, {numbers[origin] for origin in wanted if origin in numbers}

    @property
    def memory_bytes(self) -> int:
        """Bytes held beside the columns, for the fields that were used."""
        held = [part for name, part in vars(self).items() if not name.startswith("_")]
        return sum(
            bytes_of(part) if isinstance(part, FrozenBitMap) else part.memory_bytes for part in held
        )


# The conditions on fields of one value a row: the rows, and the numbers that are meant.
VALUES: Final[Mapping[str, Callable[[Fields, Any], tuple[CodedRows, set[int]]]]] = {
    "domains": lambda fields, wanted: fields.domains.within(wanted),
    "actions": lambda fields, wanted: fields.actions.equal(wanted),
    "action_words": lambda fields, wanted: fields.actions.with_words(wanted),
    "sources": lambda fields, wanted: fields.sources.equal(wanted),
    "creatures": lambda fields, wanted: fields.creatures.equal(wanted),
    "statuses": Fields.with_statuses,
    "origins": Fields.with_origins,
}
