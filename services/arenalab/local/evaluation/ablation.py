"""What each feature is worth: the loss when its values are shuffled among the questions.

The model is not fitted again, so what another feature could have taken over counts as lost too:
an upper estimate of what leaving the feature out would cost.

Source: Breiman (2001), Random Forests, Machine Learning 45 (permutation importance).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from arenalab.local.evaluation.contender import Proposals, Scored
from arenalab.local.evaluation.figures import auroc
from arenalab.local.evaluation.own import OwnFitted
from arenalab.local.evaluation.resampling import Split, figures_at
from arenalab.local.evaluation.results import Ablated
from arenalab.predictor.guarantee import Kind

ALPHA: Final = 0.05
_SPLITS: Final = 20


def ablate(
    fitted: Sequence[OwnFitted],
    proposals: Sequence[Proposals],
    scored: Scored,
    splits: Sequence[Split],
    delta: float,
    seed: int,
    progress: Callable[[str, int, int], None],
) -> list[Ablated]:
    """Returns the features, the most valuable first."""
    names = fitted[0].feature_names
    used = splits[:_SPLITS]
    whole = _reached(scored, used, delta)
    found = []
    for column, name in enumerate(names):
        progress("ablation", column, len(names))
        reached = _reached(_without(column, fitted, proposals, scored, seed), used, delta)
        drops = [
            None if a is None or b is None else a - b for a, b in zip(whole, reached, strict=True)
        ]
        found.append(Ablated(name, *drops))
    progress("ablation", len(names), len(names))
    return sorted(found, key=lambda one: -(one.auroc_drop or 0.0))


def _reached(
    scored: Scored, splits: Sequence[Split], delta: float
) -> tuple[float | None, float | None]:
    rows = figures_at(scored, splits, ALPHA, Kind.HIGH_PROBABILITY, delta)
    return auroc(scored.confidence, scored.correct), rows.coverage


def _without(
    column: int,
    fitted: Sequence[OwnFitted],
    proposals: Sequence[Proposals],
    scored: Scored,
    seed: int,
) -> Scored:
    shuffled = []
    for number, (one, proposed) in enumerate(zip(fitted, proposals, strict=True)):
        if proposed.features is None:
            shuffled.append(proposed)
            continue
        features = proposed.features.copy()
        order = np.random.default_rng([seed, 12, number, column]).permutation(len(features))
        features[:, column] = features[order, column]
        shuffled.append(one.rescored(proposed, features))
    return replace(
        scored,
        confidence=np.concatenate([one.confidence for one in shuffled]),
        score=np.concatenate([one.score for one in shuffled]),
    )
