"""What a search costs in microseconds, as far as the choice of a plan needs it.

Measured on 2 cores with vectors of 384 dimensions; other machines differ by some 30 %,
which moves the crossings a little and the order of the plans hardly.

    scan of all N vectors       N · 0.020            as codes, one after the other
    scan of n among N           n · 0.124            scattered rows, gathered first
                                                     (88 to 175 ns: their geometric mean)
    graph walk                  180 · log N / log 100,000 · ef / 64
    graph walk under a filter   that · 0.54 / share that passes

The last factor makes a scan and a filtered walk cross where they were measured to,
near 28·√N candidates at 100,000 vectors.
"""

import math
from collections.abc import Iterable
from typing import Final

SCAN_ALL_US: Final = 0.020
SCAN_ONE_US: Final = 0.124
GRAPH_US: Final = 180.0
GRAPH_SPANS: Final = 100_000
GRAPH_EF: Final = 64
FILTERED_GRAPH: Final = 0.54
# Looking at one span for one condition, as arrays do it.
CONDITION_US: Final = 0.002


def scan_us(spans: int, matches: float) -> float:
    """Returns the cost of scanning the spans that pass: alone, or with all the others."""
    return min(matches * SCAN_ONE_US, spans * SCAN_ALL_US)


def graph_us(spans: int, ef_search: int) -> float:
    """Returns the cost of an unfiltered graph walk."""
    size = math.log(max(2, spans)) / math.log(GRAPH_SPANS)
    return GRAPH_US * size * ef_search / GRAPH_EF


def filtered_graph_us(spans: int, ef_search: int, share: float) -> float:
    """Returns the cost of a graph walk that keeps a share of what it meets, in (0, 1]."""
    least = 1.0 / max(2, spans)  # one span passes: the walk sees them all
    return graph_us(spans, ef_search) * max(1.0, FILTERED_GRAPH / max(share, least))


def filter_us(spans: int, shares: Iterable[float]) -> float:
    """Returns the cost of evaluating conditions in order, each on what passed before."""
    cost, left = 0.0, float(spans)
    for share in shares:
        cost += left * CONDITION_US
        left *= share
    return cost


def rescore_us(candidates: int) -> float:
    """Returns the cost of comparing candidates once more in full precision."""
    return candidates * SCAN_ONE_US
