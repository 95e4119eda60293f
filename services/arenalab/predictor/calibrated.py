"""A calibration in use: confidences from its model, thresholds for any alpha, delta and kind."""

import math
from collections import OrderedDict
from functools import cached_property
from typing import Final, TypeVar

import numpy as np

from arenalab.predictor.appraisal import Appraisal
from arenalab.predictor.artefact import Artefact
from arenalab.predictor.confidence import logit_of
from arenalab.predictor.context_match import FIXED, Weights
from arenalab.predictor.features import NAMES, features_of
from arenalab.predictor.guarantee import Bound, Kind, bound_of, group_bounds, void_bound
from arenalab.predictor.prediction_sets import set_level
from arenalab.predictor.prior import prior_score
from arenalab.predictor.recorded import is_recorded
from arenalab.predictor.views import Views

# Callers choose alpha and delta: the bounds kept are few, so that they cannot fill memory.
_MAX_BOUNDS: Final = 64

_K = TypeVar("_K")
_V = TypeVar("_V")
_Key = tuple[float, float, Kind]


class Calibrated:
    """One artefact with its version's views, and the bounds computed from its pairs so far."""

    def __init__(self, artefact: Artefact, views: Views | None = None) -> None:
        self.artefact = artefact
        self.views = views
        self._bounds: OrderedDict[_Key, Bound] = OrderedDict()
        self._groups: OrderedDict[_Key, dict[str, Bound]] = OrderedDict()
        self._levels: OrderedDict[float, float | None] = OrderedDict()

    @cached_property
    def set_size(self) -> int:
        """How many calibration questions prediction sets rest on."""
        return int((~np.isnan(self.artefact.pairs.set_scores)).sum())

    @property
    def context_weights(self) -> Weights:
        """Weights of the context similarity, as the calibration was made with."""
        learned = self.artefact.context
        return learned.used if learned is not None else FIXED

    def bound(
        self,
        alpha: float = 0.0,
        delta: float = 0.0,
        kind: Kind = Kind.HIGH_PROBABILITY,
        group: str | None = None,
    ) -> Bound:
        """Returns the bound at alpha and delta; 0 means the artefact's default.

        Args:
            alpha: Tolerated risk.
            delta: Tolerated probability that the bound fails.
            kind: What is controlled.
            group: Domain whose own bound is wanted; one without enough questions has a void one.
                None: the bound over all traffic.
        """
        key = (alpha or self.artefact.alpha, delta or self.artefact.delta, kind)
        pairs = self.artefact.pairs
        if group is None:
            known = self._bounds.get(key)
            if known is None:
                known = bound_of(pairs.confidences, pairs.correct, *key)
                _keep(self._bounds, key, known)
            return known
        groups = self._groups.get(key)
        if groups is None:
            groups = group_bounds(pairs.confidences, pairs.correct, pairs.groups, *key)
            _keep(self._groups, key, groups)
        size = sum(name == group for name in pairs.groups) if group else 0
        return groups.get(group) or void_bound(key[0], key[1], size, kind)

    def set_level(self, epsilon: float) -> float | None:
        """Returns the level of prediction sets that hold the right outcome but for `epsilon`."""
        if epsilon not in self._levels:
            _keep(self._levels, epsilon, set_level(self.artefact.pairs.set_scores, epsilon))
        return self._levels[epsilon]

    def confidence(self, appraisal: Appraisal) -> tuple[float, dict[str, float]]:
        """Returns the confidence in the output and the features behind it.

        Both are empty for an appraisal without outcomes, and the confidence is 0 where
        nothing could be learnt: not from the dataset, and not from labelled traffic.
        """
        score, named = self.score(appraisal)
        bend = self.artefact.bend
        if bend is None:
            return (score if self.artefact.model is not None else 0.0), named
        return (float(bend(logit_of(np.array(score)))) if score > 0 else 0.0), named

    def score(self, appraisal: Appraisal) -> tuple[float, dict[str, float]]:
        """Returns the confidence before labelled traffic has bent it, and the features.

        Where the dataset has no model, it is a ranking by nearness that claims no calibration.
        An appraisal whose numbers are not finite has a score of 0.
        """
        if not appraisal.groups:
            return 0.0, {}
        features = features_of(appraisal)
        values = features.tolist()
        if not all(map(math.isfinite, values)):
            return 0.0, {}
        named = dict(zip(NAMES, values, strict=True))
        model = self.artefact.model
        score = float(model.confidence(features)) if model is not None else prior_score(named)
        if is_recorded(appraisal):
            score = max(score, self.artefact.recorded)
        return score, named


def _keep(kept: "OrderedDict[_K, _V]", key: _K, value: _V) -> None:
    kept[key] = value
    if len(kept) > _MAX_BOUNDS:
        kept.popitem(last=False)
