"""Bitmaps out of arrays equal those that pyroaring makes of the same rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import FrozenBitMap

from arenalab.search.index.bitmaps import bitmap_of_mask, bitmap_of_rows, bytes_of, rows_of

_CONTAINER = 1 << 16
_SIZES = st.sampled_from([0, 1, 100, _CONTAINER - 1, _CONTAINER, _CONTAINER + 1, 3 * _CONTAINER])


@pytest.mark.slow
@settings(deadline=None)
@given(_SIZES, st.data())
def test_a_mask_becomes_the_bitmap_of_its_rows(size: int, data: st.DataObject) -> None:
    mask = np.zeros(size, np.bool_)
    for _ in range(data.draw(st.integers(0, 3))):
        start = data.draw(st.integers(0, size))
        mask[start : start + data.draw(st.sampled_from([1, 4095, 4096, 4097, _CONTAINER]))] = True
    rows = np.flatnonzero(mask)
    expected = FrozenBitMap(rows.tolist())
    assert bitmap_of_mask(mask) == expected
    assert bitmap_of_rows(rows[::-1], size) == expected
    assert rows_of(bitmap_of_mask(mask)).tolist() == rows.tolist()


@pytest.mark.parametrize("step", [1, 15, 16, 17, 100])
def test_containers_of_any_density_are_read_back(step: int) -> None:
    mask = np.zeros(2 * _CONTAINER + 5, np.bool_)
    mask[::step] = True
    found = bitmap_of_mask(mask)
    assert found == FrozenBitMap(range(0, len(mask), step))
    assert 0 < bytes_of(found) <= 3 * 8192
