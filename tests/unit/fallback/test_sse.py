from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.fallback.sse import SseError, SseEvent, SseReader

_lines = st.one_of(
    st.sampled_from(
        ["", "", "data", "data:", "data: ", "event: error", ": note", "id: 7", "retry"]
    ),
    st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=12),
    st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=12).map(
        "data: {}".format
    ),
)
_streams = st.lists(st.tuples(_lines, st.sampled_from(["\n", "\r", "\r\n"])), max_size=20).map(
    lambda lines: "".join(line + end for line, end in lines).encode()
)


def _read(chunks: list[bytes], limit: int = 1000) -> list[SseEvent]:
    reader = SseReader(limit)
    events = [event for chunk in chunks for event in reader.feed(chunk)]
    return [*events, *reader.finish()]


def _cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(c % (len(stream) + 1) for c in cuts), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


@given(_streams, st.lists(st.integers(0, 10_000), max_size=12))
def test_where_the_bytes_were_cut_makes_no_difference(stream: bytes, cuts: list[int]) -> None:
    assert _read(_cut(stream, cuts)) == _read([stream])


@given(_streams)
def test_byte_by_byte_gives_the_same_events(stream: bytes) -> None:
    assert _read([bytes([b]) for b in stream]) == _read([stream])


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8")), min_size=1))
def test_data_arrives_as_it_was_sent(data: list[str]) -> None:
    stream = "".join(f"data: {line}\n" for line in data) + "\n"
    assert _read([stream.encode()], 10**6) == [SseEvent("message", "\n".join(data))]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_every_line_end_of_the_standard_ends_a_line(end: str) -> None:
    stream = f": hello{end}event: error{end}data: a{end}data: b{end}{end}data: c{end}{end}"
    assert _read([stream.encode()]) == [SseEvent("error", "a\nb"), SseEvent("message", "c")]


def test_an_event_of_a_lone_cr_does_not_wait_for_the_next_byte() -> None:
    assert list(SseReader().feed(b"data: x\r\r")) == [SseEvent("message", "x")]


def test_a_character_cut_in_two_is_read_whole() -> None:
    stream = "data: 時計\n\n".encode()
    assert _read([stream[:7], stream[7:10], stream[10:]]) == [SseEvent("message", "時計")]


def test_bytes_that_are_no_utf8_become_replacement_characters() -> None:
    assert _read([b"data: \xff!\n\n"]) == [SseEvent("message", "\ufffd!")]


def test_a_byte_order_mark_is_skipped_once() -> None:
    assert _read([b"\xef\xbb", b"\xbfdata: x\n\n"]) == [SseEvent("message", "x")]


def test_comments_alone_make_no_event() -> None:
    assert _read([b": keep-alive\n\n" * 5]) == []


def test_an_event_without_its_blank_line_counts_at_the_end() -> None:
    assert _read([b"data: a\n\ndata: [DONE]"])[-1].data == "[DONE]"


@pytest.mark.parametrize("chunks", [[b"data: " + b"x" * 100], [b"data: xx\n"] * 20, [b":" * 101]])
def test_an_event_beyond_the_bound_is_refused(chunks: list[bytes]) -> None:
    with pytest.raises(SseError, match="larger than 100 bytes"):
        _read(chunks, 100)


def test_comments_do_not_add_up_to_the_bound() -> None:
    assert _read([b": keep-alive\n"] * 100 + [b"data: x\n\n"], 100) == [SseEvent("message", "x")]
