"""Filters against a check of each span by the words of the contract."""

import re
from typing import Any, TypeVar
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.search.columns.columns import Columns
from arenalab.search.condition import EVERYTHING, ONLINE, Filter, Instant
from arenalab.search.filters import FilterIndex
from arenalab.search.store.row import StoredRow
from tests.unit.search import stored_rows as some

_T = TypeVar("_T")
VERSION = "a" * 64
_FIELDS = [
    "domains", "actions", "statuses", "not_before", "before", "min_quality", "tags", "sources",
    "action_words", "creatures", "origins", "all_of", "any_of", "none_of",
]  # fmt: skip


def _several(values: st.SearchStrategy[_T]) -> st.SearchStrategy[tuple[_T, ...]]:
    return st.just(()) | st.lists(values, min_size=1, max_size=2).map(tuple)


_instants = st.none() | st.builds(Instant, seconds=some.seconds, nanos=some.nanos)
_flat: dict[str, st.SearchStrategy[Any]] = {
    "domains": _several(some.domains.filter(bool) | st.just("nowhere")),
    "actions": _several(some.actions | st.just("nothing")),
    "statuses": _several(st.integers(0, 5)),
    "not_before": _instants,
    "before": _instants,
    "min_quality": st.none() | some.qualities,
    "tags": _several(some.tokens | st.just("unused")),
    "sources": _several(some.tokens),
    "action_words": _several(st.sampled_from(["ask", "question", "question2", "a", "as"])),
    "creatures": _several(some.creatures),
    "origins": _several(st.sampled_from([VERSION, "b" * 64, ONLINE])),
}
# One or two conditions at a time: with many, hardly any span would pass.
_one = st.sampled_from(sorted(_flat)).flatmap(lambda name: _flat[name].map(lambda v: {name: v}))
_leaves = st.lists(_one, max_size=2).map(
    lambda parts: Filter(**{name: value for part in parts for name, value in part.items()})
)


def _nesting(parts: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    lists = st.lists(parts, max_size=2).map(tuple)
    return st.builds(
        Filter,
        domains=_flat["domains"],
        before=_flat["before"],
        all_of=lists,
        any_of=lists,
        none_of=lists,
    )


filters = st.recursive(_leaves, _nesting, max_leaves=8)


def passes(row: StoredRow, wanted: Filter) -> bool:
    """Says what the contract says, one condition at a time."""
    when = Instant(seconds=row.when_s, nanos=row.when_ns)
    words = re.split("[^a-z0-9]+", row.action)
    return all((
        not wanted.domains
        or any(row.domain == one or row.domain.startswith(f"{one}/") for one in wanted.domains),
        not wanted.actions or row.action in wanted.actions,
        not wanted.statuses or row.status in wanted.statuses,
        wanted.not_before is None or when >= wanted.not_before,
        wanted.before is None or when < wanted.before,
        wanted.min_quality is None
        or (row.quality is not None and row.quality >= wanted.min_quality),
        set(wanted.tags) <= set(row.tags.split()),
        not wanted.sources or row.source in wanted.sources,
        set(wanted.action_words) <= set(words),
        not wanted.creatures or row.creature in wanted.creatures,
        not wanted.origins or (ONLINE if row.ordinal is None else VERSION) in wanted.origins,
        all(passes(row, part) for part in wanted.all_of),
        not wanted.any_of or any(passes(row, part) for part in wanted.any_of),
        not any(passes(row, part) for part in wanted.none_of),
    ))  # fmt: skip


def selected(
    index: FilterIndex, size: int, wanted: Filter, order: tuple[str, ...] = ()
) -> list[int]:
    selection = index.select(wanted, order)
    return list(range(size)) if selection is None else selection.rows.tolist()


def expected(rows: list[StoredRow], wanted: Filter) -> list[int]:
    return [place for place, row in enumerate(rows) if passes(row, wanted)]


def index_of(columns: Columns) -> FilterIndex:
    return FilterIndex.of(columns, VERSION)


@pytest.mark.slow
@settings(deadline=None)
@given(some.stored_rows, st.lists(filters, max_size=3), st.permutations([*_FIELDS, "nonsense"]))
def test_exactly_the_spans_that_pass_are_selected_in_any_order_of_conditions(
    rows: list[StoredRow], several: list[Filter], order: list[str]
) -> None:
    index = index_of(Columns.of(rows))
    for wanted in [*several, *several]:  # computed, then remembered
        assert selected(index, len(rows), wanted, tuple(order)) == expected(rows, wanted)


@pytest.mark.slow
@settings(deadline=None)
@given(some.stored_rows, filters)
def test_counts_are_exact_for_the_whole_and_for_each_condition(
    rows: list[StoredRow], wanted: Filter
) -> None:
    index = index_of(Columns.of(rows))
    assert index.count(wanted) == len(expected(rows, wanted))
    alone = {name: Filter(**{name: getattr(wanted, name)}) for name in wanted.conditions()}
    assert index.counts_by_condition(wanted) == {
        name: len(expected(rows, part)) for name, part in alone.items()
    }


@pytest.mark.slow
@settings(deadline=None)
@given(some.stored_rows, some.stored_rows, filters)
def test_joined_columns_filter_as_their_spans_do(
    first: list[StoredRow], second: list[StoredRow], wanted: Filter
) -> None:
    known = {row.span_id for row in first}
    second = [row for row in second if row.span_id not in known]
    joined, _ = Columns.of(first).joined(Columns.of(second))
    rows = sorted([*first, *second], key=lambda row: row.span_id)
    assert selected(index_of(joined), len(rows), wanted) == expected(rows, wanted)


@pytest.mark.slow
@settings(deadline=None)
@given(some.stored_rows, st.data(), filters)
def test_taken_columns_filter_as_their_spans_do(
    rows: list[StoredRow], data: st.DataObject, wanted: Filter
) -> None:
    keep = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    kept = [row for row, stays in zip(rows, keep, strict=True) if stays]
    taken = Columns.of(rows).taken(np.array(keep, np.bool_))
    assert selected(index_of(taken), len(kept), wanted) == expected(kept, wanted)


def _row(number: int, **fields: Any) -> StoredRow:
    row = StoredRow(
        rowid=number + 1,
        ordinal=number,
        span_id=str(UUID(int=number)),
        domain="",
        action="do",
        status=2,
        when_s=number,
        when_ns=0,
        quality=None,
        tags="",
        outcome_key=0,
        source="s",
        creature="",
        weight=1.0,
        hidden=0,
    )
    return row._replace(**fields)


def _many(size: int) -> list[StoredRow]:
    """Rows enough for common values, rare values and dense bitmaps."""
    return [
        _row(
            number,
            domain=("a", "a/b", f"c/{number}")[number % 3],
            action=f"act_{number}" if number % 5 else "ask_question",
            when_s=-number // 7,
            when_ns=number % 3,
            quality=None if number % 11 == 0 else number % 1009 / 10.08,
            tags=f"even t{number}" if number % 2 == 0 else "odd",
        )
        for number in range(size)
    ]


@pytest.fixture(scope="module")
def many() -> tuple[list[StoredRow], FilterIndex]:
    rows = _many(5000)
    return rows, index_of(Columns.of(rows))


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(domains=("a",)),
        Filter(domains=("c", "a/b")),
        Filter(domains=tuple(f"c/{number}" for number in range(2, 600, 3))),
        Filter(action_words=("act",)),
        Filter(actions=("act_7", "ask_question")),
        Filter(tags=("even", "t40")),
        Filter(tags=("odd", "even")),
        Filter(min_quality=31.4),
        Filter(min_quality=31.4, tags=("odd",)),
        Filter(not_before=Instant(seconds=-700, nanos=1)),
        Filter(not_before=Instant(seconds=-700, nanos=1), before=Instant(seconds=-1, nanos=2)),
        Filter(before=Instant(seconds=-3, nanos=0), domains=("c/8",)),
        Filter(not_before=Instant(seconds=0, nanos=0), before=Instant(seconds=-9, nanos=0)),
        Filter(none_of=(Filter(domains=("a",)), Filter(min_quality=50.0))),
    ],
    ids=lambda wanted: "-".join(wanted.conditions()),
)
def test_many_rows_are_filtered_as_few_are(
    many: tuple[list[StoredRow], FilterIndex], wanted: Filter
) -> None:
    rows, index = many
    assert selected(index, len(rows), wanted) == expected(rows, wanted)
    assert index.count(wanted) == len(expected(rows, wanted))
    assert index.counts_by_condition(wanted) == {
        name: len(expected(rows, Filter(**{name: getattr(wanted, name)})))
        for name in wanted.conditions()
    }


@pytest.mark.parametrize(
    ("least", "count"),
    [(0.0, 5), (5.0, 4), (9.999, 4), (10.0, 4), (10.1, 3), (99.9, 2), (100.0, 1)],
)
def test_a_quality_bound_is_exact_inside_its_bucket_and_never_met_by_a_missing_score(
    least: float, count: int
) -> None:
    scores = [0.0, None, 10.0, 10.5, None, 99.95, 100.0]
    index = index_of(Columns.of([_row(n, quality=score) for n, score in enumerate(scores)]))
    assert index.count(Filter(min_quality=least)) == count
    assert len(selected(index, 7, Filter(min_quality=least))) == count


def test_a_filter_without_conditions_or_that_all_pass_selects_everything() -> None:
    index = index_of(Columns.of([_row(0), _row(1)]))
    assert index.select(EVERYTHING) is None
    assert index.select(Filter(any_of=(EVERYTHING, Filter(actions=("none",))))) is None
    assert index.select(Filter(actions=("do",))) is None
    assert index.count(EVERYTHING) == 2


def test_none_of_everything_selects_nothing() -> None:
    index = index_of(Columns.of([_row(0), _row(1)]))
    selection = index.select(Filter(none_of=(EVERYTHING,)))
    assert selection is not None
    assert selection.count == 0


def test_a_selection_carries_its_filter_and_is_remembered() -> None:
    index = index_of(Columns.of([_row(0), _row(1)]))
    wanted = Filter(not_before=Instant(seconds=1, nanos=0))
    selection = index.select(wanted)
    assert selection is not None
    assert selection.condition == wanted
    assert selection.size == 2
    assert index.select(Filter(not_before=Instant(seconds=1, nanos=0))) is selection


def test_what_is_remembered_is_bounded() -> None:
    index = index_of(Columns.of(_many(300)))
    for number in range(2, 1200):
        index.select(Filter(not_before=Instant(seconds=-1, nanos=number)))
    before = index.memory_bytes
    for number in range(2, 1200):
        index.select(Filter(not_before=Instant(seconds=-1, nanos=number + 5000)))
    assert index.memory_bytes <= before


def test_memory_grows_with_the_fields_that_are_used() -> None:
    index = index_of(Columns.of(_many(100)))
    assert index.memory_bytes == 0
    index.count(Filter(action_words=("ask",), min_quality=3.0))
    assert index.memory_bytes > 0
