"""Filters against a check of each span by the words of the contract."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.search.columns import Columns
from arenalab.search.filters import Filter, Instant, is_within, passing_rows
from arenalab.search.row import StoredRow

_domains = st.sampled_from(["", "a", "a/b", "a/b/c", "ab", "b"])
_tokens = st.sampled_from(["x", "y", "z"])
_rows = st.lists(
    st.builds(
        StoredRow,
        rowid=st.just(0),
        ordinal=st.none(),
        span_id=st.uuids().map(str),
        domain=_domains,
        action=_tokens,
        status=st.integers(1, 3),
        when_s=st.integers(0, 3),
        when_ns=st.integers(0, 3),
        quality=st.none() | st.integers(0, 100).map(float),
        tags=st.sets(_tokens).map(lambda tags: " ".join(sorted(tags))),
        outcome_key=st.just(1),
    ),
    max_size=30,
    unique_by=lambda row: row.span_id,
).map(lambda rows: sorted(rows, key=lambda row: row.span_id))
_instants = st.builds(Instant, seconds=st.integers(0, 3), nanos=st.integers(0, 3))
_filters = st.builds(
    Filter,
    domains=st.lists(_domains.filter(bool), max_size=2).map(tuple),
    actions=st.lists(_tokens, max_size=2).map(tuple),
    statuses=st.lists(st.integers(1, 3), max_size=2).map(tuple),
    not_before=st.none() | _instants,
    before=st.none() | _instants,
    min_quality=st.none() | st.integers(0, 100).map(float),
    tags=st.lists(_tokens, max_size=2).map(tuple),
)
_orders = st.permutations(["tags", "before", "domains", "nonsense", "min_quality"])


def passes(row: StoredRow, wanted: Filter) -> bool:
    when = (row.when_s, row.when_ns)
    return (
        (not wanted.domains or any(is_within(row.domain, one) for one in wanted.domains))
        and (not wanted.actions or row.action in wanted.actions)
        and (not wanted.statuses or row.status in wanted.statuses)
        and (
            wanted.not_before is None
            or when >= (wanted.not_before.seconds, wanted.not_before.nanos)
        )
        and (wanted.before is None or when < (wanted.before.seconds, wanted.before.nanos))
        and (
            wanted.min_quality is None
            or (row.quality is not None and row.quality >= wanted.min_quality)
        )
        and set(wanted.tags) <= set(row.tags.split())
    )


@given(_rows, _filters, _orders)
def test_exactly_the_spans_that_pass_are_found_in_any_order_of_conditions(
    rows: list[StoredRow], wanted: Filter, order: list[str]
) -> None:
    found = passing_rows(Columns.of(rows), wanted, order)
    expected = [place for place, row in enumerate(rows) if passes(row, wanted)]
    assert (list(range(len(rows))) if found is None else found.tolist()) == expected


@given(_rows, _rows, _filters)
def test_joined_columns_filter_as_their_spans_do(
    some: list[StoredRow], others: list[StoredRow], wanted: Filter
) -> None:
    known = {row.span_id for row in some}
    others = [row for row in others if row.span_id not in known]
    joined, order = Columns.of(some).joined(Columns.of(others))
    everything = [*some, *others]
    assert order.tolist() == sorted(range(len(order)), key=lambda i: everything[i].span_id)
    found = passing_rows(joined, wanted)
    rows = sorted(everything, key=lambda row: row.span_id)
    expected = [place for place, row in enumerate(rows) if passes(row, wanted)]
    assert (list(range(len(rows))) if found is None else found.tolist()) == expected


@given(_rows, st.data())
def test_taken_columns_filter_as_their_spans_do(rows: list[StoredRow], data: st.DataObject) -> None:
    keep = [data.draw(st.booleans()) for _ in rows]
    taken = Columns.of(rows).taken(np.array(keep, bool))
    kept = [row for row, stays in zip(rows, keep, strict=True) if stays]
    wanted = data.draw(_filters)
    found = passing_rows(taken, wanted)
    expected = [place for place, row in enumerate(kept) if passes(row, wanted)]
    assert (list(range(len(kept))) if found is None else found.tolist()) == expected


@given(_rows, st.lists(st.uuids().map(str)))
def test_ids_are_found_where_they_are(rows: list[StoredRow], others: list[str]) -> None:
    ids = [row.span_id for row in rows]
    wanted = [*reversed(ids), *others, "é", "x" * 100]
    places = [ids.index(one) if one in ids else -1 for one in wanted]
    assert Columns.of(rows).find(wanted).tolist() == places


@pytest.mark.parametrize(
    ("domain", "within"),
    [("operations", True), ("operations/tracing", True), ("operationsx", False), ("", False)],
)
def test_a_domain_holds_itself_and_those_below_it(domain: str, *, within: bool) -> None:
    assert is_within(domain, "operations") is within
