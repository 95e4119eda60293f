"""Maximal marginal relevance.

Carbonell and Goldstein (1998), "The Use of MMR, Diversity-Based Reranking for Reordering
Documents and Producing Summaries", SIGIR: hits are taken one by one, each time the one
with the highest

    (1 - diversity) * score - diversity * largest similarity to one that was taken

A negative similarity counts as 0: being unlike the others must not make a hit good. So
the values never rise from one that is taken to the next.
"""

import numpy as np

from arenalab.search.index.protocol import FloatArray, ScoreArray
from arenalab.search.index.selection import IntArray


def diversified(
    scores: ScoreArray, vectors: FloatArray, diversity: float, limit: int
) -> tuple[IntArray, ScoreArray]:
    """Returns the places of the hits taken, and their values when they were taken.

    Of equal values the first is taken.

    Args:
        scores: Of each hit, shape (k,).
        vectors: Unit vectors of the hits, shape (k, d).
        diversity: In [0, 1].
        limit: The most hits to take.
    """
    count = min(limit, len(scores))
    order = np.empty(count, np.int64)
    taken = np.empty(count, np.float64)
    relevance = (1 - diversity) * scores
    likeness = np.zeros(len(scores))
    values = relevance.copy()
    for place in range(count):
        best = int(np.argmax(values))
        order[place], taken[place] = best, values[best]
        # Row by row: a matrix product may differ in the last bit between equal rows.
        np.maximum(likeness, np.vecdot(vectors, vectors[best]), out=likeness)
        relevance[best] = -np.inf
        np.subtract(relevance, diversity * likeness, out=values)
    return order, taken
