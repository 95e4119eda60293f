"""The calibration of a dataset version, made when it is published, from the version alone."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from arenalab.predictor.artefact import Artefact, Basis, Pairs, Summary
from arenalab.predictor.confidence import ConfidenceModel, calibrated_model, fit_model
from arenalab.predictor.context_match import FIXED, Weights
from arenalab.predictor.context_weights import Choice, LearnedWeights, learn_weights
from arenalab.predictor.guarantee import DEFAULT_ALPHA, DEFAULT_DELTA, BoolArray
from arenalab.predictor.holdout import FOLDS, Corpus, Examples, IntArray, bucket, pseudo_traffic
from arenalab.predictor.neighbourhood import FloatArray
from arenalab.predictor.recorded import agreement
from arenalab.predictor.reliability import brier, expected_calibration_error, reliability_bins

# Of twenty parts: ten fit the model, three calibrate it, seven are left for the threshold.
_PARTS: Final = 20
_FIT_BELOW: Final = 10
_PLATT_BELOW: Final = 13
# With fewer questions than this, a part is too small to bound anything.
CROSS_FIT_BELOW: Final = 4_000
_CROSS_FOLDS: Final = 5


def train(
    corpus: Corpus,
    alpha: float = DEFAULT_ALPHA,
    delta: float = DEFAULT_DELTA,
    weighting: Choice = Choice.AUTO,
) -> Artefact:
    """Returns the calibration of a corpus; the same corpus gives the same one.

    Where there is too little to learn from, the model is absent and so is every threshold: an
    honest void, not an error.
    """
    # First: what the confidence learns from depends on them.
    context = learn_weights(corpus, weighting)
    examples = pseudo_traffic(corpus, weights=context.used)
    recorded = agreement(corpus.memories)
    fitted = (
        _cross_fit(corpus, examples, recorded, context.used)
        if len(examples.span_ids) < CROSS_FIT_BELOW
        else _split_fit(examples, recorded)
    )
    return calibration(
        fitted.model,
        fitted.pairs,
        fitted.examples,
        basis=Basis.DATASET_HOLDOUT,
        alpha=alpha,
        delta=delta,
        recorded=recorded,
        context=context,
    )


@dataclass(frozen=True)
class _Fitted:
    model: ConfidenceModel | None
    pairs: Pairs  # of questions that their model has not seen
    examples: int


def _split_fit(examples: Examples, recorded: float) -> _Fitted:
    """Returns a model of one part, calibrated on a second, scored on the third."""
    parts = _buckets(examples, "part", _PARTS)
    fit, rest = parts < _FIT_BELOW, parts >= _PLATT_BELOW
    platt = ~fit & ~rest
    model = fit_model(examples.features[fit], examples.correct[fit])
    if model is not None:
        raw = model.raw(examples.features[platt])
        model = calibrated_model(model, raw, examples.correct[platt])
    confidences = np.zeros(int(rest.sum()))
    if model is not None:
        confidences = model.confidence(examples.features[rest])
    confidences = _at_least(confidences, examples.recorded[rest], recorded)
    confidences = np.where(examples.admissible[rest], confidences, 0.0)
    return _Fitted(model, Pairs(confidences, examples.correct[rest]), int(fit.sum()))


def _cross_fit(
    corpus: Corpus, examples: Examples, recorded: float, weights: Weights = FIXED
) -> _Fitted:
    """Returns a model of all spans, with every span scored by a model that has not seen it.

    The fit asks each span in every turn, with and without its outcome; the pairs hold each span
    once, as independent as they come.
    """
    turns = [examples, *(pseudo_traffic(corpus, turn, weights) for turn in range(1, FOLDS))]
    features = np.concatenate([turn.features for turn in turns])
    correct = np.concatenate([turn.correct for turn in turns])
    folds = np.concatenate([_buckets(turn, "cross", _CROSS_FOLDS) for turn in turns])
    size = len(examples.span_ids)
    raw = np.zeros(size)
    for fold in range(_CROSS_FOLDS):
        model = fit_model(features[folds != fold], correct[folds != fold])
        if model is None:
            return _nothing(examples)
        held = folds[:size] == fold
        raw[held] = model.raw(examples.features[held])
    whole = fit_model(features, correct)
    final = None if whole is None else calibrated_model(whole, raw, examples.correct)
    if final is None:
        return _nothing(examples)
    confidences = _at_least(final.platt(raw), examples.recorded, recorded)
    confidences = np.where(examples.admissible, confidences, 0.0)
    return _Fitted(final, Pairs(confidences, examples.correct), size)


def _at_least(confidences: FloatArray, recorded: BoolArray, least: float) -> FloatArray:
    return np.where(recorded, np.maximum(confidences, least), confidences)


def _nothing(examples: Examples) -> _Fitted:
    return _Fitted(None, Pairs(np.zeros(len(examples.span_ids)), examples.correct), 0)


def _buckets(examples: Examples, purpose: str, buckets: int) -> IntArray:
    return np.array([bucket(i, purpose, buckets) for i in examples.span_ids], dtype=np.intp)


def calibration(
    model: ConfidenceModel | None,
    pairs: Pairs,
    examples: int,
    *,
    basis: Basis,
    alpha: float,
    delta: float,
    recorded: float,
    context: LearnedWeights | None = None,
) -> Artefact:
    """Returns an artefact whose summary is that of its pairs."""
    # A question that is never served has no calibrated confidence to judge.
    judged = pairs.confidences > 0.0
    confidences, correct = pairs.confidences[judged], pairs.correct[judged]
    bins = reliability_bins(confidences, correct)
    summary = Summary(
        examples=examples if model is not None else 0,
        expected_calibration_error=expected_calibration_error(bins),
        brier=brier(confidences, correct),
        bins=tuple(bins),
    )
    return Artefact(model, pairs, summary, basis, alpha, delta, recorded, context)
