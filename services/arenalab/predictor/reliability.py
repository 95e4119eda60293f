"""How honest a confidence is: calibration error, Brier score, and the curve behind them."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from arenalab.predictor.guarantee import BoolArray
from arenalab.predictor.neighbourhood import FloatArray

BINS: Final = 15


@dataclass(frozen=True, slots=True)
class Bin:
    """Questions of similar confidence."""

    size: int
    confidence: float  # mean
    accuracy: float


def reliability_bins(confidences: FloatArray, correct: BoolArray, bins: int = BINS) -> list[Bin]:
    """Returns bins of equal mass (sizes differ by at most one), by ascending confidence."""
    order = np.argsort(confidences, kind="stable")
    parts = np.array_split(order, min(bins, len(order)) or 1)
    return [
        Bin(len(part), float(confidences[part].mean()), float(correct[part].mean()))
        for part in parts
        if len(part)
    ]


def expected_calibration_error(bins: list[Bin]) -> float:
    """Returns the mean gap of confidence and accuracy over bins by mass, in [0, 1]; 0 is perfect.

    Source: Naeini, Cooper and Hauskrecht (2015), AAAI; equal-mass bins after Nixon et al. (2019).
    """
    size = sum(part.size for part in bins)
    gaps = sum(part.size * abs(part.confidence - part.accuracy) for part in bins)
    return gaps / size if size else 0.0


def brier(confidences: FloatArray, correct: BoolArray) -> float:
    """Returns the mean squared error of the confidence, in [0, 1]; 0 is perfect, 0 for no data.

    Source: Brier (1950), Monthly Weather Review 78(1).
    """
    if not len(confidences):
        return 0.0
    return float(((confidences - correct) ** 2).mean())
