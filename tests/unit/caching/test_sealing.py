"""Values that lie where others can write: only what was sealed for a key is read for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.caching.sealing import Seal

SEAL = Seal(b"secret")
EXPIRY = 1_800_000_000.25


@given(st.binary(max_size=40), st.binary(max_size=200))
def test_what_is_sealed_is_opened_with_its_expiry(key: bytes, value: bytes) -> None:
    assert SEAL.open(key, SEAL.close(key, value, EXPIRY)) == (value, EXPIRY)


@given(st.binary(max_size=60), st.data())
def test_a_changed_bit_anywhere_makes_it_unreadable(value: bytes, data: st.DataObject) -> None:
    sealed = bytearray(SEAL.close(b"key", value, EXPIRY))
    place = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[place // 8] ^= 1 << place % 8
    assert SEAL.open(b"key", bytes(sealed)) is None


@given(st.binary(max_size=60))
def test_bytes_of_somebody_else_are_not_read(planted: bytes) -> None:
    assert SEAL.open(b"key", planted) is None


def test_a_value_is_of_its_key_and_its_secret_alone() -> None:
    sealed = SEAL.close(b"tenant a", b"words", EXPIRY)
    assert SEAL.open(b"tenant b", sealed) is None
    assert Seal(b"other").open(b"tenant a", sealed) is None
    # What one key ends with is not what a value may begin with.
    assert SEAL.open(b"tenant", sealed) is None
    with pytest.raises(ValueError, match="must not be empty"):
        Seal(b"")
