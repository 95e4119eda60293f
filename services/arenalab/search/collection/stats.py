"""Exact counts of a collection, from which searches are planned."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from arenalab.atomic.instant import NS_PER_S
from arenalab.search.columns.columns import Columns
from arenalab.search.condition import Instant
from arenalab.search.index.selection import IntArray
from arenalab.search.store.row import NO_OUTCOME

MAX_TAGS: Final = 1000
_BUCKETS: Final = 11  # [0, 10), …, [90, 100), and 100 by itself
_PERCENTILES: Final = 101
# Seconds whose nanoseconds fit 64 bits: the years 1678 to 2261.
_MAX_KEY_S: Final = 9_200_000_000
_CHUNK_ROWS: Final = 65_536
_BITS: Final = 1 << 20

Counts = tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """Counts by value, largest first."""

    domains: Counts
    actions: Counts
    statuses: tuple[tuple[int, int], ...]  # number of SpanStatus → spans
    tags: Counts  # at most MAX_TAGS
    quality_buckets: tuple[int, ...]
    when_quantiles: tuple[Instant, ...]  # percentiles 0 to 100; empty without spans
    distinct_outcomes: int


class Partial(NamedTuple):
    """The counts of one segment: a large one is counted once, not with every addition.

    Times and outcomes are those of the columns themselves: kept in order beside them they
    would take another 20 bytes a span.
    """

    domains: Counter[str]
    actions: Counter[str]
    statuses: Counter[int]
    tags: Counter[str]
    quality: IntArray  # shape (_BUCKETS,)
    when_s: IntArray  # in any order, with the nanoseconds beside it
    when_ns: npt.NDArray[np.int32]
    outcomes: IntArray  # in any order, NO_OUTCOME among them
    distinct: int  # how many outcomes are different


def partial_of(columns: Columns) -> Partial:
    """Returns the counts of a segment's live rows."""
    numbers, counts = np.unique(columns.statuses, return_counts=True)
    measured = columns.quality[~np.isnan(columns.quality)]
    return Partial(
        domains=Counter(columns.domains.counts()),
        actions=Counter(columns.actions.counts()),
        statuses=Counter(dict(zip(numbers.tolist(), counts.tolist(), strict=True))),
        tags=Counter({tag: len(rows) for tag, rows in columns.tags.items()}),
        quality=np.bincount((measured // 10).astype(np.int64), minlength=_BUCKETS),
        when_s=columns.when_s,
        when_ns=columns.when_ns,
        outcomes=columns.outcomes,
        distinct=len(_known(columns.outcomes)),
    )


def stats_of(parts: Sequence[Partial]) -> Stats:
    """Returns the counts over all segments together."""
    domains, actions, tags = Counter[str](), Counter[str](), Counter[str]()
    statuses = Counter[int]()
    for part in parts:
        domains.update(part.domains)
        actions.update(part.actions)
        statuses.update(part.statuses)
        tags.update(part.tags)
    return Stats(
        domains=_by_count(domains),
        actions=_by_count(actions),
        statuses=tuple(sorted(statuses.items())),
        tags=_by_count(tags)[:MAX_TAGS],
        quality_buckets=tuple(sum((part.quality for part in parts), _none()).tolist()),
        when_quantiles=_when_quantiles(parts),
        distinct_outcomes=_distinct(parts),
    )


def _none() -> IntArray:
    return np.zeros(_BUCKETS, np.int64)


def _by_count(counted: Counter[str]) -> Counts:
    present = [(value, count) for value, count in counted.items() if count]
    return tuple(sorted(present, key=lambda pair: (-pair[1], pair[0])))


def _known(outcomes: IntArray) -> IntArray:
    """Returns each outcome once, ascending."""
    return np.unique(outcomes[outcomes != NO_OUTCOME])


def _distinct(parts: Sequence[Partial]) -> int:
    """Returns how many different outcomes there are; the first part is the large one."""
    if not parts:
        return 0
    first, *others = parts
    more = _known(np.concatenate([np.empty(0, np.int64), *(part.outcomes for part in others)]))
    if not len(more):
        return first.distinct
    # Of the many, only those whose bits are also of one of the few are looked up.
    has_bits = np.zeros(_BITS, np.bool_)
    has_bits[_bits(more)] = True
    alike = [
        chunk[has_bits[_bits(chunk)]]
        for start in range(0, len(first.outcomes), _CHUNK_ROWS)
        for chunk in [first.outcomes[start : start + _CHUNK_ROWS]]
    ]
    known = np.isin(more, np.concatenate([np.empty(0, np.int64), *alike]))
    return first.distinct + int(np.count_nonzero(~known))


def _bits(outcomes: IntArray) -> IntArray:
    """Returns some bits of each outcome; the last of all is always 1."""
    return outcomes >> 1 & _BITS - 1


def _when_quantiles(parts: Sequence[Partial]) -> tuple[Instant, ...]:
    seconds = np.concatenate([np.empty(0, np.int64), *(part.when_s for part in parts)])
    nanos = np.concatenate([np.empty(0, np.int32), *(part.when_ns for part in parts)])
    if not len(seconds):
        return ()
    places = np.linspace(0, len(seconds) - 1, _PERCENTILES).round().astype(np.int64)
    if seconds.min() > -_MAX_KEY_S and seconds.max() < _MAX_KEY_S:
        seconds *= NS_PER_S  # one number a row, sorted in a third of the time of a partition
        seconds += nanos
        seconds.sort()
        times = [divmod(key, NS_PER_S) for key in seconds[places].tolist()]
    else:
        order = np.lexsort((nanos, seconds))[places]
        times = list(zip(seconds[order].tolist(), nanos[order].tolist(), strict=True))
    return tuple(Instant(seconds=second, nanos=nano) for second, nano in times)
