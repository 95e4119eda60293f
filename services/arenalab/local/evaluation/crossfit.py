"""Confidences that labels have calibrated: each half of them for the other."""

from collections.abc import Callable
from typing import Final

import numpy as np

from arenalab.local.evaluation.contender import Scored
from arenalab.predictor.guarantee import IntArray
from arenalab.predictor.neighbourhood import FloatArray

# Answers that are right and wrong, at least: fewer give a slope of chance.
_MIN_EACH: Final = 5

Curve = Callable[[IntArray, IntArray], FloatArray]  # rows to fit on, rows to apply it to


def cross_fitted(scored: Scored, seed: int, curve: Curve) -> FloatArray | None:
    """Returns confidences of which none was calibrated by its own label.

    Args:
        scored: Proposals with labels.
        seed: Of the halves.
        curve: Fits on some rows; returns the confidences of others.

    Returns:
        Shape (n,); None where a half has fewer than five right or five wrong answers.
    """
    order = np.random.default_rng([seed, 2]).permutation(len(scored))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    confidence = scored.confidence.copy()
    for fit, apply in (halves, halves[::-1]):
        right = int(scored.correct[fit].sum())
        if min(right, len(fit) - right) < _MIN_EACH:
            return None
        confidence[apply] = curve(fit, apply)
    return confidence
