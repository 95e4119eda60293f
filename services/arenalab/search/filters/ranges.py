"""Rows by what can be ordered: time and quality."""

from bisect import bisect_left
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import FrozenBitMap

from arenalab.atomic.instant import NS_PER_S
from arenalab.search.condition import Instant
from arenalab.search.index.bitmaps import (
    bitmap_of_mask,
    bitmap_of_sorted,
    bytes_of,
    rows_of,
)
from arenalab.search.index.selection import BoolArray, IntArray

_BUCKET: Final = 10
_BUCKETS: Final = 11  # [0, 10), …, [90, 100), and 100 by itself
# To look a row up costs as much as taking in so many rows in order.
_LOOK_UP: Final = 4
# From this share of all rows on, to check every row costs less than to sort those found.
_DENSE: Final = 32
_EVERY: Final = slice(None)
# Seconds whose nanoseconds fit 64 bits: the years 1678 to 2261.
_MAX_KEY_S: Final = 9_200_000_000


class TimeOrder:
    """Rows by the time of their spans."""

    def __init__(self, seconds: IntArray, nanos: npt.NDArray[np.int32]) -> None:
        self._seconds = seconds
        self._nanos = nanos
        self._order = _order(seconds, nanos).astype(np.uint32)

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
        if (last - first) * _DENSE > len(self._order):
            found = bitmap_of_mask(self._passes(_EVERY, start, end))
        else:
            found = bitmap_of_sorted(np.sort(self._order[first:last]))
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
        self,
        rows: npt.NDArray[np.uint32] | slice,
        start: Instant | None,
        end: Instant | None,
    ) -> BoolArray:
        seconds, nanos = self._seconds[rows], self._nanos[rows]
        passes: BoolArray = np.ones(len(seconds), np.bool_)
        if start is not None:
            passes = ~_before(seconds, nanos, start)
        if end is not None:
            passes &= _before(seconds, nanos, end)
        return passes


def _order(seconds: IntArray, nanos: npt.NDArray[np.int32]) -> IntArray:
    if len(seconds) and seconds.min() > -_MAX_KEY_S and seconds.max() < _MAX_KEY_S:
        # One number a row is sorted ten times as fast as two.
        return np.argsort(seconds * NS_PER_S + nanos)
    return np.lexsort((nanos, seconds))


def _before(seconds: IntArray, nanos: npt.NDArray[np.int32], instant: Instant) -> BoolArray:
    earlier: BoolArray = seconds < instant.seconds
    if instant.nanos:  # most instants are whole seconds
        earlier |= (seconds == instant.seconds) & (nanos < instant.nanos)
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
        return int(np.count_nonzero(self._scores >= least))

    def narrowed(self, within: FrozenBitMap | None, least: float) -> FrozenBitMap:
        """Returns the rows with a score of `least` or more, of those in `within` if given."""
        bucket, is_edge = self._bucket(least)
        if is_edge:
            found = self._from[bucket]
        elif within is not None and len(within) * _DENSE < len(self._scores):
            # Those of the buckets above need no look at their scores.
            above = within & self._from[bucket + 1]
            rows = rows_of((within & self._from[bucket]) - above)
            return above | bitmap_of_sorted(rows[self._scores[rows] >= least])
        else:
            found = bitmap_of_mask(self._scores >= least)
        return found if within is None else within & found

    @property
    def memory_bytes(self) -> int:
        """Bytes held beside the scores."""
        return sum(map(bytes_of, self._from))

    def _bucket(self, least: float) -> tuple[int, bool]:
        bucket = max(0, min(int(least // _BUCKET), _BUCKETS - 1))
        return bucket, least <= bucket * _BUCKET
