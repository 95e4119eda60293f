"""Rows by what can be ordered: time and quality."""

from bisect import bisect_left
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import FrozenBitMap

from arenalab.search.bitmaps import (
    bitmap_of_mask,
    bitmap_of_rows,
    bitmap_of_sorted,
    bytes_of,
    rows_of,
)
from arenalab.search.condition import Instant
from arenalab.search.index.selection import BoolArray, IntArray

_BUCKET: Final = 10
_BUCKETS: Final = 11  # [0, 10), …, [90, 100), and 100 by itself
# To look a row up costs as much as taking in so many rows in order.
_LOOK_UP: Final = 4


class TimeOrder:
    """Rows by the time of their spans."""

    def __init__(self, seconds: IntArray, nanos: npt.NDArray[np.int32]) -> None:
        self._seconds = seconds
        self._nanos = nanos
        # Most ids tell the time, so most rows are in order already: a stable sort that
        # looks for such runs is several times as fast as any other here.
        self._order = np.lexsort((nanos, seconds)).astype(np.uint32)

    def count(self, start: Instant | None, end: Instant | None) -> int:
        """Returns how many rows are in [start, end)."""
        first, last = self._places(start, end)
        return last - first

    def narrowed(
        self, within: FrozenBitMap | None, start: Instant | None, end: Instant | None
    ) -> FrozenBitMap:
        """Returns the rows in [start, end), of those in `within` if that is given."""
        first, last = self._places(start, end)
        if within is not None and len(within) * _LOOK_UP < last - first:
            rows = rows_of(within)
            return bitmap_of_sorted(rows[self._passes(rows, start, end)])
        size = len(self._order)
        if 2 * (last - first) > size:
            mask = np.ones(size, np.bool_)
            mask[self._order[:first]] = False
            mask[self._order[last:]] = False
            found = bitmap_of_mask(mask)
        else:
            found = bitmap_of_rows(self._order[first:last], size)
        return found if within is None else within & found

    @property
    def memory_bytes(self) -> int:
        """Bytes held beside the times."""
        return int(self._order.nbytes)

    def _places(self, start: Instant | None, end: Instant | None) -> tuple[int, int]:
        first = 0 if start is None else self._place(start)
        last = len(self._order) if end is None else self._place(end)
        return first, max(first, last)

    def _place(self, instant: Instant) -> int:
        """Returns how many rows come before an instant."""

        def when(row: int) -> tuple[int, int]:
            return int(self._seconds[row]), int(self._nanos[row])

        return bisect_left(self._order, (instant.seconds, instant.nanos), key=when)

    def _passes(
        self, rows: npt.NDArray[np.uint32], start: Instant | None, end: Instant | None
    ) -> BoolArray:
        seconds, nanos = self._seconds[rows], self._nanos[rows]
        passes: BoolArray = np.ones(len(rows), np.bool_)
        if start is not None:
            passes &= ~_before(seconds, nanos, start)
        if end is not None:
            passes &= _before(seconds, nanos, end)
        return passes


def _before(seconds: IntArray, nanos: npt.NDArray[np.int32], instant: Instant) -> BoolArray:
    earlier: BoolArray = (seconds < instant.seconds) | (
        (seconds == instant.seconds) & (nanos < instant.nanos)
    )
    return earlier


class QualityBuckets:
    """Rows by their quality score, in [0, 100]; those without one (NaN) never pass."""

    def __init__(self, scores: npt.NDArray[np.float64]) -> None:
        self._scores = scores
        # Each holds the rows of its bucket and of all above, so that a bound on a
        # bucket's edge, as most are, is one look-up.
        self._from = [bitmap_of_mask(scores >= _BUCKET * bucket) for bucket in range(_BUCKETS)]

    def count(self, least: float) -> int:
        """Returns how many rows have a score of `least` or more."""
        bucket, is_edge = self._bucket(least)
        if is_edge:
            return len(self._from[bucket])
        rows = self._boundary(bucket)
        above = len(self._from[bucket + 1])
        return above + int(np.count_nonzero(self._scores[rows] >= least))

    def narrowed(self, within: FrozenBitMap | None, least: float) -> FrozenBitMap:
        """Returns the rows with a score of `least` or more, of those in `within` if given."""
        bucket, is_edge = self._bucket(least)
        if is_edge:
            found = self._from[bucket]
            return found if within is None else within & found
        if within is None:
            rows = self._boundary(bucket)
            return self._from[bucket + 1] | bitmap_of_rows(
                rows[self._scores[rows] >= least], len(self._scores)
            )
        boundary = rows_of((within & self._from[bucket]) - self._from[bucket + 1])
        exact = bitmap_of_rows(boundary[self._scores[boundary] >= least], len(self._scores))
        return (within & self._from[bucket + 1]) | exact

    @property
    def memory_bytes(self) -> int:
        """Bytes held beside the scores."""
        return sum(map(bytes_of, self._from))

    def _bucket(self, least: float) -> tuple[int, bool]:
        bucket = max(0, min(int(least // _BUCKET), _BUCKETS - 1))
        return bucket, least <= bucket * _BUCKET

    def _boundary(self, bucket: int) -> npt.NDArray[np.uint32]:
        return rows_of(self._from[bucket] - self._from[bucket + 1])
