"""What scores are multiplied by: age, quality and the weights that were set."""

from typing import Any

import numpy as np
import numpy.typing as npt

from arenalab.search.index.protocol import ScoreArray

_UNMEASURED_QUALITY = 50.0


def decay(when_s: npt.NDArray[np.number[Any]], now_s: float, half_life_s: float) -> ScoreArray:
    """Returns 2 ** -(age / half life), in [0, 1].

    A span from the future has the age 0: another machine's clock is ahead, which is no
    merit of the span.
    """
    age_s = np.maximum(now_s - when_s, 0.0)
    factors: ScoreArray = np.exp2(-age_s / half_life_s)
    return factors


def quality(scores: ScoreArray, weight: float) -> ScoreArray:
    """Returns 1 - weight + weight * score / 100, in [0, 1]; NaN counts as 50."""
    measured = np.where(np.isnan(scores), _UNMEASURED_QUALITY, scores)
    factors: ScoreArray = 1 - weight + weight * measured / 100
    return factors


def scaled(scores: ScoreArray, factors: ScoreArray) -> ScoreArray:
    """Returns scores times factors, where a negative score stays what it is.

    A factor below 1 would raise it, one above 1 lower it: the opposite of what either is
    for. So factors order the hits that are like the query, and leave those that are not
    behind them, by similarity.
    """
    result: ScoreArray = np.where(scores > 0, scores * factors, scores)
    return result
