from hypothesis import given
from hypothesis import strategies as st

from arenalab.api.common.v1 import span_pb2
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.atomic import Span, to_proto, uuid7
from arenalab.predictor.hits import HitReader, SpanRows
from arenalab.predictor.wire import memory_of
from arenalab.testing.spans import make_span

SPANS = [make_span(f"question {n}", f"answer {n}") for n in range(4)]


def _reader(*spans: Span, kept_spans: int = 100) -> HitReader:
    return HitReader(SpanRows(span.id for span in spans), kept_spans)


def _hit(span: Span, *, online: bool = False) -> search_pb.Hit:
    return search_pb.Hit(span=to_proto(span), online=online)


@given(st.lists(st.integers(0, 300), unique=True, max_size=40), st.lists(st.integers(0, 300)))
def test_every_span_has_its_row_and_a_stranger_none(known: list[int], asked: list[int]) -> None:
    # Zero bytes at the end are the ones that fixed-width bytes lose.
    ids = {n: uuid7(1, n.to_bytes(2, "little") + bytes(8)) for n in {*known, *asked}}
    rows = SpanRows(ids[n] for n in known)
    assert [rows.row(ids[n]) for n in asked] == [
        known.index(n) if n in known else -1 for n in asked
    ]


@given(st.lists(st.integers(0, 3), max_size=20), st.integers(1, 4))
def test_a_span_is_read_the_same_however_often_and_whatever_is_kept(
    asked: list[int], kept_spans: int
) -> None:
    reader = _reader(*SPANS[:3], kept_spans=kept_spans)
    for n in asked:
        read = reader.read([_hit(SPANS[n])])
        assert read.memories == [memory_of(_hit(SPANS[n]))]
        assert read.rows.tolist() == [n if n < 3 else -1]


def test_a_span_of_the_version_is_read_once() -> None:
    reader = _reader(*SPANS)
    first, again = reader.read([_hit(SPANS[0])]), reader.read([_hit(SPANS[0])])
    assert first.memories[0] is again.memories[0]


def test_a_span_that_was_replaced_online_is_not_that_of_the_version() -> None:
    reader = _reader(*SPANS)
    replaced = _hit(SPANS[1], online=True)
    replaced.span.this = "another question"
    for hits in ([_hit(SPANS[1]), replaced], [replaced, _hit(SPANS[1])]):
        read = reader.read(hits)
        told = {memory.question: row for memory, row in zip(read.memories, read.rows, strict=True)}
        assert told == {"question 1": 1, "another question": -1}


def test_a_trajectory_is_that_of_the_hit_and_not_kept() -> None:
    last = make_span("and then?", "Stop.", previous_spans=(SPANS[0].id,))
    reader = _reader(*SPANS, last)
    whole = search_pb.Hit(span=to_proto(last), trajectory=[to_proto(SPANS[0])])
    depths = [reader.read([hit]).memories[0].trajectory_depth for hit in (_hit(last), whole) * 2]
    assert depths == [0, 1, 0, 1]


def test_spans_without_an_outcome_are_left_out() -> None:
    pending = _hit(SPANS[0])
    pending.span.status = span_pb2.SPAN_STATUS_PENDING
    reader = _reader(*SPANS)
    for _ in range(2):
        read = reader.read([_hit(SPANS[2]), pending, _hit(SPANS[1])])
        assert [hit.span.id for hit in read.hits] == [SPANS[2].id, SPANS[1].id]
        assert read.rows.tolist() == [2, 1]
    assert reader.read([]).rows.tolist() == []
