"""How many violations the noise of measuring allows where the bound is kept.

The bound speaks of the risk of all traffic; a split measures it on the answers of a finite part,
and both parts come from one pool: the errors that the one lacks, the other has. At one threshold,
let n answers of the calibration part be served and m of the evaluated part, and let K of the n + m
be wrong. The draw alone decides how many errors e fall among the n: hypergeometric. The split
serves if e <= b, the most errors that pass for n, and violates if K - e > c, the whole part of
alpha m. For K below b + c + 1, P(K - e > c) falls with K; for K above, P(e <= b) falls as K rises.
So the worst pool has K = b + c + 1, and

    P(violation) <= P(Hypergeometric(n + m, b + c + 1, n) <= b),

about Phi(-z sqrt(m / (n + m))), z being delta's quantile: at delta = 5 %, 12 % where as many are
evaluated as calibrate, 9 % where twice as many are, and 5 % only in the limit. Ordinary pools stay
below. The sequence of thresholds adds next to nothing: the pool, not the draw, decides from which
rank on a violation is possible, and what is below is only reached by passing there.

Source: Thatcher (1964), Relationships between Bayesian and confidence limits for predictions,
JRSS B 26(2), for the bound on a second sample.
"""

import numpy as np
from scipy.stats import binom, hypergeom

from arenalab.predictor.guarantee import IntArray, sequence_positions
from arenalab.predictor.neighbourhood import FloatArray


def violation_chance(
    calibrated: IntArray, evaluated: IntArray, alpha: float, delta: float
) -> FloatArray:
    """Returns how often, in the worst pool, a split passes the bound and then violates alpha.

    Args:
        calibrated: Served answers of the calibration part, each at least 1, shape (k,).
        evaluated: Served answers of the evaluated part, each at least 0, shape (k,).
        alpha: Tolerated risk, in (0, 1).
        delta: Tolerated probability that the bound fails, in (0, 1).
    """
    passing = most_passing(calibrated, alpha, delta)
    # The small number undoes rounding at whole results.
    kept = np.floor(alpha * evaluated + 1e-9).astype(np.intp)
    possible = (passing >= 0) & (kept < evaluated)
    chance = hypergeom.cdf(passing, calibrated + evaluated, passing + kept + 1, calibrated)
    return np.where(possible, chance, 0.0)


def most_passing(served: IntArray, alpha: float, delta: float) -> IntArray:
    """Returns the most errors with which so many answers pass the exact bound; -1: not even 0."""
    quantile = binom.ppf(delta, served, alpha)
    most = np.where(binom.cdf(quantile, served, alpha) <= delta, quantile, quantile - 1)
    return np.asarray(most, dtype=np.intp)


def noise_allows(
    served: IntArray, calibration: int, evaluation: int, alpha: float, delta: float
) -> float:
    """Returns about how many splits at the most may violate alpha while the bound is kept.

    Args:
        served: Calibration answers at or above the threshold of each split, shape (splits,). 0:
            none; that split counts with where the sequence of tests begins, since another draw
            of it would have served so many.
        calibration: Questions of the calibration part.
        evaluation: Questions of the evaluated part.
        alpha: Tolerated risk, in (0, 1).
        delta: Tolerated probability that the bound fails, in (0, 1).
    """
    positions = sequence_positions(calibration, alpha, delta)
    if not len(positions):
        return 0.0
    sizes, splits = np.unique(np.where(served > 0, served, positions[0]), return_counts=True)
    evaluated = np.rint(sizes * (evaluation / calibration)).astype(np.intp)
    return float(violation_chance(sizes, evaluated, alpha, delta) @ splits)
