"""The share of spans that passes each condition of a filter, from exact counts.

A single domain, action or status is exact. Times and scores are interpolated inside a
percentile or a bucket. Several conditions are multiplied as if they were independent,
which is the one guess here; the two bounds of time are taken together.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from arenalab.planner.facts import Facts, Wanted

_PERCENTILES: Final = 100
_BUCKET: Final = 10.0  # width of a quality bucket


def selectivities(facts: Facts, wanted: Wanted) -> dict[str, float]:
    """Returns the share of spans that passes each condition, most selective first."""
    if not facts.spans:
        return dict.fromkeys(wanted.conditions, 0.0)
    shares = {name: _SHARES[name](facts, wanted) for name in wanted.conditions}
    return dict(sorted(shares.items(), key=lambda item: item[1]))


def passing_share(facts: Facts, wanted: Wanted) -> float:
    """Returns the share of spans that passes the whole filter, in [0, 1]."""
    shares = selectivities(facts, wanted)
    if "not_before" in shares and "before" in shares:
        window = shares.pop("not_before") + shares.pop("before") - 1.0
        shares["window"] = max(0.0, window)
    product = 1.0
    for share in shares.values():
        product *= share
    return product


def share_before(percentiles: tuple[int, ...], instant: int) -> float:
    """Returns the share of times strictly before an instant."""
    if not percentiles or instant <= percentiles[0]:
        return 0.0
    above = bisect_left(percentiles, instant)
    if above == len(percentiles):
        return 1.0
    low, high = percentiles[above - 1], percentiles[above]
    return (above - 1 + (instant - low) / (high - low)) / _PERCENTILES


def share_of_quality(buckets: tuple[int, ...], spans: int, least: float) -> float:
    """Returns the share of spans with a measured score of at least `least`."""
    bucket = min(int(least // _BUCKET), len(buckets) - 1)
    above = float(sum(buckets[bucket + 1 :]))
    # The last bucket is the single score 100; within the others scores are spread evenly.
    is_last = bucket == len(buckets) - 1
    inside = 1.0 if is_last else 1.0 - (least - bucket * _BUCKET) / _BUCKET
    return (above + inside * buckets[bucket]) / spans


def _domains(facts: Facts, wanted: Wanted) -> float:
    # A domain below two that are wanted counts once.
    count = sum(
        count
        for domain, count in facts.domains.items()
        if any(domain == one or domain.startswith(f"{one}/") for one in wanted.domains)
    )
    return count / facts.spans


def _values(counts: Mapping[str, int], values: Iterable[str], spans: int) -> float:
    return sum(counts.get(value, 0) for value in set(values)) / spans


def _tags(facts: Facts, wanted: Wanted) -> float:
    # A tag that is not among the most frequent ones is at most as frequent as the last.
    rarest = 0 if facts.all_tags else min(facts.tags.values(), default=0)
    share = 1.0
    for tag in set(wanted.tags):
        share *= facts.tags.get(tag, rarest) / facts.spans
    return share


_SHARES: Final[Mapping[str, Callable[[Facts, Wanted], float]]] = {
    "domains": _domains,
    "actions": lambda facts, wanted: _values(facts.actions, wanted.actions, facts.spans),
    "statuses": lambda facts, wanted: _values(facts.statuses, wanted.statuses, facts.spans),
    "not_before": lambda facts, wanted: (
        1.0 - share_before(facts.when_percentiles, wanted.not_before or 0)
    ),
    "before": lambda facts, wanted: share_before(facts.when_percentiles, wanted.before or 0),
    "min_quality": lambda facts, wanted: share_of_quality(
        facts.quality_buckets, facts.spans, wanted.min_quality or 0.0
    ),
    "tags": _tags,
}
