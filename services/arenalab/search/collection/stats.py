"""Exact counts of a collection, from which searches are planned."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from arenalab.search.collection.segment import Segment
from arenalab.search.columns.columns import Columns
from arenalab.search.condition import Instant
from arenalab.search.store.row import NO_OUTCOME

MAX_TAGS: Final = 1000
_BUCKETS: Final = 11  # [0, 10), …, [90, 100), and 100 by itself
_PERCENTILES: Final = 101

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


def stats_of(segments: Sequence[Segment]) -> Stats:
    """Returns the counts of what a search may find in all segments together."""
    parts = [_live(segment) for segment in segments]
    domains, actions, tags = Counter[str](), Counter[str](), Counter[str]()
    for part in parts:
        domains.update(part.domains.counts())
        actions.update(part.actions.counts())
        tags.update({tag: len(rows) for tag, rows in part.tags.items()})
    statuses = np.concatenate([part.statuses for part in parts])
    numbers, counts = np.unique(statuses, return_counts=True)
    outcomes = np.concatenate([part.outcomes for part in parts])
    return Stats(
        domains=_by_count(domains),
        actions=_by_count(actions),
        statuses=tuple(zip(numbers.tolist(), counts.tolist(), strict=True)),
        tags=_by_count(tags)[:MAX_TAGS],
        quality_buckets=_quality_buckets(parts),
        when_quantiles=_when_quantiles(parts),
        distinct_outcomes=len(np.unique(outcomes[outcomes != NO_OUTCOME])),
    )


def _live(segment: Segment) -> Columns:
    if not segment.gone:
        return segment.columns
    keep = np.ones(len(segment), np.bool_)
    keep[np.array(segment.gone.to_array(), np.int64)] = False
    return segment.columns.taken(keep)


def _by_count(counted: Counter[str]) -> Counts:
    present = [(value, count) for value, count in counted.items() if count]
    return tuple(sorted(present, key=lambda pair: (-pair[1], pair[0])))


def _quality_buckets(parts: Sequence[Columns]) -> tuple[int, ...]:
    scores = np.concatenate([part.quality for part in parts])
    measured = scores[~np.isnan(scores)]
    return tuple(np.bincount((measured // 10).astype(np.int64), minlength=_BUCKETS).tolist())


def _when_quantiles(parts: Sequence[Columns]) -> tuple[Instant, ...]:
    seconds = np.concatenate([part.when_s for part in parts])
    nanos = np.concatenate([part.when_ns for part in parts])
    if not len(seconds):
        return ()
    order = np.lexsort((nanos, seconds))
    places = order[np.linspace(0, len(order) - 1, _PERCENTILES).round().astype(np.int64)]
    return tuple(
        Instant(seconds=second, nanos=nano)
        for second, nano in zip(seconds[places].tolist(), nanos[places].tolist(), strict=True)
    )
