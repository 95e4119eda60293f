"""Which rows have which values: bitmaps of the common ones, lists of the rare ones."""

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from pyroaring import FrozenBitMap

from arenalab.search.columns.coded import Coded, Postings, RowArray
from arenalab.search.filters.texts import Texts
from arenalab.search.index.bitmaps import (
    NOTHING,
    bitmap_of_mask,
    bitmap_of_rows,
    bitmap_of_sorted,
    bytes_of,
)
from arenalab.search.index.selection import IntArray

# Values with fewer rows are made into a bitmap each time they are asked for: it takes
# microseconds, and there may be as many of them as rows.
_COMMON_ROWS: Final = 1024
# With more values than this, marking the rows of all is faster than joining them.
_MANY_VALUES: Final = 256


class _Parts(NamedTuple):
    common: dict[int, FrozenBitMap]
    rare: RowArray  # the rows of all rare values, by value
    starts: IntArray  # where each value's rows start there, and the end


class CodedRows:
    """The rows of each value of a field that has one value a row."""

    def __init__(self, codes: npt.NDArray[np.integer[Any]], values: int) -> None:
        """Keeps its arguments; bitmaps are made when they are first asked for.

        Args:
            codes: A number a row, each in [0, values).
            values: How many numbers there are.
        """
        self._codes = codes
        self._counts: IntArray = np.bincount(codes, minlength=values)

    @property
    def values(self) -> int:
        """Every value is less than this."""
        return len(self._counts)

    def count(self, numbers: Collection[int]) -> int:
        """Returns how many rows have one of some values."""
        if len(numbers) == 1:
            return int(self._counts[next(iter(numbers))])
        return int(self._counts[list(numbers)].sum()) if numbers else 0

    def bitmap(self, numbers: Collection[int]) -> FrozenBitMap:
        """Returns the rows that have one of some values."""
        if len(numbers) > _MANY_VALUES:
            table = np.zeros(len(self._counts), np.bool_)
            table[list(numbers)] = True
            return bitmap_of_mask(table[self._codes])
        common, rare, starts = self._parts
        found = [common[number] for number in numbers if number in common]
        lists = [rare[starts[n] : starts[n + 1]] for n in numbers if n not in common]
        if lists:
            found.append(bitmap_of_rows(np.concatenate(lists), len(self._codes)))
        return united(found)

    @property
    def memory_bytes(self) -> int:
        """Bytes held beside the codes."""
        held = int(self._counts.nbytes)
        if "_parts" in vars(self):
            common, rare, starts = self._parts
            held += sum(map(bytes_of, common.values())) + int(rare.nbytes + starts.nbytes)
        return held

    @cached_property
    def _parts(self) -> _Parts:
        order = np.argsort(self._codes, kind="stable").astype(np.uint32)
        ends = np.cumsum(self._counts)
        is_common = self._counts >= _COMMON_ROWS
        common = {
            number: bitmap_of_sorted(order[ends[number] - self._counts[number] : ends[number]])
            for number in np.flatnonzero(is_common).tolist()
        }
        rare_counts = np.where(is_common, 0, self._counts)
        starts = np.concatenate([[0], np.cumsum(rare_counts)])
        if common:
            order = order[np.repeat(~is_common, self._counts)]
        return _Parts(common, order, starts)


class TextRows:
    """The rows of each text of a field that has one text a row."""

    def __init__(self, coded: Coded) -> None:
        self._texts = Texts(coded.values)
        self._rows = CodedRows(coded.codes, len(coded.values))

    def equal(self, wanted: Sequence[str]) -> tuple[CodedRows, set[int]]:
        """Returns the rows, and the numbers of the texts that are among some."""
        return self._rows, self._texts.equal(wanted)

    def within(self, ancestors: Sequence[str]) -> tuple[CodedRows, set[int]]:
        """Returns the rows, and the numbers of the texts that are or lie below some paths."""
        return self._rows, self._texts.within(ancestors)

    def with_words(self, words: Sequence[str]) -> tuple[CodedRows, set[int]]:
        """Returns the rows, and the numbers of the texts that have all of some words."""
        return self._rows, self._texts.with_words(words)

    @property
    def memory_bytes(self) -> int:
        """Bytes held beside the column."""
        return self._texts.memory_bytes + self._rows.memory_bytes


class TagRows:
    """The rows of each tag; a row may have several."""

    def __init__(self, postings: Postings) -> None:
        self._postings = postings
        self._common: dict[str, FrozenBitMap] = {}

    def count(self, tag: str) -> int:
        """Returns how many rows have a tag."""
        number = self._postings.numbers.get(tag)
        return 0 if number is None else len(self._postings.rows_of(number))

    def bitmap(self, tag: str) -> FrozenBitMap:
        """Returns the rows that have a tag."""
        found = self._common.get(tag)
        if found is None:
            number = self._postings.numbers.get(tag)
            if number is None:
                return NOTHING
            rows = self._postings.rows_of(number)
            found = bitmap_of_sorted(rows)
            if len(rows) >= _COMMON_ROWS:
                self._common[tag] = found
        return found

    @property
    def memory_bytes(self) -> int:
        """Bytes held beside the postings."""
        return sum(bytes_of(bitmap) for bitmap in list(self._common.values()))


def united(bitmaps: Sequence[FrozenBitMap]) -> FrozenBitMap:
    """Returns the rows that are in any of some bitmaps."""
    if len(bitmaps) == 1:
        return bitmaps[0]
    return FrozenBitMap.union(*bitmaps) if bitmaps else NOTHING
