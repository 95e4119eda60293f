"""Trajectories: nearest first, bounded, and safe from cycles."""

from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from arenalab.api.common.v1 import span_pb2
from arenalab.search.finding.trajectory import walk_back


def span(span_id: str, *previous: str) -> span_pb2.Span:
    return span_pb2.Span(id=span_id, context=span_pb2.SpanContext(previous_spans=previous))


class Store:
    def __init__(self, *spans: span_pb2.Span) -> None:
        self.spans = {one.id: one for one in spans}
        self.lookups = 0

    def lookup(self, ids: Sequence[str]) -> Mapping[str, span_pb2.Span]:
        self.lookups += 1
        return {one: self.spans[one] for one in ids if one in self.spans}

    def walk(self, span_id: str, depth: int = 10) -> str:
        (found,) = walk_back([self.spans[span_id]], depth, self.lookup)
        return "".join(one.id for one in found)


def test_a_chain_is_walked_link_by_link() -> None:
    store = Store(span("a"), span("b", "a"), span("c", "b"), span("d", "c"))
    assert store.walk("d") == "cba"


def test_a_list_is_read_from_its_end() -> None:
    store = Store(span("a"), span("b"), span("c"), span("d", "a", "b", "c"))
    assert store.walk("d") == "cba"


def test_the_walk_goes_on_from_the_earliest_of_a_list() -> None:
    store = Store(span("a"), span("b", "a"), span("c", "x", "y"), span("d", "b", "c"))
    assert store.walk("d") == "cba"


def test_the_depth_bounds_the_walk() -> None:
    store = Store(span("a"), span("b", "a"), span("c", "b"), span("d", "c"))
    assert store.walk("d", 2) == "cb"
    assert store.walk("d", 0) == ""


def test_a_cycle_ends_where_it_closes() -> None:
    store = Store(span("a", "c"), span("b", "a"), span("c", "b"))
    assert store.walk("c") == "ba"
    assert Store(span("a", "a")).walk("a") == ""


def test_a_span_that_is_not_there_is_left_out() -> None:
    store = Store(span("a"), span("c", "a", "missing"))
    assert store.walk("c") == "a"


def test_walks_share_their_lookups() -> None:
    store = Store(span("a"), span("b", "a"), *(span(f"s{n}", "b") for n in range(50)))
    starts = [store.spans[f"s{n}"] for n in range(50)]
    found = walk_back(starts, 10, store.lookup)
    assert [[one.id for one in walk] for walk in found] == [["b", "a"]] * 50
    assert store.lookups == 2


@given(
    st.dictionaries(
        st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefghxyz"), max_size=4),
        min_size=1,
    ),
    st.integers(0, 10),
)  # fmt: skip
def test_a_walk_meets_no_span_twice_and_never_its_start(
    links: dict[str, list[str]], depth: int
) -> None:
    store = Store(*(span(name, *previous) for name, previous in links.items()))
    for name in links:
        walked = store.walk(name, depth)
        assert len(walked) <= depth
        assert len(set(walked)) == len(walked)
        assert name not in walked
