"""How alike two situations are: a weighted mean over the factors that both sides know."""

from enum import StrEnum
from typing import Final

import numpy as np

from arenalab.predictor.edit import edit_similarity
from arenalab.predictor.neighbourhood import FloatArray, Situation

DOMAIN_WEIGHT: Final = 0.30
EMOTION_WEIGHT: Final = 0.10
STAKES_WEIGHT: Final = 0.15
ACTIONS_WEIGHT: Final = 0.25
SEMANTIC_WEIGHT: Final = 0.20

SAME_PARENT: Final = 0.7
UNRELATED: Final = 0.3

FUZZY_FROM: Final = 0.7
SEMANTIC_FROM: Final = 0.5
COMPLETE_DEPTH: Final = 5


class ActionMatch(StrEnum):
    """How a span's action answers to the one expected, best first."""

    EXACT = "exact"
    FUZZY = "fuzzy"  # at most three letters in ten differ
    SEMANTIC = "semantic"  # half of the words are the same
    NONE = "none"


def context_similarity(query: Situation, past: Situation, semantic: float) -> float:
    """Returns the weighted mean of the factors present on both sides, in [0, 1].

    Args:
        query: Situation of the live question.
        past: Situation of the past span.
        semantic: Cosine of the conversation and the span's question; always present.
    """
    score, total = known_factors(query, past)
    return float(with_semantic(np.array(score), np.array(total), np.array(semantic)))


def known_factors(query: Situation, past: Situation) -> tuple[float, float]:
    """Returns the weighted sum of the factors but the semantic one, and the sum of weights."""
    total = score = 0.0
    if query.domain and past.domain:
        total += DOMAIN_WEIGHT
        score += DOMAIN_WEIGHT * domain_similarity(query.domain, past.domain)
    if query.emotion and past.emotion:
        total += EMOTION_WEIGHT
        score += EMOTION_WEIGHT * (query.emotion == past.emotion)
    if query.stakes is not None and past.stakes is not None:
        total += STAKES_WEIGHT
        score += STAKES_WEIGHT * (1.0 - abs(query.stakes - past.stakes) / 2.0)
    if query.actions and past.actions:
        total += ACTIONS_WEIGHT
        score += ACTIONS_WEIGHT * edit_similarity(query.actions, past.actions)
    return score, total


def with_semantic(score: FloatArray, total: FloatArray, semantic: FloatArray) -> FloatArray:
    """Returns context similarities, from `known_factors` and the semantic one, elementwise."""
    near = np.clip(semantic, 0.0, 1.0)
    return np.asarray((score + SEMANTIC_WEIGHT * near) / (total + SEMANTIC_WEIGHT))


def domain_similarity(a: str, b: str) -> float:
    """Returns 1 for one domain, 0.7 where one holds the other or both lie in one, else 0.3."""
    if a == b:
        return 1.0
    return SAME_PARENT if a.split("/", 1)[0] == b.split("/", 1)[0] else UNRELATED


def completeness(depth: int) -> float:
    """Returns the confidence that a trajectory is whole, from the steps walked back."""
    return min(1.0, depth / COMPLETE_DEPTH)


def match_action(expected: str, action: str) -> ActionMatch:
    """Returns how well an action answers to the one expected."""
    if expected == action:
        return ActionMatch.EXACT
    if edit_similarity(expected, action) >= FUZZY_FROM:
        return ActionMatch.FUZZY
    left, right = set(expected.split("_")), set(action.split("_"))
    if len(left & right) / len(left | right) >= SEMANTIC_FROM:
        return ActionMatch.SEMANTIC
    return ActionMatch.NONE
