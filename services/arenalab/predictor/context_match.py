"""How alike two situations are: a weighted mean over the factors that both sides know."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

import numpy as np
from rapidfuzz.distance import Levenshtein

from arenalab.predictor.neighbourhood import FloatArray, Situation
from arenalab.predictor.sentiment import valence_of

SAME_PARENT: Final = 0.7
UNRELATED: Final = 0.3

FUZZY_FROM: Final = 0.7
SEMANTIC_FROM: Final = 0.5
COMPLETE_DEPTH: Final = 5


class Factor(IntEnum):
    """What two situations are compared in; the column of each in a matrix of factors."""

    DOMAIN = 0
    EMOTION = 1
    STAKES = 2
    ACTIONS = 3
    SEMANTIC = 4


@dataclass(frozen=True, slots=True)
class Weights:
    """What each factor counts, in the order of `Factor`; non-negative."""

    domain: float = 0.30
    emotion: float = 0.10
    stakes: float = 0.15
    actions: float = 0.25
    semantic: float = 0.20

    def as_array(self) -> FloatArray:
        """Returns the weights, shape (5,)."""
        return np.array((self.domain, self.emotion, self.stakes, self.actions, self.semantic))


FIXED: Final = Weights()


class ActionMatch(StrEnum):
    """How a span's action answers to the one expected, best first."""

    EXACT = "exact"
    FUZZY = "fuzzy"  # at most three letters in ten differ
    SEMANTIC = "semantic"  # half of the words are the same, or it means nearly the same
    NONE = "none"


def context_similarities(
    query: Situation,
    past: Sequence[Situation],
    semantic: FloatArray,
    weights: Weights = FIXED,
) -> FloatArray:
    """Returns the weighted mean of the factors present on both sides, each in [0, 1], shape (k,).

    Args:
        query: Situation of the live question.
        past: Situations of the past spans, k of them.
        semantic: Cosines of the conversation and the spans' questions, shape (k,).
        weights: Of the factors.
    """
    return weighted_mean(factors_of(query, past, semantic), weights)


def weighted_mean(factors: FloatArray, weights: Weights) -> FloatArray:
    """Returns the weighted mean of each row's factors that are present, shape (k,).

    A row without a factor that counts has its plain mean: weights may be 0, rows never empty.
    """
    present = ~np.isnan(factors)
    filled = np.where(present, factors, 0.0)
    counts = weights.as_array()
    total = present @ counts
    if np.count_nonzero(total) == len(total):
        return np.asarray(filled @ counts / total)
    plain = filled.sum(axis=1) / np.maximum(present.sum(axis=1), 1)
    return np.where(total > 0, filled @ counts / np.where(total > 0, total, 1.0), plain)


def factors_of(query: Situation, past: Sequence[Situation], semantic: FloatArray) -> FloatArray:
    """Returns each factor in [0, 1], NaN where a side does not know it, shape (k, 5)."""
    # Neighbours share a handful of situations, which are one object each (see `situation_with`).
    distinct = {id(situation): situation for situation in past}
    place = dict(zip(distinct, range(len(distinct)), strict=True))
    factors = np.empty((len(past), len(Factor)))
    if distinct:
        rows = np.array([_compare(query, situation) for situation in distinct.values()])
        factors[:, : Factor.SEMANTIC] = rows[[place[id(situation)] for situation in past]]
    factors[:, Factor.SEMANTIC] = np.minimum(np.maximum(semantic, 0.0), 1.0)
    return factors


def _compare(query: Situation, past: Situation) -> tuple[float, float, float, float]:
    missing = math.nan
    return (
        domain_similarity(query.domain, past.domain) if query.domain and past.domain else missing,
        emotion_similarity(query.emotion, past.emotion)
        if query.emotion and past.emotion
        else missing,
        1.0 - abs(query.stakes - past.stakes) / 2.0
        if query.stakes is not None and past.stakes is not None
        else missing,
        Levenshtein.normalized_similarity(query.actions, past.actions)
        if query.actions and past.actions
        else missing,
    )


def domain_similarity(a: str, b: str) -> float:
    """Returns 1 for one domain, 0.7 where one holds the other or both lie in one, else 0.3."""
    if a == b:
        return 1.0
    return SAME_PARENT if a.split("/", 1)[0] == b.split("/", 1)[0] else UNRELATED


def emotion_similarity(a: str, b: str) -> float:
    """Returns 1 for one emotion, 0 for opposite ones, else how near their valences are.

    Two names of one feeling ("frustrated", and "negative" as it is inferred) must not count as
    different. A name whose valence is not known is like itself alone.
    """
    if a == b:
        return 1.0
    left, right = valence_of(a), valence_of(b)
    return 1.0 - abs(left - right) if left * right > 0 else 0.0


def completeness(depth: int) -> float:
    """Returns the confidence that a trajectory is whole, from the steps walked back."""
    return min(1.0, depth / COMPLETE_DEPTH)


def match_action(expected: str, action: str) -> ActionMatch:
    """Returns how well an action answers to the one expected, by letters and by words."""
    if expected == action:
        return ActionMatch.EXACT
    if Levenshtein.normalized_similarity(expected, action) >= FUZZY_FROM:
        return ActionMatch.FUZZY
    left, right = set(expected.split("_")), set(action.split("_"))
    if len(left & right) / len(left | right) >= SEMANTIC_FROM:
        return ActionMatch.SEMANTIC
    return ActionMatch.NONE
