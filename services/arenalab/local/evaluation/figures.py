"""How good a confidence is: calibration, ranking, and telling what is out of scope."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from arenalab.local.evaluation.contender import Scored
from arenalab.local.evaluation.resampling import Interval, interval_of
from arenalab.predictor.guarantee import BoolArray
from arenalab.predictor.neighbourhood import FloatArray
from arenalab.predictor.reliability import brier, expected_calibration_error, reliability_bins

BOOTSTRAPS = 200


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure with its 95 % bootstrap interval over questions; None: not computed."""

    value: float | None
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Quality:
    """The figures of a confidence that need no threshold."""

    ece: Measured  # 15 bins of equal mass
    brier: Measured
    auroc: Measured  # right answers above wrong ones
    oos_auroc: Measured  # questions in scope above those out of scope
    accuracy: float  # share of all questions whose proposed outcome is right
    # The first two before labels calibrated the confidence; None where none did.
    unlabelled_ece: float | None = None
    unlabelled_brier: float | None = None


def auroc(score: FloatArray, positive: BoolArray) -> float | None:
    """Returns the probability that a positive scores above a negative, ties counting half.

    None where there are only positives or only negatives.
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return None
    _, group, sizes = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[group]  # equal scores share their mean rank
    above = float(ranks[positive].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def ece(confidence: FloatArray, correct: BoolArray) -> float:
    """Returns the expected calibration error over 15 bins of equal mass, in [0, 1]."""
    return expected_calibration_error(reliability_bins(confidence, correct))


def quality_of(scored: Scored, seed: int) -> Quality:
    """Returns the quality over all questions, each figure with its interval.

    A contender whose confidence is 0 throughout has learnt no model: nothing is computed.
    """
    accuracy = float(scored.correct.mean())
    if not (scored.confidence > 0.0).any():
        none = Measured(None)
        return Quality(none, none, none, none, accuracy)
    rng = np.random.default_rng([seed, 4])
    draws = [rng.integers(0, len(scored), len(scored)) for _ in range(BOOTSTRAPS)]

    def measured(
        figure: Callable[[FloatArray, BoolArray], float | None], label: BoolArray
    ) -> Measured:
        value = figure(scored.confidence, label)
        if value is None:
            return Measured(None)
        drawn = [figure(scored.confidence[draw], label[draw]) for draw in draws]
        kept = np.array([one for one in drawn if one is not None])
        return Measured(value, interval_of(kept) if len(kept) else None)

    before = scored.unlabelled
    return Quality(
        ece=measured(ece, scored.correct),
        brier=measured(brier, scored.correct),
        auroc=measured(auroc, scored.correct),
        oos_auroc=measured(auroc, scored.in_scope),
        accuracy=accuracy,
        unlabelled_ece=None if before is None else ece(before, scored.correct),
        unlabelled_brier=None if before is None else brier(before, scored.correct),
    )
