"""The risk-coverage curve of a calibration: what each share of served traffic costs in errors."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from arenalab.predictor.guarantee import (
    BoolArray,
    Kind,
    bound_of,
    lower_bound,
    ranked_errors,
    upper_bound,
)
from arenalab.predictor.neighbourhood import FloatArray

POINTS: Final = 100
FEWEST_LABELS: Final = 30  # that an estimate of more can rest on
_MOST_TIMES: Final = 64  # times the present labels
_MOST_LABELS: Final = 100_000  # a plan for more is none, and looking takes seconds
_EXACTNESS: Final = 20


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One threshold, and the answers that it admits."""

    threshold: float
    coverage: float  # share of all questions
    served: int
    errors: int
    risk: float
    lower: float  # exact bounds of the risk at this one threshold, each with delta
    upper: float


def risk_coverage(
    confidences: FloatArray, correct: BoolArray, delta: float, points: int = POINTS
) -> list[CurvePoint]:
    """Returns at most `points` points by rising coverage; empty when nothing is ever served.

    The bounds are of each point by itself: to choose a threshold from them is what `bound_of` is
    for.
    """
    ranked, errors, ends = ranked_errors(confidences, correct)
    if not len(ends):
        return []
    wanted = np.linspace(0, ends[-1], min(points, len(ends)) + 1)[1:]
    at = np.unique(ends[np.searchsorted(ends, wanted - 1e-9)])
    served, wrong = (at + 1).astype(np.float64), errors[at].astype(np.float64)
    lower, upper = lower_bound(wrong, served, delta), upper_bound(wrong, served, delta)
    return [
        CurvePoint(
            threshold=float(ranked[n]),
            coverage=(int(n) + 1) / len(ranked),
            served=int(n) + 1,
            errors=int(errors[n]),
            risk=int(errors[n]) / (int(n) + 1),
            lower=float(lower[i]),
            upper=float(upper[i]),
        )
        for i, n in enumerate(at)
    ]


def labels_for(
    confidences: FloatArray,
    correct: BoolArray,
    alpha: float,
    delta: float,
    gain: float,
    kind: Kind = Kind.HIGH_PROBABILITY,
) -> int | None:
    """Returns how many more labels like these would serve `gain` more of the traffic.

    An estimate, to a twentieth: it takes the present questions several times over. None when
    there are too few to estimate from, and when more labels alone would not do: the ranking errs
    too often, or 64 times as many would be needed, or far more than 100,000.

    Args:
        confidences: As `bound_of`, and so are `correct`, `alpha`, `delta` and `kind`.
        correct: As above.
        alpha: As above.
        delta: As above.
        gain: Wanted share of the traffic beyond the present coverage, in (0, 1).
        kind: As above.
    """
    size = len(confidences)
    if size < FEWEST_LABELS:
        return None
    goal = bound_of(confidences, correct, alpha, delta, kind).coverage + gain
    if _limit(confidences, correct, alpha) < goal:
        return None
    order = np.argsort(-np.nan_to_num(confidences, nan=0.0), kind="stable")
    ranked, right = confidences[order], correct[order]

    def reaches(total: int) -> bool:
        copies = np.diff(np.arange(size + 1) * total // size)  # spread evenly over the ranking
        many = np.repeat(ranked, copies), np.repeat(right, copies)
        return bound_of(*many, alpha, delta, kind).coverage >= goal

    low, high = size, 2 * size
    most = min(_MOST_TIMES * size, max(2 * size, _MOST_LABELS))
    while not reaches(high):
        low, high = high, 2 * high
        if high > most:
            return None
    while high - low > max(1, high // _EXACTNESS):
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high - size


def _limit(confidences: FloatArray, correct: BoolArray, alpha: float) -> float:
    """Returns the coverage that no number of labels like these goes beyond."""
    _, errors, ends = ranked_errors(confidences, correct)
    passing = ends[errors[ends] <= alpha * (ends + 1)]
    return (int(passing[-1]) + 1) / len(confidences) if len(passing) else 0.0
