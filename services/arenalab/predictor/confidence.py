"""The probability that the output is right: a ranking, then calibrated.

The ranking is a logistic regression whose weights may only have the sign that is known beforehand
(see `directions`). It is smooth, which wins where a dozen errors decide a threshold, and it cannot
learn by heart what only looks like a rule in the few hundred questions of a small version.

Fitting needs scikit-learn and SciPy; serving is a few array operations on numbers from the
artefact.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from arenalab.predictor.guarantee import BoolArray, IntArray
from arenalab.predictor.neighbourhood import FloatArray

# Inputs beyond these quantiles of the examples say no more than the quantile does: what no example
# has shown is not to outweigh all else.
_LOW_QUANTILE: Final = 0.005
_HIGH_QUANTILE: Final = 0.995
# Strength of the L2 penalty is 1 / C; from 0.003 to 0.3 it hardly matters, in corpora of 200 spans
# and of 15,000.
_C: Final = 0.03
# Of the curve, which has three numbers and needs no penalty.
_CURVE_C: Final = 1e6
_MIN_STD: Final = 1e-9
_MIN_SLOPE: Final = 0.05
# Confidences are kept from 0 and 1, where a logit is infinite.
_EDGE: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Bend:
    """A calibration curve: the logit is scaled on either side of 0, then shifted.

    Platt's sigmoid with a slope for each side, as confidence is earned differently at the two
    ends. It rises strictly, so that it never changes which answers a threshold admits.
    """

    low: float = 1.0  # slope below 0, positive
    high: float = 1.0  # slope above 0, positive
    shift: float = 0.0

    def __call__(self, raw: FloatArray) -> FloatArray:
        """Returns the calibrated probability of logits, in (0, 1)."""
        bent = np.minimum(raw, 0.0) * self.low + np.maximum(raw, 0.0) * self.high
        return sigmoid(bent + self.shift)


@dataclass(frozen=True)
class ConfidenceModel:
    """Standardisation, logistic weights, and the curve."""

    mean: FloatArray  # (d,)
    std: FloatArray  # (d,), positive
    low: FloatArray  # (d,), smallest standardised input that counts
    high: FloatArray  # (d,), largest
    weights: FloatArray  # (d,)
    intercept: float
    bend: Bend

    def raw(self, features: FloatArray) -> FloatArray:
        """Returns the uncalibrated logit of each row of (n, d), or of one vector (d,)."""
        z = np.minimum(np.maximum((features - self.mean) / self.std, self.low), self.high)
        return np.asarray(z @ self.weights + self.intercept)

    def confidence(self, features: FloatArray) -> FloatArray:
        """Returns the calibrated probability of each row, in (0, 1)."""
        return self.bend(self.raw(features))


def sigmoid(logit: FloatArray) -> FloatArray:
    """Returns 1 / (1 + exp(-logit)) without overflow."""
    # By exp rather than tanh: near 1 the latter rounds to few different values.
    power = np.exp(-np.abs(logit))
    return np.asarray(np.where(logit >= 0, 1.0, power) / (1.0 + power))


def logit_of(confidences: FloatArray) -> FloatArray:
    """Returns the logits of probabilities, those of 0 and 1 far but finite."""
    inside = np.clip(confidences, _EDGE, 1.0 - _EDGE)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def fit_model(
    features: FloatArray, correct: BoolArray, directions: IntArray
) -> ConfidenceModel | None:
    """Returns a model that is not calibrated yet; None without both right and wrong answers.

    Args:
        features: Of the examples, shape (n, d).
        correct: Whether each was right, shape (n,).
        directions: Sign that the weight of each feature may have, shape (d,); 0: it has none.
    """
    if not has_both(correct):
        return None
    mean, std = features.mean(axis=0), features.std(axis=0)
    std = np.where(std < _MIN_STD, 1.0, std)
    z = (features - mean) / std
    low, high = np.quantile(z, (_LOW_QUANTILE, _HIGH_QUANTILE), axis=0)
    weights, intercept = _directed(np.clip(z, low, high), correct, directions)
    return ConfidenceModel(mean, std, low, high, weights, intercept, Bend())


def _directed(x: FloatArray, correct: BoolArray, directions: IntArray) -> tuple[FloatArray, float]:
    from scipy.optimize import minimize

    signs = np.where(correct, 1.0, -1.0)

    def objective(at: FloatArray) -> tuple[float, FloatArray]:
        margins = signs * (x @ at[:-1] + at[-1])
        pulls = -signs * sigmoid(-margins)
        penalty = float(at[:-1] @ at[:-1]) / (2.0 * _C)
        loss = float(np.logaddexp(0.0, -margins).sum()) + penalty
        return loss, np.append(x.T @ pulls + at[:-1] / _C, pulls.sum())

    signed = [(0.0 if d >= 0 else None, 0.0 if d <= 0 else None) for d in directions.tolist()]
    found = minimize(
        objective,
        np.zeros(x.shape[1] + 1),
        jac=True,
        method="L-BFGS-B",
        bounds=[*signed, (None, None)],
        options={"maxiter": 300},
    )
    return np.asarray(found.x[:-1], dtype=np.float64), float(found.x[-1])


def calibrated_model(
    model: ConfidenceModel, raw: FloatArray, correct: BoolArray
) -> ConfidenceModel | None:
    """Returns the model with its curve, fitted on logits of questions it has not seen.

    None without both right and wrong answers among them.
    """
    return replace(model, bend=fit_bend(raw, correct)) if has_both(correct) else None


def fit_bend(raw: FloatArray, correct: BoolArray) -> Bend:
    """Returns the curve under which logits are right as often as they say.

    Targets are pulled in from 0 and 1 as by Platt (1999), Advances in Large Margin
    Classifiers, so that a part without overlap does not make a slope infinite. A side whose
    slope would fall takes the common one; where that falls too, nothing is changed: a curve that
    turned the ranking around would be worse than none.
    """
    if not has_both(correct):
        return Bend()
    positives = int(correct.sum())
    negatives = len(correct) - positives
    high, low = (positives + 1) / (positives + 2), 1 / (negatives + 2)
    targets = np.where(correct, high, low)
    sides = np.stack([np.minimum(raw, 0.0), np.maximum(raw, 0.0)], axis=1)
    slopes, shift = _logistic(sides, targets)
    if slopes.min() >= _MIN_SLOPE:
        return Bend(float(slopes[0]), float(slopes[1]), shift)
    slopes, shift = _logistic(raw[:, None], targets)
    slope = float(slopes[0])
    return Bend(slope, slope, shift) if slope >= _MIN_SLOPE else Bend()


def _logistic(x: FloatArray, targets: FloatArray) -> tuple[FloatArray, float]:
    from sklearn.linear_model import LogisticRegression

    # Soft targets are two weighted copies of a row: t of it right, 1 - t wrong.
    rows = np.concatenate([x, x])
    labels = np.repeat([True, False], len(x))
    share = np.concatenate([targets, 1.0 - targets])
    used = share > 0
    model = LogisticRegression(C=_CURVE_C, solver="newton-cholesky", max_iter=200, tol=1e-8)
    model.fit(rows[used], labels[used], sample_weight=share[used])
    return np.asarray(model.coef_[0], dtype=np.float64), float(model.intercept_[0])


def has_both(correct: BoolArray) -> bool:
    """Whether there are right answers and wrong ones."""
    return bool(correct.any()) and not bool(correct.all())
