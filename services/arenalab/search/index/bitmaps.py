"""Roaring bitmaps out of numpy arrays, without a Python object a row.

pyroaring reads any array as an iterable: 30 ns a row. A bitmap's portable form is
written from a mask by numpy at a fiftieth of that, and an `array.array` is read at a
tenth.

Source: https://github.com/RoaringBitmap/RoaringFormatSpec
"""

from array import array
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap, FrozenBitMap

_COOKIE: Final = 12346  # of the form without runs
_CONTAINER_ROWS: Final = 1 << 16
_CONTAINER_BYTES: Final = _CONTAINER_ROWS // 8
_MAX_LISTED: Final = 4096  # rows of a container that are listed; with more, it is bits
# From this share of all rows on, a mask is made faster than the rows are sorted.
_DENSE: Final = 64

NOTHING: Final = FrozenBitMap()


def bitmap_of_rows(rows: npt.NDArray[np.integer[Any]], size: int) -> FrozenBitMap:
    """Returns the bitmap of rows in any order, each in [0, size)."""
    if len(rows) * _DENSE > size > _CONTAINER_ROWS:
        mask = np.zeros(size, np.bool_)
        mask[rows] = True
        return bitmap_of_mask(mask)
    return bitmap_of_sorted(np.sort(rows))


def bitmap_of_sorted(rows: npt.NDArray[np.integer[Any]]) -> FrozenBitMap:
    """Returns the bitmap of rows in ascending order."""
    return FrozenBitMap(array("I", rows.astype(np.uint32, copy=False).tobytes()))


def bitmap_of_mask(mask: npt.NDArray[np.bool_]) -> FrozenBitMap:
    """Returns the bitmap of the rows that are marked."""
    heads: list[int] = []
    containers: list[bytes] = []
    for start in range(0, len(mask), _CONTAINER_ROWS):
        part = mask[start : start + _CONTAINER_ROWS]
        count = int(np.count_nonzero(part))
        if count:
            heads += [start // _CONTAINER_ROWS, count - 1]
            containers.append(_container(part, count))
    count = len(containers)
    first = 8 + 8 * count
    ends = np.cumsum([first, *map(len, containers)]) if containers else np.empty(1)
    form = (
        np.array([_COOKIE, count], "<u4").tobytes()
        + np.array(heads, "<u2").tobytes()
        + ends[:-1].astype("<u4").tobytes()
        + b"".join(containers)
    )
    return FrozenBitMap.deserialize(form)


def _container(part: npt.NDArray[np.bool_], count: int) -> bytes:
    if count <= _MAX_LISTED:
        return np.flatnonzero(part).astype("<u2").tobytes()
    return np.packbits(part, bitorder="little").tobytes().ljust(_CONTAINER_BYTES, b"\0")


def rows_of(bitmap: BitMap | FrozenBitMap) -> npt.NDArray[np.uint32]:
    """Returns the rows of a bitmap, ascending."""
    return np.array(bitmap.to_array(), np.uint32)


def bytes_of(bitmap: BitMap | FrozenBitMap) -> int:
    """Returns the memory that a bitmap's containers take."""
    facts = bitmap.get_statistics()
    return (
        facts["n_bytes_array_containers"]
        + facts["n_bytes_run_containers"]
        + facts["n_bytes_bitset_containers"]
    )
