"""The rows of an index that a search may return, in each form that an engine needs."""

from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap, FrozenBitMap

from arenalab.search.condition import Filter
from arenalab.search.index.bitmaps import bitmap_of_rows

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class Selection:
    """Some rows among `size`; never changed, so that each form is computed once."""

    def __init__(
        self, bitmap: BitMap | FrozenBitMap, size: int, condition: Filter | None = None
    ) -> None:
        """Keeps its arguments.

        Args:
            bitmap: The rows, each in [0, size). Not to be changed afterwards.
            size: The number of rows of the index.
            condition: A filter that all of these rows pass, for engines that keep the
                fields of spans themselves. Rows that pass it may be missing here (they
                were removed), so what such an engine finds is still to be checked.
        """
        self.bitmap = bitmap
        self.size = size
        self.condition = condition

    @classmethod
    def of_rows(cls, rows: npt.ArrayLike, size: int) -> Self:
        """Returns the selection of row numbers in any order."""
        return cls(bitmap_of_rows(np.asarray(rows, np.uint32), size), size)

    @cached_property
    def count(self) -> int:
        """How many rows are selected."""
        return len(self.bitmap)

    @property
    def share(self) -> float:
        """The share of all rows that is selected, in [0, 1]; 0 of an empty index."""
        return self.count / self.size if self.size else 0.0

    @cached_property
    def rows(self) -> IntArray:
        """The rows, ascending, shape (count,)."""
        return np.array(self.bitmap.to_array(), np.int64)

    @cached_property
    def mask(self) -> BoolArray:
        """One flag a row, shape (size,)."""
        mask = np.zeros(self.size, np.bool_)
        mask[self.rows] = True
        return mask

    @cached_property
    def bits(self) -> npt.NDArray[np.uint8]:
        """The flags packed, eight a byte, the lowest bit first: as faiss reads them."""
        return np.packbits(self.mask, bitorder="little")
