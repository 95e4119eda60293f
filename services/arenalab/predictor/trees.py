"""Boosted trees as arrays: fitted by scikit-learn, evaluated by NumPy, stored as plain numbers.

All trees are walked at once, one level a step; a leaf points to itself. So one question costs a
few array operations, whatever the number of trees.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from arenalab.predictor.guarantee import BoolArray
from arenalab.predictor.neighbourhood import FloatArray

_TREES: Final = 200
_LEAVES: Final = 5
_RATE: Final = 0.06
_MIN_LEAF: Final = 40
_L2: Final = 5.0
# With fewer examples trees learn them by heart.
MIN_EXAMPLES: Final = 800

Ints = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Trees:
    """The nodes of all trees one after the other."""

    roots: Ints  # (t,), node where each tree begins
    feature: Ints  # (n,)
    threshold: FloatArray  # (n,), at most this goes left
    left: Ints  # (n,), of a leaf: itself
    right: Ints  # (n,), of a leaf: itself
    value: FloatArray  # (n,), of an inner node: 0
    baseline: float
    depth: int  # steps from a root to its deepest leaf

    def raw(self, features: FloatArray) -> FloatArray:
        """Returns the logit of each row of (n, d), or of one vector (d,)."""
        at = np.broadcast_to(self.roots, (*features.shape[:-1], len(self.roots)))
        for _ in range(self.depth):
            if features.ndim == 1:
                seen = features.take(self.feature.take(at))
            else:
                seen = np.take_along_axis(features, self.feature.take(at), axis=1)
            goes_left = seen <= self.threshold.take(at)
            at = np.where(goes_left, self.left.take(at), self.right.take(at))
        return np.asarray(self.value.take(at).sum(axis=-1) + self.baseline)


def fit_trees(features: FloatArray, correct: BoolArray) -> Trees | None:
    """Returns the trees of examples with both labels; None where there are too few."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    if len(features) < MIN_EXAMPLES:
        return None
    model = HistGradientBoostingClassifier(
        max_iter=_TREES,
        max_leaf_nodes=_LEAVES,
        learning_rate=_RATE,
        min_samples_leaf=_MIN_LEAF,
        l2_regularization=_L2,
        early_stopping=False,
        random_state=0,
    )
    return exported(model.fit(features, correct))


def exported(model: object) -> Trees:
    """Returns the arrays of a fitted HistGradientBoostingClassifier of two classes."""
    parts = [stage[0].nodes for stage in model._predictors]  # type: ignore[attr-defined] # noqa: SLF001
    baseline = float(np.ravel(model._baseline_prediction)[0])  # type: ignore[attr-defined] # noqa: SLF001
    roots = np.cumsum([0, *(len(part) for part in parts)])
    nodes = np.concatenate(parts)
    own = np.arange(len(nodes))
    leaf = nodes["is_leaf"].astype(bool)
    offset = np.repeat(roots[:-1], [len(part) for part in parts])
    return Trees(
        roots=roots[:-1].astype(np.intp),
        feature=np.where(leaf, 0, nodes["feature_idx"]).astype(np.intp),
        threshold=np.where(leaf, 0.0, nodes["num_threshold"]).astype(np.float64),
        left=np.where(leaf, own, nodes["left"] + offset).astype(np.intp),
        right=np.where(leaf, own, nodes["right"] + offset).astype(np.intp),
        value=np.where(leaf, nodes["value"], 0.0).astype(np.float64),
        baseline=baseline,
        depth=max((int(part["depth"].max()) for part in parts), default=0),
    )
