"""Lines, CSV records and JSON elements are the same whatever pieces their bytes come in."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.curator.formats.csv_records import (
    MAX_RECORD_BYTES,
    CsvRecords,
    Record,
    ends_inside_quotes,
)
from arenalab.curator.formats.json_elements import MAX_VALUE_BYTES, Element, JsonElements
from arenalab.curator.formats.lines import Line, Lines
from arenalab.mesh import InvalidInputError, Reason

PIECES = st.lists(st.integers(0, 400), max_size=8)


def cut(data: bytes, places: Iterable[int]) -> Iterator[bytes]:
    edges = sorted({0, len(data), *(place for place in places if place < len(data))})
    return (data[start:stop] for start, stop in pairwise(edges))


def fed(reader: Any, data: bytes, places: Iterable[int] = ()) -> list[Any]:
    found = [item for piece in cut(data, places) for item in reader.feed(piece)]
    return [*found, *reader.close()]


@given(st.binary(max_size=200).map(lambda data: data.replace(b"x", b"\n")), PIECES)
def test_lines_are_those_of_the_whole(data: bytes, places: list[int]) -> None:
    lines: list[Line] = fed(Lines(1000), data, places)
    assert b"".join(line.raw for line in lines) == data.removeprefix(b"\xef\xbb\xbf")
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    assert all(line.raw.find(b"\n") in (-1, len(line.raw) - 1) for line in lines)


@given(st.integers(1, 50), PIECES)
def test_of_a_long_line_only_the_beginning_is_held(length: int, places: list[int]) -> None:
    data = b"a" * length + b"\nshort\n"
    first, second = fed(Lines(10), data, places)
    assert (first.raw, first.is_cut) == ((data[: length + 1])[:10], length + 1 > 10)
    assert (second.number, second.raw) == (2, b"short\n")


FIELD = st.text(st.sampled_from('ab",\n\r é'), max_size=6)


@given(st.lists(st.lists(FIELD, min_size=2, max_size=3), max_size=5), PIECES)
def test_records_are_those_that_csv_wrote(rows: list[list[str]], places: list[int]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\r\n").writerows(rows)
    data = file.getvalue().encode()
    records: list[Record] = fed(CsvRecords(), data, places)
    assert all(record.is_whole for record in records)
    parsed = [
        next(csv.reader(io.StringIO(record.raw.decode(), newline=""), strict=True))
        for record in records
    ]
    assert parsed == rows
    ends = [data.count(b"\n", 0, len(b"".join(r.raw for r in records[:n]))) for n in range(9)]
    assert [record.line for record in records] == [end + 1 for end in ends[: len(records)]]


@pytest.mark.parametrize(
    ("line", "inside", "expected"),
    [
        (b"a,b\n", False, False),
        (b'a,"b\n', False, True),
        (b'a,"b"\n', False, False),
        (b'5" pipe,b\n', False, False),  # a quote within a field is itself
        (b'"a ""quoted"" word",b\n', False, False),
        (b'"ends with two""\n', False, True),
        (b"still inside\n", True, True),
        (b'the end",b\n', True, False),
        (b'the end","again\n', True, True),
        (b"", True, True),
    ],
)
def test_a_quote_opens_only_at_the_start_of_a_field(
    line: bytes, *, inside: bool, expected: bool
) -> None:
    assert ends_inside_quotes(line, inside=inside) is expected


def test_a_quote_that_is_never_closed_spoils_one_line() -> None:
    records = fed(CsvRecords(), b'a,b\nc,"d\ne,f\ng,h\n')
    assert [(r.line, r.raw, r.is_whole) for r in records] == [
        (1, b"a,b\n", True),
        (2, b'c,"d\n', False),
        (3, b"e,f\n", True),
        (4, b"g,h\n", True),
    ]


def test_a_record_beyond_the_limit_is_given_up_and_reading_goes_on() -> None:
    data = b'"' + (b"x" * 65535 + b"\n") * 20 + b"last,row\n"
    assert len(data) > MAX_RECORD_BYTES
    first, *_, last = fed(CsvRecords(), data, range(0, len(data), 65536))
    assert (first.line, first.is_whole) == (1, False)
    assert (last.line, last.raw, last.is_whole) == (21, b"last,row\n", True)


VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.sampled_from('a"\\[]{},:\n é'), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=5,
)
KEY = st.text(st.sampled_from("abc"), min_size=1, max_size=2)
DOCUMENT = st.recursive(
    st.dictionaries(KEY, st.lists(VALUE, max_size=4) | st.integers() | st.text(max_size=3)),
    lambda inner: st.dictionaries(KEY, inner, max_size=3),
    max_leaves=4,
)


def arrays(form: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in form.items():
        if isinstance(value, dict):
            yield from arrays(value, (*path, key))
        elif isinstance(value, list):
            yield from (((*path, key), element) for element in value)


@pytest.mark.slow
@given(DOCUMENT, st.sampled_from([{"indent": 2}, {"indent": 0}, {"ensure_ascii": False}]), PIECES)
def test_elements_are_those_that_json_wrote(
    form: Any, style: dict[str, Any], places: list[int]
) -> None:
    data = json.dumps(form, **style).encode()
    elements: list[Element] = fed(JsonElements("test"), data, places)
    found = [(element.path, json.loads(element.raw)) for element in elements]
    assert found == list(arrays(form))
    lines = data.split(b"\n")
    for element in elements:
        assert element.raw.split(b"\n")[0] in lines[element.line - 1]


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", 1),
        (b"  \n ", 2),
        (b"[1]", 1),
        (b"Question,Answer\n", 1),
        (b'{"a":\n[1, 2\n', 3),
        (b'{"a": [1 2]}', 1),
        (b'{"a": [1,]}', 1),
        (b'{"a" [1]}', 1),
        (b"{a: [1]}", 1),
        (b'{"a": [1]}\n\n{"b": [2]}', 3),
        (b'{"a": "never closed', 1),
        (b'{"a":' * 20, 1),
    ],
)
def test_what_is_no_object_of_arrays_is_refused_with_its_line(data: bytes, line: int) -> None:
    with pytest.raises(InvalidInputError) as caught:
        fed(JsonElements("test"), data)
    assert caught.value.reason is Reason.INVALID_FORMAT
    assert caught.value.metadata == {"format": "test", "line": str(line)}


def test_a_malformed_element_spoils_itself_alone() -> None:
    elements = fed(JsonElements("test"), b'{"a": [["x" "y"], [nope], ["z"]]}')
    assert [element.raw for element in elements] == [b'["x" "y"]', b"[nope]", b'["z"]']


def test_a_value_without_end_is_refused_before_it_fills_the_memory() -> None:
    reader = JsonElements("test")
    list(reader.feed(b'{"a": ["'))
    half = b"x" * (MAX_VALUE_BYTES // 2)
    assert list(reader.feed(half)) == []
    with pytest.raises(InvalidInputError, match="longer than"):
        list(reader.feed(half))


def test_a_byte_order_mark_is_no_content() -> None:
    feeds: list[Callable[[], Any]] = [
        lambda: fed(Lines(100), b"\xef\xbb\xbfa\n", range(5)),
        lambda: fed(CsvRecords(), b"\xef\xbb\xbfa\n", range(5)),
    ]
    for feed in feeds:
        assert [item.raw for item in feed()] == [b"a\n"]
    assert fed(JsonElements("test"), b'\xef\xbb\xbf{"a": [1]}', range(9))[0].raw == b"1"
