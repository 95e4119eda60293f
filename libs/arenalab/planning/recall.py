"""How hard each engine must look to find a wanted share of the true nearest.

Measured with faiss HNSW16,SQbf16 and IVF,SQ8 on 300 questions over 10,000 and 39,000
vectors of real questions, and 100,000 with near duplicates of them; filters are random.
Unfiltered walks were measured again with lists of 150 at construction, for limits of 1 to
300 and targets of .95, .99 and .999: 1,000 held-out questions, and 500 near stored ones,
over 10,000 and 30,000 real questions and the 18,000 of CLINC150, both also with near
duplicates to 60,000 and 100,000. Every target was met. The limit matters little: no list
is shorter than twice the limit, and that alone finds .99 from 100 hits on.

Two made-up collections are beyond the table. Of 2,000 questions in thirty noisy wordings
each, walks for held-out questions begin among the wrong wordings and stay: .983 to .995
for a target of .99, and .997 to 1 for .999, from one build to the next (800 such questions
met both). Of 500 narrow clusters of 50 in all 384 dimensions, a search for more hits than a
cluster has, 100, needs a list of 768 for .99 and gets one of 200, which finds .93. Lists
for these would make all others slow. So what the tables say is multiplied by an effort that
is measured of each index: 1 for most, more for one like these, and UNREACHABLE for one that
finds too little however hard it looks.

An engine that is handed a filter widens what it is given by the share that passes: a
graph's list by twice its candidates over that share, inverted lists by its square root.
Plans say what to hand over, costs count what is looked at.

The tables hold what the hardest of the others needed; between their rows both numbers
are interpolated on a scale of logarithms, since misses fall as a power of effort.
"""

import math
from bisect import bisect_left, bisect_right
from typing import Final

MAX_EF: Final = 4096
MAX_PROBES: Final = 65_536
# By how much more than the tables say an index can be searched. One that needs more than
# the last but one is scanned: a list of any length times the last is beyond MAX_EF.
UNREACHABLE: Final = float(MAX_EF)
EFFORTS: Final = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, UNREACHABLE)
_MIN_EF: Final = 16

# recall: candidate list, its growth with each hit wanted, and how many hits must be met
# in place of one under a filter, in units of 1 / share.
_WALK: Final = (
    (0.80, 8.0, 1.0, 0.40),
    (0.90, 10.0, 1.0, 0.60),
    (0.95, 46.0, 1.0, 0.90),
    (0.98, 110.0, 1.0, 1.40),
    (0.99, 150.0, 1.3, 2.00),
    (0.995, 300.0, 2.5, 3.00),
    (0.999, 1200.0, 6.0, 6.00),
)
# recall: inverted lists for 10 hits.
_PROBES: Final = (
    (0.80, 2.0),
    (0.90, 6.0),
    (0.95, 14.0),
    (0.98, 45.0),
    (0.99, 105.0),
    (0.995, 200.0),
    (0.999, 700.0),
)
_WALK_SPANS: Final = 100_000
# 10,000 rows needed half of what 100,000 did.
_WALK_GROWTH: Final = 0.3
_LEAST_GROWTH: Final = 0.5
_MOST_GROWTH: Final = 2.0
_PROBED_HITS: Final = 10
# Hits beyond the mean that an unfiltered search fetches, in standard deviations: one
# search in a thousand finds too few that pass.
_DEVIATIONS: Final = 3.0
# Hits re-scored for each one wanted: codes of 16 bits confuse near duplicates only,
# those of 8 bits a little more.
_WALK_RESCORED: Final = 2
_LISTS_RESCORED: Final = 2
_MORE_RESCORED: Final = 8


def ef_for(
    recall: float, limit: int, spans: int, share: float = 1.0, *, effort: float = 1.0
) -> int | None:
    """Returns the candidate list that reaches a recall; None if none within bounds does.

    Args:
        recall: The wanted share of the true nearest, in (0, 1].
        limit: Hits wanted.
        spans: Rows of the graph.
        share: The share of rows near the query that pass the filter, in (0, 1].
        effort: How many times longer a list this graph needs, in [1, UNREACHABLE].
    """
    if recall >= 1.0 or effort >= UNREACHABLE:
        return None
    base = _at(recall, _WALK, 1) + _at(recall, _WALK, 2) * limit
    if share < 1.0:
        base += _at(recall, _WALK, 3) * (limit + 2) / share
    growth = float((spans / _WALK_SPANS) ** _WALK_GROWTH)
    wanted = math.ceil(base * min(_MOST_GROWTH, max(_LEAST_GROWTH, growth)) * effort)
    least = max(_MIN_EF, candidates_of(limit))
    return None if max(wanted, least) > MAX_EF else max(wanted, least)


def probes_for(recall: float, limit: int, share: float = 1.0, *, effort: float = 1.0) -> int | None:
    """Returns how many inverted lists reach a recall; None if no number surely does.

    Arguments as of `ef_for`.
    """
    if recall >= 1.0 or effort >= UNREACHABLE:
        return None
    hits = limit / share / _PROBED_HITS
    more = float(hits ** min(0.6 if hits > 1.0 else 0.35, 0.2 + 8.0 * (1.0 - recall)))
    return min(MAX_PROBES, max(1, math.ceil(_at(recall, _PROBES, 1) * more * effort)))


def harder(effort: float) -> float:
    """Returns the next of EFFORTS; the last where there is none."""
    return EFFORTS[min(bisect_right(EFFORTS, effort), len(EFFORTS) - 1)]


def fetch_for(limit: int, share: float) -> int:
    """Returns how many hits to fetch unfiltered so that `limit` of them pass."""
    return math.ceil((limit + _DEVIATIONS * math.sqrt(limit * (1.0 - share))) / share)


def candidates_of(limit: int) -> int:
    """Returns how many hits of a graph are compared once more."""
    return min(MAX_EF, _WALK_RESCORED * limit)


def list_candidates_of(limit: int) -> int:
    """Returns how many hits of inverted lists are compared once more."""
    return min(MAX_EF, _LISTS_RESCORED * limit + _MORE_RESCORED)


def filtered_candidates_of(limit: int) -> int:
    """Returns how many hits of a filtered graph are compared once more."""
    # Each of them widens the list, so that they are fewer than without a filter.
    return math.ceil(1.25 * limit) + 2


def widening_of(candidates: int, share: float) -> int:
    """Returns by how much a graph lengthens its list for a filter."""
    return math.ceil(2 * candidates / share)


def widened(n_probe: int, share: float) -> int:
    """Returns how many lists are looked into for a filter, when given so many."""
    return math.ceil(n_probe / math.sqrt(share))


def narrowed(n_probe: int, share: float) -> int:
    """Returns how many lists to give, so that so many are looked into."""
    return math.ceil(n_probe * math.sqrt(share))


def _at(recall: float, table: tuple[tuple[float, ...], ...], column: int) -> float:
    if recall <= table[0][0]:
        return table[0][column]
    # Beyond the last row the last two go on: ever more effort for ever fewer misses.
    above = min(len(table) - 1, bisect_left([row[0] for row in table], recall))
    low, high = table[above - 1], table[above]
    place = math.log((1 - recall) / (1 - low[0])) / math.log((1 - high[0]) / (1 - low[0]))
    return float(low[column] * (high[column] / low[column]) ** place)
