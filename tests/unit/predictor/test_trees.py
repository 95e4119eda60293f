import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from arenalab.predictor.trees import MIN_EXAMPLES, exported, fit_trees


def _data(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    features = rng.normal(size=(n, 6))
    features[:, 5] = np.round(features[:, 5])  # few values: thresholds that are met exactly
    return features, (features[:, 0] * features[:, 1] + features[:, 5] > 0)


@pytest.mark.parametrize("leaves", [2, 5, 31])
def test_exported_trees_say_what_scikit_learn_says(leaves: int) -> None:
    features, correct = _data(1500)
    model = HistGradientBoostingClassifier(
        max_iter=30, max_leaf_nodes=leaves, early_stopping=False, random_state=0
    ).fit(features, correct)
    trees = exported(model)
    fresh = np.concatenate([_data(400)[0] * 3, features])
    assert trees.raw(fresh) == pytest.approx(model.decision_function(fresh), abs=1e-9)
    one = np.array([float(trees.raw(row)) for row in fresh[:50]])
    assert one == pytest.approx(trees.raw(fresh[:50]), abs=1e-12)


def test_too_few_examples_grow_no_trees() -> None:
    features, correct = _data(MIN_EXAMPLES - 1)
    assert fit_trees(features, correct) is None
    features, correct = _data(MIN_EXAMPLES)
    first, again = fit_trees(features, correct), fit_trees(features, correct)
    assert first is not None
    assert again is not None
    assert first.value.tobytes() == again.value.tobytes()
