"""Filters over columns: exact, and evaluated in the order that a plan gives.

Each condition looks only at the rows that passed those before it, so the order matters
for speed, never for the result.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from arenalab.search.columns import Coded, Columns
from arenalab.search.index import BoolArray, IntArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Instant:
    """A point in time; ordered as its two numbers are."""

    seconds: int
    nanos: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """The conditions of a SpanFilter; a field that is empty or None sets none."""

    domains: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()
    not_before: Instant | None = None
    before: Instant | None = None
    min_quality: float | None = None
    tags: tuple[str, ...] = ()

    def conditions(self, order: Iterable[str] = ()) -> Iterator[str]:
        """Yields the fields that are set: those of `order` first, then the others."""
        names = [field.name for field in fields(self)]
        for name in dict.fromkeys([*order, *names]):
            if name in names and getattr(self, name) not in ((), None):
                yield name


def passing_rows(columns: Columns, wanted: Filter, order: Sequence[str] = ()) -> IntArray | None:
    """Returns the rows that pass, ascending; None stands for all of them.

    Args:
        columns: The spans.
        wanted: The conditions.
        order: Names of conditions to evaluate first, in this order.
    """
    rows: IntArray | None = None
    for name in wanted.conditions(order):
        if rows is None:
            rows = np.arange(len(columns))
        rows = rows[_CONDITIONS[name](columns, getattr(wanted, name), rows)]
        if not len(rows):
            break
    return rows


def is_within(domain: str, ancestor: str) -> bool:
    """Returns whether a domain is another or lies below it."""
    return domain == ancestor or domain.startswith(f"{ancestor}/")


def _among(coded: Coded, rows: IntArray, matches: Callable[[str], bool]) -> BoolArray:
    table = np.array([matches(value) for value in coded.values], bool)
    passed: BoolArray = table[coded.codes[rows]]
    return passed


def _domains(columns: Columns, wanted: tuple[str, ...], rows: IntArray) -> BoolArray:
    return _among(
        columns.domains,
        rows,
        lambda domain: any(is_within(domain, ancestor) for ancestor in wanted),
    )


def _actions(columns: Columns, wanted: tuple[str, ...], rows: IntArray) -> BoolArray:
    return _among(columns.actions, rows, frozenset(wanted).__contains__)


def _statuses(columns: Columns, wanted: tuple[int, ...], rows: IntArray) -> BoolArray:
    return np.isin(columns.statuses[rows], np.array(wanted, np.int8))


def _before(columns: Columns, wanted: Instant, rows: IntArray) -> BoolArray:
    seconds, nanos = columns.when_s[rows], columns.when_ns[rows]
    earlier: BoolArray = (seconds < wanted.seconds) | (
        (seconds == wanted.seconds) & (nanos < wanted.nanos)
    )
    return earlier


def _not_before(columns: Columns, wanted: Instant, rows: IntArray) -> BoolArray:
    return ~_before(columns, wanted, rows)


def _min_quality(columns: Columns, wanted: float, rows: IntArray) -> BoolArray:
    # A comparison with NaN is false: a score that was not measured never passes.
    passed: BoolArray = columns.quality[rows] >= wanted
    return passed


def _tags(columns: Columns, wanted: tuple[str, ...], rows: IntArray) -> BoolArray:
    passed = np.ones(len(rows), bool)
    none = np.empty(0, np.int64)
    for tag in wanted:
        passed &= np.isin(rows, columns.tags.get(tag, none), assume_unique=True)
    return passed


# By field of Filter; the second argument is the field's value.
_CONDITIONS: Final[Mapping[str, Callable[[Columns, Any, IntArray], BoolArray]]] = {
    "domains": _domains,
    "actions": _actions,
    "statuses": _statuses,
    "not_before": _not_before,
    "before": _before,
    "min_quality": _min_quality,
    "tags": _tags,
}
