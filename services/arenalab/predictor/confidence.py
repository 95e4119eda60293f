"""The probability that the output is right: logistic regression, then Platt calibration.

Fitting needs scikit-learn; serving is a few lines of numpy on numbers from the artefact.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from arenalab.predictor.guarantee import BoolArray
from arenalab.predictor.neighbourhood import FloatArray

# Inputs beyond these quantiles of the examples say no more than the quantile does. Squares turn
# round somewhere: without this, a question that is word for word in memory is nearer than any
# example, and would be taken for out of scope.
_LOW_QUANTILE: Final = 0.01
_HIGH_QUANTILE: Final = 0.99
# Strength of the L2 penalty is 1 / C; the flat part of the curve on CLINC150.
_C: Final = 0.3
_MIN_STD: Final = 1e-9


@dataclass(frozen=True)
class ConfidenceModel:
    """Standardisation, logistic weights and Platt's two numbers."""

    mean: FloatArray  # (d,)
    std: FloatArray  # (d,), positive
    low: FloatArray  # (d,), smallest standardised input that counts
    high: FloatArray  # (d,), largest
    weights: FloatArray  # (2 d,): linear, then squares
    intercept: float
    platt_slope: float
    platt_intercept: float

    def raw(self, features: FloatArray) -> FloatArray:
        """Returns the uncalibrated logit of each row of (n, d), or of one vector (d,)."""
        z = np.clip((features - self.mean) / self.std, self.low, self.high)
        return np.asarray(expand(z) @ self.weights + self.intercept)

    def confidence(self, features: FloatArray) -> FloatArray:
        """Returns the calibrated probability of each row, in (0, 1)."""
        return self.platt(self.raw(features))

    def platt(self, raw: FloatArray) -> FloatArray:
        """Returns the calibrated probability of logits, in (0, 1)."""
        return sigmoid(self.platt_slope * raw + self.platt_intercept)


def sigmoid(logit: FloatArray) -> FloatArray:
    """Returns 1 / (1 + exp(-logit)) without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logit)))


def expand(z: FloatArray) -> FloatArray:
    """Returns standardised features and their squares: a logit may bend once in each."""
    return np.concatenate([z, z * z], axis=-1)


def fit_model(features: FloatArray, correct: BoolArray) -> ConfidenceModel | None:
    """Returns a model that is not calibrated yet; None without both right and wrong answers."""
    if not has_both(correct):
        return None
    mean, std = features.mean(axis=0), features.std(axis=0)
    std = np.where(std < _MIN_STD, 1.0, std)
    z = (features - mean) / std
    low, high = np.quantile(z, (_LOW_QUANTILE, _HIGH_QUANTILE), axis=0)
    x = expand(np.clip(z, low, high))
    weights, intercept = _logistic(x, correct.astype(np.float64), _C)
    return ConfidenceModel(mean, std, low, high, weights, intercept, 1.0, 0.0)


def calibrated_model(
    model: ConfidenceModel, raw: FloatArray, correct: BoolArray
) -> ConfidenceModel | None:
    """Returns the model with Platt's numbers, fitted on logits of questions it has not seen.

    None without both right and wrong answers among them.
    """
    if not has_both(correct):
        return None
    slope, shift = _platt(raw, correct)
    return replace(model, platt_slope=slope, platt_intercept=shift)


def _platt(raw: FloatArray, correct: BoolArray) -> tuple[float, float]:
    """Returns slope and intercept of the calibration.

    Targets are pulled in from 0 and 1 as by Platt (1999), Advances in Large Margin
    Classifiers, so that a part without overlap does not make the slope infinite.
    """
    positives = int(correct.sum())
    negatives = len(correct) - positives
    high, low = (positives + 1) / (positives + 2), 1 / (negatives + 2)
    targets = np.where(correct, high, low)
    weights, intercept = _logistic(raw[:, None], targets, 1e6)
    # A falling slope would turn the ranking around: worse than no calibration.
    return (float(weights[0]), intercept) if weights[0] > 0 else (1.0, 0.0)


def _logistic(x: FloatArray, targets: FloatArray, strength: float) -> tuple[FloatArray, float]:
    from sklearn.linear_model import LogisticRegression

    # Soft targets are two weighted copies of a row: t of it right, 1 - t wrong.
    rows = np.concatenate([x, x])
    labels = np.repeat([True, False], len(x))
    share = np.concatenate([targets, 1.0 - targets])
    used = share > 0
    model = LogisticRegression(C=strength, solver="newton-cholesky", max_iter=200, tol=1e-8)
    model.fit(rows[used], labels[used], sample_weight=share[used])
    return np.asarray(model.coef_[0], dtype=np.float64), float(model.intercept_[0])


def has_both(correct: BoolArray) -> bool:
    """Whether there are right answers and wrong ones."""
    return bool(correct.any()) and not bool(correct.all())
