"""Weighted reciprocal rank fusion.

Cormack, Clarke and Buettcher (2009), "Reciprocal Rank Fusion outperforms Condorcet and
individual Rank Learning Methods", SIGIR: a hit's score is the sum, over the lists it is
in, of 1 / (constant + rank). Here each list has a weight, and the sum is multiplied by
constant + 1, so that the first of both lists has the score 1 whatever the constant:

    (constant + 1) * ((1 - w) / (constant + dense rank) + w / (constant + lexical rank))

Ranks say nothing of how much better a hit is than the next. That makes cosines and BM25
scores, which share no scale, comparable; it also loses what the scores knew.
"""

import numpy as np

from arenalab.search.index.protocol import ScoreArray
from arenalab.search.index.selection import IntArray


def fused(
    similarities: ScoreArray, lexical_scores: ScoreArray, weight: float, constant: int
) -> ScoreArray:
    """Returns the scores of hits, in [0, 1].

    Args:
        similarities: Of each hit, shape (k,).
        lexical_scores: Of each hit; one of 0 has no word in common with the query, and is
            in no lexical list.
        weight: Of the lexical ranks, in [0, 1].
        constant: At least 1.
    """
    dense = (1 - weight) / (constant + ranks(similarities))
    lexical = np.where(lexical_scores > 0, weight / (constant + ranks(lexical_scores)), 0.0)
    scores: ScoreArray = (constant + 1) * (dense + lexical)
    return scores


def ranks(scores: ScoreArray) -> IntArray:
    """Returns 1 + how many hits have a higher score: equal ones share the better rank.

    Repeated questions are what is searched here; of equal hits none is to come after
    others by chance.
    """
    ascending = np.sort(scores)
    found: IntArray = 1 + len(scores) - np.searchsorted(ascending, scores, side="right")
    return found
