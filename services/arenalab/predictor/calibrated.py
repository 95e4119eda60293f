"""A calibration in use: confidences from its model, thresholds for any alpha and delta."""

from collections import OrderedDict
from typing import Final

from arenalab.predictor.appraisal import Appraisal
from arenalab.predictor.artefact import Artefact
from arenalab.predictor.context_match import FIXED, Weights
from arenalab.predictor.features import NAMES, features_of
from arenalab.predictor.guarantee import Bound, bound_of
from arenalab.predictor.recorded import is_recorded

# Callers choose alpha and delta: the bounds kept are few, so that they cannot fill memory.
_MAX_BOUNDS: Final = 64


class Calibrated:
    """One artefact, and the bounds computed from its pairs so far."""

    def __init__(self, artefact: Artefact) -> None:
        self.artefact = artefact
        self._bounds: OrderedDict[tuple[float, float], Bound] = OrderedDict()

    @property
    def context_weights(self) -> Weights:
        """Weights of the context similarity, as the calibration was made with."""
        learned = self.artefact.context
        return learned.used if learned is not None else FIXED

    def bound(self, alpha: float = 0.0, delta: float = 0.0) -> Bound:
        """Returns the bound at alpha and delta; 0 means the artefact's default."""
        key = (alpha or self.artefact.alpha, delta or self.artefact.delta)
        known = self._bounds.get(key)
        if known is None:
            pairs = self.artefact.pairs
            known = self._bounds[key] = bound_of(pairs.confidences, pairs.correct, *key)
            if len(self._bounds) > _MAX_BOUNDS:
                self._bounds.popitem(last=False)
        return known

    def confidence(self, appraisal: Appraisal) -> tuple[float, dict[str, float]]:
        """Returns the confidence in the output and the features behind it.

        Both are empty for an appraisal without outcomes, and the confidence is 0 where
        the artefact has no model.
        """
        if not appraisal.groups:
            return 0.0, {}
        features = features_of(appraisal)
        named = dict(zip(NAMES, features.tolist(), strict=True))
        model = self.artefact.model
        if model is None:
            return 0.0, named
        confidence = float(model.confidence(features))
        if is_recorded(appraisal):
            confidence = max(confidence, self.artefact.recorded)
        return confidence, named

    def score(self, appraisal: Appraisal) -> float:
        """Returns what a calibration question counts with: 0 for what is never served."""
        return self.confidence(appraisal)[0] if appraisal.is_admissible else 0.0
