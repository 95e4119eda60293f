"""The filters of requests: what is understood and what is refused, by its path."""

import math

import pytest
from google.protobuf import timestamp_pb2

from arenalab.api.common.v1 import filter_pb2, span_pb2
from arenalab.mesh import InvalidInputError
from arenalab.search.condition import EVERYTHING, Filter, Instant
from arenalab.search.filter_requests import filter_of

SpanFilter = filter_pb2.SpanFilter
Timestamp = timestamp_pb2.Timestamp
PENDING = span_pb2.SPAN_STATUS_PENDING
FAILED = span_pb2.SPAN_STATUS_FAILED
# A varint of field 127, which no message here has.
UNKNOWN = b"\xf8\x07\x01"


def test_an_empty_message_is_the_filter_that_everything_passes() -> None:
    assert filter_of(SpanFilter()) is EVERYTHING


def test_every_condition_is_understood() -> None:
    message = SpanFilter(
        domains=["a"],
        actions=["ask"],
        statuses=[FAILED],
        not_before=Timestamp(seconds=-5, nanos=7),
        before=Timestamp(),
        min_quality=0,
        tags=["x"],
        sources=["s"],
        action_words=["Ask"],
        creatures=["owl"],
        origins=["online", "a" * 64],
        all_of=[SpanFilter(domains=["b"])],
        any_of=[SpanFilter(none_of=[SpanFilter(tags=["y"])]), SpanFilter()],
        none_of=[SpanFilter(min_quality=100)],
    )
    assert filter_of(message) == Filter(
        domains=("a",),
        actions=("ask",),
        statuses=(FAILED,),
        not_before=Instant(seconds=-5, nanos=7),
        before=Instant(seconds=0, nanos=0),
        min_quality=0.0,
        tags=("x",),
        sources=("s",),
        action_words=("ask",),
        creatures=("owl",),
        origins=("a" * 64, "online"),
        all_of=(Filter(domains=("b",)),),
        any_of=(Filter(none_of=(Filter(tags=("y",)),)), EVERYTHING),
        none_of=(Filter(min_quality=100.0),),
    )


def test_order_and_repeats_of_alternatives_make_no_other_filter() -> None:
    one = SpanFilter(
        domains=["b", "a", "b"], action_words=["X", "x"], statuses=[FAILED, PENDING, FAILED]
    )
    other = SpanFilter(domains=["a", "b"], action_words=["x"], statuses=[PENDING, FAILED])
    assert filter_of(one) == filter_of(other)


def test_a_range_of_time_that_ends_before_it_starts_is_allowed() -> None:
    wanted = filter_of(SpanFilter(not_before=Timestamp(seconds=2), before=Timestamp(seconds=1)))
    assert wanted.not_before == Instant(seconds=2, nanos=0)


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (SpanFilter(domains=["a"] * 65), "filter.domains"),
        (SpanFilter(actions=["a"] * 65), "filter.actions"),
        (SpanFilter(sources=["a"] * 65), "filter.sources"),
        (SpanFilter(creatures=["a"] * 65), "filter.creatures"),
        (SpanFilter(tags=["a"] * 33), "filter.tags"),
        (SpanFilter(action_words=["a"] * 17), "filter.action_words"),
        (SpanFilter(origins=["online"] * 17), "filter.origins"),
        (SpanFilter(domains=["a", ""]), "filter.domains[1]"),
        (SpanFilter(action_words=[""]), "filter.action_words[0]"),
        (SpanFilter(action_words=["two words"]), "filter.action_words"),
        (SpanFilter(action_words=["é"]), "filter.action_words"),
        (SpanFilter(origins=["A" * 64]), "filter.origins"),
        (SpanFilter(statuses=[span_pb2.SPAN_STATUS_UNSPECIFIED]), "filter.statuses"),
        (SpanFilter(statuses=[99]), "filter.statuses"),  # type: ignore[list-item]
        (SpanFilter(min_quality=math.nan), "filter.min_quality"),
        (SpanFilter(min_quality=-0.1), "filter.min_quality"),
        (SpanFilter(min_quality=100.1), "filter.min_quality"),
        (SpanFilter(before=Timestamp(nanos=-1)), "filter.before"),
        (SpanFilter(not_before=Timestamp(nanos=1_000_000_000)), "filter.not_before"),
        (
            SpanFilter(any_of=[SpanFilter(), SpanFilter(domains=["a"] * 65)]),
            "filter.any_of[1].domains",
        ),
        (
            SpanFilter(all_of=[SpanFilter(none_of=[SpanFilter(min_quality=101)])]),
            "filter.all_of[0].none_of[0].min_quality",
        ),
    ],
)
def test_a_condition_outside_its_range_is_refused_by_its_path(
    message: filter_pb2.SpanFilter, path: str
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        filter_of(message)
    assert refused.value.metadata["field"] == path
    assert str(refused.value).startswith(path)


def _nested(depth: int) -> filter_pb2.SpanFilter:
    message = SpanFilter(domains=["a"])
    for _ in range(depth):
        message = SpanFilter(none_of=[message])
    return message


def test_filters_are_nested_four_deep_and_no_deeper() -> None:
    assert filter_of(_nested(4)).none_of
    with pytest.raises(InvalidInputError, match=r"none_of\[0\] is nested more than 4 deep"):
        filter_of(_nested(5))


def test_a_request_carries_sixty_four_filters_and_no_more() -> None:
    assert len(filter_of(SpanFilter(any_of=[SpanFilter()] * 63)).any_of) == 63
    halves = [SpanFilter(any_of=[SpanFilter()] * 31), SpanFilter(any_of=[SpanFilter()] * 31)]
    with pytest.raises(InvalidInputError, match=r"^filter\.all_of\[1\]\.any_of\[30\] is one"):
        filter_of(SpanFilter(all_of=halves))


def test_a_field_of_a_later_contract_is_refused_wherever_it_is() -> None:
    unknown = SpanFilter.FromString(UNKNOWN)
    late = Timestamp.FromString(UNKNOWN)
    for message, path in [
        (unknown, "filter"),
        (
            SpanFilter(any_of=[SpanFilter(), SpanFilter(all_of=[unknown])]),
            "filter.any_of[1].all_of[0]",
        ),
        (SpanFilter(before=late), "filter.before"),
    ]:
        with pytest.raises(InvalidInputError, match="number 127") as refused:
            filter_of(message)
        assert refused.value.metadata["field"] == path


def test_a_large_filter_is_understood_and_refused_as_a_small_one_is() -> None:
    texts = [f"{number:0200d}" for number in range(64)]
    assert filter_of(SpanFilter(sources=texts)).sources == tuple(texts)
    with pytest.raises(InvalidInputError, match=r"^filter\.min_quality must be"):
        filter_of(SpanFilter(sources=texts, min_quality=-1))


def test_what_was_refused_once_is_refused_again() -> None:
    for _ in range(2):
        with pytest.raises(InvalidInputError):
            filter_of(SpanFilter(min_quality=-1))
