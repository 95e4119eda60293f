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
_MOST_LABELS: Final = 64  # times the present ones


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

    An estimate: it takes the present questions several times over. None when not even 64 times
    as many would do.

    Args:
        confidences: As `bound_of`, and so are `correct`, `alpha`, `delta` and `kind`.
        correct: As above.
        alpha: As above.
        delta: As above.
        gain: Wanted share of the traffic beyond the present coverage, in (0, 1).
        kind: As above.
    """
    if not len(confidences):
        return None
    goal = bound_of(confidences, correct, alpha, delta, kind).coverage + gain
    times = 2
    while times <= _MOST_LABELS:
        many = bound_of(np.tile(confidences, times), np.tile(correct, times), alpha, delta, kind)
        if many.coverage >= goal:
            return (times - 1) * len(confidences)
        times *= 2
    return None
