"""Exact counts of a collection, from which searches are planned."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from arenalab.search.columns.columns import Columns
from arenalab.search.condition import Instant
from arenalab.search.index.selection import IntArray
from arenalab.search.store.row import NO_OUTCOME

MAX_TAGS: Final = 1000
_BUCKETS: Final = 11  # [0, 10), …, [90, 100), and 100 by itself
_PERCENTILES: Final = 101
_TIME: Final = np.dtype([("seconds", np.int64), ("nanos", np.int32)])

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
    """The counts of one segment: a large one is counted once, not with every addition."""

    domains: Counter[str]
    actions: Counter[str]
    statuses: Counter[int]
    tags: Counter[str]
    quality: IntArray  # shape (_BUCKETS,)
    when_s: IntArray  # ascending, with the nanoseconds beside it
    when_ns: npt.NDArray[np.int32]
    outcomes: IntArray  # each once, ascending


def partial_of(columns: Columns) -> Partial:
    """Returns the counts of a segment's live rows."""
    numbers, counts = np.unique(columns.statuses, return_counts=True)
    measured = columns.quality[~np.isnan(columns.quality)]
    order = np.lexsort((columns.when_ns, columns.when_s))
    return Partial(
        domains=Counter(columns.domains.counts()),
        actions=Counter(columns.actions.counts()),
        statuses=Counter(dict(zip(numbers.tolist(), counts.tolist(), strict=True))),
        tags=Counter({tag: len(rows) for tag, rows in columns.tags.items()}),
        quality=np.bincount((measured // 10).astype(np.int64), minlength=_BUCKETS),
        when_s=columns.when_s[order],
        when_ns=columns.when_ns[order],
        outcomes=np.unique(columns.outcomes[columns.outcomes != NO_OUTCOME]),
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
        distinct_outcomes=_distinct([part.outcomes for part in parts]),
    )


def _none() -> IntArray:
    return np.zeros(_BUCKETS, np.int64)


def _by_count(counted: Counter[str]) -> Counts:
    present = [(value, count) for value, count in counted.items() if count]
    return tuple(sorted(present, key=lambda pair: (-pair[1], pair[0])))


def _distinct(outcomes: Sequence[IntArray]) -> int:
    """Returns how many different numbers there are; the first array is the large one."""
    if not outcomes:
        return 0
    first, *others = outcomes
    more = np.unique(np.concatenate([np.empty(0, np.int64), *others]))
    places = np.searchsorted(first, more)
    places[places == len(first)] = 0
    new = more != first[places] if len(first) else np.ones(len(more), np.bool_)
    return len(first) + int(np.count_nonzero(new))


def _when_quantiles(parts: Sequence[Partial]) -> tuple[Instant, ...]:
    times = np.concatenate([_times(part) for part in parts])
    if not len(times):
        return ()
    if len(parts) > 1:
        # By seconds each part is in order already, which a stable sort makes use of; then
        # only what shares a second is put in order.
        times = times[np.argsort(times["seconds"], kind="stable")]
        if np.any(
            (times["seconds"][1:] == times["seconds"][:-1])
            & (times["nanos"][1:] < times["nanos"][:-1])
        ):
            times = times[np.lexsort((times["nanos"], times["seconds"]))]
    places = np.linspace(0, len(times) - 1, _PERCENTILES).round().astype(np.int64)
    return tuple(Instant(seconds=int(one[0]), nanos=int(one[1])) for one in times[places].tolist())


def _times(part: Partial) -> npt.NDArray[np.void]:
    times: npt.NDArray[np.void] = np.empty(len(part.when_s), _TIME)
    times["seconds"], times["nanos"] = part.when_s, part.when_ns
    return times
