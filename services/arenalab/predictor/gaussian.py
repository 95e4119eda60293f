"""Outcomes as Gaussian clouds with one covariance: how far off a question lies, and from where.

A linear head splits all of space among its outcomes, so that it is sure of questions far from
every span. The Mahalanobis distance to an outcome's mean is not: and taken relative to the
distance to the mean of everything it tells a question near an outcome from one inside it.

Sources: Lee et al. (2018), A Simple Unified Framework for Detecting Out-of-Distribution Samples;
Ren et al. (2021), A Simple Fix to Mahalanobis Distance, arXiv:2106.09022.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from arenalab.predictor.guarantee import IntArray
from arenalab.predictor.head import linear
from arenalab.predictor.neighbourhood import FloatArray, Vectors

# Share of the isotropic part in the covariance: keeps few spans from a singular one.
_SHRINKAGE: Final = 0.1


@dataclass(frozen=True)
class Clouds:
    """The distances as a linear function: what is quadratic in the question cancels out."""

    weights: Vectors  # (o, d)
    bias: Vectors  # (o,)

    def distances(self, vectors: Vectors) -> FloatArray:
        """Returns half the squared distance to every outcome, relative to everything, (n, o).

        In nats: the difference of two is a log likelihood ratio.
        """
        return linear(vectors, self.weights, self.bias)


def fit_clouds(vectors: Vectors, codes: IntArray, outcomes: int) -> Clouds:
    """Returns the clouds of spans; each of `outcomes` has a row in `codes`."""
    dimension = vectors.shape[1]
    counts = np.bincount(codes, minlength=outcomes)
    sums = np.zeros((outcomes, dimension))
    np.add.at(sums, codes, vectors)
    means = sums / counts[:, None]
    residuals = vectors - means[codes].astype(np.float32)
    degrees = max(1, len(vectors) - outcomes)
    covariance = (residuals.T @ residuals).astype(np.float64) / degrees
    isotropic = max(float(np.trace(covariance)) / dimension, 1e-6)
    covariance = (1.0 - _SHRINKAGE) * covariance + _SHRINKAGE * isotropic * np.eye(dimension)
    centre = vectors.mean(axis=0, dtype=np.float64)
    # With x the question: 1/2 |x - m|² - 1/2 |x - c|² = x'S(c - m) + 1/2 m'Sm - 1/2 c'Sc.
    solved = np.linalg.solve(covariance, np.vstack([means, centre]).T).T
    halves = 0.5 * (solved * np.vstack([means, centre])).sum(axis=1)
    return Clouds(
        np.ascontiguousarray(solved[-1] - solved[:-1], dtype=np.float32),
        (halves[:-1] - halves[-1]).astype(np.float32),
    )
