"""Columns: built, joined, taken, changed, and the same again from their files."""

from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.search.columns.coded import Coded
from arenalab.search.columns.columns import Columns
from arenalab.search.columns.ids import ids_of, read_ids, texts_of
from arenalab.search.store.row import StoredRow
from tests.unit.search import stored_rows as some

_PLAIN = ("rowids", "statuses", "when_s", "when_ns", "quality", "outcomes", "weights")
_FLAGS = ("online", "hidden")


def contents(columns: Columns) -> dict[str, Any]:
    """Returns all that columns say, whatever numbers stand for the texts."""
    said: dict[str, Any] = {"ids": texts_of(columns.ids)}
    for name in (*_PLAIN, *_FLAGS):
        # As text: NaN differs from itself.
        said[name] = [repr(value) for value in getattr(columns, name).tolist()]
    for name in ("domains", "actions", "sources", "creatures"):
        coded: Coded = getattr(columns, name)
        said[name] = [coded.values[code] for code in coded.codes.tolist()]
        assert set(coded.values) == set(said[name])
    said["tags"] = {tag: columns.tags[tag].tolist() for tag in columns.tags}
    return said


@pytest.mark.slow
@settings(deadline=None)
@given(some.stored_rows)
def test_columns_say_what_the_rows_say(rows: list[StoredRow]) -> None:
    said = contents(Columns.of(rows))
    assert said["ids"] == [row.span_id for row in rows]
    assert said["sources"] == [row.source for row in rows]
    assert said["creatures"] == [row.creature for row in rows]
    assert said["domains"] == [row.domain for row in rows]
    assert said["online"] == [repr(row.ordinal is None) for row in rows]
    assert said["hidden"] == [repr(bool(row.hidden)) for row in rows]
    assert said["weights"] == [repr(row.weight) for row in rows]
    assert said["quality"] == [
        repr("nan" if row.quality is None else row.quality).strip("'") for row in rows
    ]
    assert said["when_s"] == [repr(row.when_s) for row in rows]
    assert said["tags"] == {
        tag: [place for place, row in enumerate(rows) if tag in row.tags.split()]
        for tag in {tag for row in rows for tag in row.tags.split()}
    }


@pytest.mark.slow
@settings(deadline=None)
@given(some.stored_rows, some.stored_rows)
def test_joined_columns_equal_those_built_anew(
    first: list[StoredRow], second: list[StoredRow]
) -> None:
    known = {row.span_id for row in first}
    second = [row for row in second if row.span_id not in known]
    joined, order = Columns.of(first).joined(Columns.of(second))
    everything = [*first, *second]
    assert order.tolist() == sorted(range(len(order)), key=lambda i: everything[i].span_id)
    assert contents(joined) == contents(Columns.of(sorted(everything, key=lambda row: row.span_id)))


@pytest.mark.slow
@settings(deadline=None)
@given(some.stored_rows, st.data())
def test_taken_columns_equal_those_built_anew(rows: list[StoredRow], data: st.DataObject) -> None:
    keep = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    kept = [row for row, stays in zip(rows, keep, strict=True) if stays]
    taken = Columns.of(rows).taken(np.array(keep, np.bool_))
    assert contents(taken) == contents(Columns.of(kept))


@pytest.mark.slow
@settings(deadline=None)
@given(some.stored_rows, st.lists(st.uuids().map(str)))
def test_ids_are_found_where_they_are(rows: list[StoredRow], others: list[str]) -> None:
    ids = [row.span_id for row in rows]
    wanted = [*reversed(ids), *others, "é", "x" * 100]
    places = [ids.index(one) if one in ids else -1 for one in wanted]
    assert Columns.of(rows).find(wanted).tolist() == places


def test_an_id_of_another_length_is_not_found() -> None:
    span_id = str(UUID(int=1))
    row = StoredRow(1, 0, span_id, "a", "ask", 1, 0, 0, None, "", 0, "x", "", 1.0, 0)
    columns = Columns.of([row])
    other = [span_id + "\0", span_id[:-1], span_id + "x", "", span_id[:-1] + "\0"]
    assert columns.find([span_id, *other]).tolist() == [0, -1, -1, -1, -1, -1]


# Bytes that NumPy takes for the end of a text, and for none.
_UUIDS = st.one_of(
    st.uuids(),
    st.binary(min_size=1, max_size=16).map(lambda some: UUID(bytes=some.ljust(16, b"\0"))),
)


@given(st.lists(_UUIDS.map(str)))
def test_ids_are_written_as_they_were_read_and_in_the_order_of_their_texts(
    texts: list[str],
) -> None:
    ids = ids_of(texts)
    assert texts_of(ids) == texts
    assert texts_of(np.sort(ids)) == sorted(texts)
    assert ids.tobytes() == b"".join(UUID(text).bytes for text in texts)


@pytest.mark.parametrize(
    "text",
    [
        "0198AAAA-0000-7000-8000-000000000000",
        "0198aaaa+0000-7000-8000-000000000000",
        "0198aaa-a0000-7000-8000-000000000000",
        "0198aaaa-0000-7000-8000-00000000000g",
        "0198aaaa-0000-7000-8000-00000000000é",
        "0198aaaa00007000800000000000000000000",
        "",
    ],
)
def test_what_is_not_written_as_an_id_is_none(text: str) -> None:
    good = "0198aaaa-0000-7000-8000-000000000000"
    assert read_ids([good, text])[1].tolist() == [True, False]
    with pytest.raises(ValueError, match="no span id"):
        ids_of([good, text])


def test_zeros_do_not_stand_for_a_text_that_is_no_id() -> None:
    row = StoredRow(1, 0, str(UUID(int=0)), "a", "ask", 1, 0, 0, None, "", 0, "x", "", 1.0, 0)
    assert Columns.of([row]).find(["x" * 36, str(UUID(int=0))]).tolist() == [-1, 0]


@pytest.mark.slow
@settings(max_examples=25, deadline=None)  # each writes 17 files
@given(rows=some.stored_rows)
def test_saved_columns_are_loaded_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, rows: list[StoredRow]
) -> None:
    folder = tmp_path_factory.mktemp("columns")
    columns = Columns.of(rows)
    columns.save(folder)
    loaded = Columns.load(folder)
    assert contents(loaded) == contents(columns)
    assert loaded.memory_bytes == columns.memory_bytes
    # What is mapped can be joined and taken like what is not.
    keep = np.ones(len(rows), np.bool_)
    assert contents(loaded.joined(Columns.of([]))[0].taken(keep)) == contents(columns)


def _rows(count: int) -> list[StoredRow]:
    return [
        StoredRow(
            rowid=number,
            ordinal=number,
            span_id=str(UUID(int=number)),
            domain=f"d{number}",
            action="do",
            status=1,
            when_s=0,
            when_ns=0,
            quality=None,
            tags="x y",
            outcome_key=0,
            source="s",
            creature="",
            weight=1.0,
            hidden=0,
        )
        for number in range(count)
    ]


def _saved(folder: Path, count: int) -> Path:
    folder.mkdir()
    Columns.of(_rows(count)).save(folder)
    return folder


def test_a_file_cut_short_or_gone_is_refused(tmp_path: Path) -> None:
    names = sorted(path.name for path in _saved(tmp_path / "whole", 5).iterdir())
    assert len(names) == 17
    for name in names:
        folder = _saved(tmp_path / f"{name} cut", 5)
        whole = (folder / name).read_bytes()
        for length in (0, 7, len(whole) - 1):
            (folder / name).write_bytes(whole[:length])
            with pytest.raises(ValueError, match=r"\w"):
                Columns.load(folder)
        (folder / name).unlink()
        with pytest.raises(FileNotFoundError):
            Columns.load(folder)


def test_a_file_of_other_columns_is_refused(tmp_path: Path) -> None:
    other = _saved(tmp_path / "other", 4)
    for name in sorted(path.name for path in other.iterdir() if path.name != "tag_starts.npy"):
        folder = _saved(tmp_path / name, 5)
        (folder / name).write_bytes((other / name).read_bytes())
        with pytest.raises(ValueError, match=r"\w"):
            Columns.load(folder)


def test_a_file_longer_than_its_values_is_refused(tmp_path: Path) -> None:
    folder = _saved(tmp_path / "columns", 5)
    with (folder / "rowids.npy").open("ab") as file:
        file.write(b"more")
    with pytest.raises(ValueError, match=r"rowids\.npy is longer"):
        Columns.load(folder)


def test_a_number_of_no_text_is_refused(tmp_path: Path) -> None:
    folder = _saved(tmp_path / "columns", 5)
    np.save(folder / "domains.npy", np.array([0, 1, 2, 3, 5], np.uint8))
    with pytest.raises(ValueError, match=r"domains\.npy"):
        Columns.load(folder)


def test_objects_are_never_read_from_a_file(tmp_path: Path) -> None:
    folder = _saved(tmp_path / "columns", 5)
    np.save(folder / "rowids.npy", np.array([{}] * 5, object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"\w"):
        Columns.load(folder)


def test_other_weights_leave_the_columns_they_came_from_as_they_were() -> None:
    columns = Columns.of(_rows(3))
    changed = columns.with_weights(np.array([1]), np.array([0.5], np.float32))
    assert changed.weights.tolist() == [1.0, 0.5, 1.0]
    assert columns.weights.tolist() == [1.0, 1.0, 1.0]
    assert changed.ids is columns.ids


def test_row_numbers_take_four_bytes_until_they_need_more() -> None:
    rows = _rows(2)
    small = Columns.of(rows)
    large = Columns.of([rows[1]._replace(rowid=1 << 32)])
    assert (small.rowids.itemsize, large.rowids.itemsize) == (4, 8)
    both, _ = Columns.of(rows[:1]).joined(large)
    assert both.rowids.tolist() == [rows[0].rowid, 1 << 32]


def test_the_rows_in_quarantine_are_those_that_are_named_last() -> None:
    columns = Columns.of(_rows(3)).with_hidden(np.array([0, 1])).with_hidden(np.array([2]))
    assert columns.hidden.tolist() == [False, False, True]


def test_texts_are_numbered_in_the_smallest_type_that_holds_them() -> None:
    few = Coded.of([str(number) for number in range(256)])
    more, _ = few.joined(Coded.of(["256"]), np.arange(257)), None
    assert few.codes.dtype == np.uint8
    assert more.codes.dtype == np.uint16
    assert more.taken(np.arange(257) < 3).codes.dtype == np.uint8
    assert more.counts()["256"] == 1
