"""A linear head on the embeddings: multinomial logistic regression over outcomes that repeat.

Where outcomes occur several times, the nearest span is a poor witness beside a boundary that all
spans of an outcome have drawn together. Fitting is L-BFGS on single-precision matrix products: a
few seconds for 15,000 spans; serving is one product of a vector with a small matrix.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from arenalab.predictor.guarantee import IntArray
from arenalab.predictor.neighbourhood import FloatArray, Vectors

# Strength of the L2 penalty is 1 / C, as in scikit-learn, on unit vectors.
_C: Final = 20.0
_MAX_ITERATIONS: Final = 40
_TOLERANCE: Final = 1e-4
_MEMORY: Final = 10


@dataclass(frozen=True)
class LinearHead:
    """Weights of the outcomes, in the order of their codes."""

    weights: Vectors  # (o, d)
    bias: Vectors  # (o,)

    def logits(self, vectors: Vectors) -> FloatArray:
        """Returns the logit of every outcome for each row of (n, d), shape (n, o)."""
        return linear(vectors, self.weights, self.bias)


def linear(vectors: Vectors, weights: Vectors, bias: Vectors) -> FloatArray:
    """Returns vectors (n, d) times weights (o, d), and the bias, shape (n, o).

    One question is multiplied without BLAS, which would wake its threads for a product that takes
    twenty microseconds without them.
    """
    if len(vectors) == 1:
        product = np.einsum("od,d->o", weights, vectors[0])[None, :]
    else:
        product = vectors @ weights.T
    return np.asarray(product + bias, dtype=np.float64)


def fit_head(vectors: Vectors, codes: IntArray, outcomes: int) -> LinearHead:
    """Returns the head of spans; the same spans give the same head.

    Args:
        vectors: Unit rows, shape (n, d).
        codes: The outcome of each row, in [0, outcomes), shape (n,).
        outcomes: How many there are, at least 2; each has a row.
    """
    from scipy.optimize import minimize

    size, dimension = vectors.shape
    rows = np.arange(size)
    scale, penalty = np.float32(1.0 / size), 1.0 / (_C * size)

    def objective(flat: FloatArray) -> tuple[float, FloatArray]:
        table = flat.reshape(outcomes, dimension + 1)
        weights, bias = table[:, :-1].astype(np.float32), table[:, -1].astype(np.float32)
        logits = vectors @ weights.T
        logits += bias
        logits -= logits.max(axis=1, keepdims=True)
        own = logits[rows, codes].astype(np.float64)
        np.exp(logits, out=logits)
        total = logits.sum(axis=1, keepdims=True)
        loss = float((np.log(total[:, 0].astype(np.float64)) - own).mean())
        logits /= total
        logits[rows, codes] -= 1.0
        logits *= scale
        gradient = np.empty_like(table)
        gradient[:, :-1] = logits.T @ vectors
        gradient[:, :-1] += penalty * table[:, :-1]
        gradient[:, -1] = logits.sum(axis=0)
        loss += 0.5 * penalty * float((table[:, :-1] ** 2).sum())
        return loss, gradient.ravel()

    found = minimize(
        objective,
        np.zeros(outcomes * (dimension + 1)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _MAX_ITERATIONS, "maxcor": _MEMORY, "gtol": _TOLERANCE / outcomes},
    )
    table = found.x.reshape(outcomes, dimension + 1).astype(np.float32)
    return LinearHead(np.ascontiguousarray(table[:, :-1]), np.ascontiguousarray(table[:, -1]))


def log_softmax(logits: FloatArray) -> FloatArray:
    """Returns log probabilities along the last axis."""
    shifted = logits - np.maximum.reduce(logits, axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.add.reduce(np.exp(shifted), axis=-1, keepdims=True)))
