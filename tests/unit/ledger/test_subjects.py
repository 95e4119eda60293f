"""Subjects' keys are kept until they are destroyed, and then they are nowhere."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from arenalab.ledger.key_file import NAME, KeyFile
from arenalab.ledger.key_records import RECORD_BYTES
from arenalab.ledger.subjects import SubjectKeys
from arenalab.mesh import DataLossError, Reason

ANN, BOB = ("default", "ann"), ("default", "bob")
Opening = Callable[[], SubjectKeys]


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Opening]:
    left: list[SubjectKeys] = []
    draw = random.Random(1).randbytes

    def opening() -> SubjectKeys:
        while left:
            left.pop().close()
        left.append(SubjectKeys(KeyFile(tmp_path, draw), draw))
        return left[-1]

    yield opening
    while left:
        left.pop().close()


def test_a_subject_has_one_key_of_its_own_that_lasts(keys: Opening) -> None:
    first = keys().ensure([ANN, BOB, ("other", "ann")])
    assert len({key.key for key in first.values()}) == 3
    again = keys()
    assert again.ensure(list(first)) == first
    for key in first.values():
        assert again.find(key.key_id) == key


def test_a_destroyed_key_is_nowhere(keys: Opening, tmp_path: Path) -> None:
    store = keys()
    ann = store.ensure([ANN, BOB])[ANN]
    assert store.destroy(*ANN) == [ann.key_id]
    for path in tmp_path.iterdir():
        assert ann.key not in path.read_bytes()
    for opened in (store, keys()):
        assert opened.find(ann.key_id) is None
        assert opened.find(opened.ensure([BOB])[BOB].key_id) is not None


def test_a_subject_that_comes_back_gets_a_new_key(keys: Opening) -> None:
    store = keys()
    old = store.ensure([ANN])[ANN]
    store.destroy(*ANN)
    new = store.ensure([ANN])[ANN]
    assert new.key_id != old.key_id
    assert store.find(old.key_id) is None
    assert set(store.destroy(*ANN)) == {old.key_id, new.key_id}


def test_an_erasure_is_told_again_until_it_is_confirmed(keys: Opening) -> None:
    ann = keys().ensure([ANN])[ANN]
    assert keys().destroy(*ANN) == [ann.key_id]
    store = keys()
    assert store.destroy(*ANN) == [ann.key_id]
    store.confirm_erased(ann.key_id)
    assert store.destroy(*ANN) == []
    assert keys().destroy(*ANN) == []
    assert keys().find(ann.key_id) is None


def test_the_file_does_not_name_subjects(keys: Opening, tmp_path: Path) -> None:
    keys().ensure([("default", "a-very-private-name")])
    assert b"a-very-private-name" not in (tmp_path / NAME).read_bytes()


def test_an_unknown_key_is_damage_not_an_erasure(keys: Opening) -> None:
    with pytest.raises(DataLossError) as caught:
        keys().find(bytes(16))
    assert caught.value.reason is Reason.CORRUPT_LEDGER


@pytest.mark.parametrize("tail", [b"x" * 50, bytes(RECORD_BYTES), bytes(RECORD_BYTES + 3)])
def test_a_torn_record_is_dropped(keys: Opening, tmp_path: Path, tail: bytes) -> None:
    before = keys().ensure([ANN])
    path = tmp_path / NAME
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    assert keys().ensure([ANN]) == before
    assert path.read_bytes() == whole


@pytest.mark.parametrize("offset", [0, RECORD_BYTES + 3, 2 * RECORD_BYTES - 1])
def test_a_changed_record_is_reported_with_its_offset(
    keys: Opening, tmp_path: Path, offset: int
) -> None:
    keys().ensure([ANN])
    path = tmp_path / NAME
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataLossError) as caught:
        keys()
    start = offset // RECORD_BYTES * RECORD_BYTES
    assert caught.value.metadata == {"file": NAME, "offset": str(start)}
