"""The calibration of a dataset version, made when it is published, from the version alone."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from arenalab.predictor.artefact import Artefact, Basis, Pairs, Summary
from arenalab.predictor.confidence import Bend, ConfidenceModel, calibrated_model, fit_model
from arenalab.predictor.context_match import Weights
from arenalab.predictor.context_weights import Choice, LearnedWeights, learn_weights
from arenalab.predictor.directions import DIRECTIONS
from arenalab.predictor.guarantee import DEFAULT_ALPHA, DEFAULT_DELTA, BoolArray, IntArray
from arenalab.predictor.holdout import (
    QUARTERS,
    Corpus,
    Examples,
    Holdout,
    bucket,
    examples_of,
    pseudo_traffic,
    views_of,
)
from arenalab.predictor.mixing import Mixing
from arenalab.predictor.neighbourhood import FloatArray
from arenalab.predictor.recorded import agreement
from arenalab.predictor.reliability import brier, expected_calibration_error, reliability_bins
from arenalab.predictor.views import Views

# Small corpora ask their spans in several turns, until there are this many examples: the model has
# some forty weights of known sign, and more examples of the same spans say little more.
ENOUGH_EXAMPLES: Final = 1_000
_CROSS_FOLDS: Final = 4


@dataclass(frozen=True)
class Trained:
    """What a version takes with it: the artefact, and the views where outcomes repeat."""

    artefact: Artefact
    views: Views | None


def train(
    corpus: Corpus,
    alpha: float = DEFAULT_ALPHA,
    delta: float = DEFAULT_DELTA,
    weighting: Choice = Choice.AUTO,
) -> Trained:
    """Returns the calibration of a corpus; the same corpus gives the same one.

    Where there is too little to learn from, the model is absent and so is every threshold: an
    honest void, not an error. Spans whose vector is not finite teach nothing.

    One thread does it all: sums then have one order whatever the number of cores, and threads that
    wait for each other on a busy machine would double the work.
    """
    # A limit holds for the libraries that are loaded when it is set.
    import sklearn.linear_model  # noqa: F401

    with threadpool_limits(limits=1):
        return _train(corpus, alpha, delta, weighting)


def _train(corpus: Corpus, alpha: float, delta: float, weighting: Choice) -> Trained:
    corpus = _usable(corpus)
    # First: all that is learnt after depends on them.
    context = learn_weights(corpus, weighting)
    views = views_of(corpus)
    holdout = Holdout(corpus)
    mixing = holdout.mixing(context.used) if views is not None else None
    examples = examples_of(corpus, holdout, mixing, context.used)
    recorded = agreement(corpus.memories)
    fitted = _cross_fit(corpus, examples, recorded, mixing, context.used)
    artefact = calibration(
        fitted.model,
        fitted.pairs,
        fitted.examples,
        basis=Basis.DATASET_HOLDOUT,
        alpha=alpha,
        delta=delta,
        recorded=recorded,
        mixing=mixing,
        context=context,
    )
    return Trained(artefact, views)


@dataclass(frozen=True)
class _Fitted:
    model: ConfidenceModel | None
    pairs: Pairs  # of questions that their model has not seen
    examples: int


def _usable(corpus: Corpus) -> Corpus:
    finite: BoolArray = np.asarray(np.isfinite(corpus.vectors).all(axis=1))
    if finite.all():
        return corpus
    memories = [
        memory for memory, good in zip(corpus.memories, finite.tolist(), strict=True) if good
    ]
    return Corpus(memories, corpus.vectors[finite], corpus.eligible[finite])


def _cross_fit(
    corpus: Corpus, examples: Examples, recorded: float, mixing: Mixing | None, weights: Weights
) -> _Fitted:
    """Returns a model of all examples, with every question scored by one that has not seen it.

    In a small corpus the fit asks each span in several turns, with and without its outcome; the
    pairs hold each span once, as independent as they come.
    """
    wanted = math.ceil(ENOUGH_EXAMPLES / max(1, len(examples.span_ids)))
    more = range(1, min(wanted, QUARTERS))
    turns = [examples, *(pseudo_traffic(corpus, turn, mixing, weights) for turn in more)]
    features = np.concatenate([turn.features for turn in turns])
    correct = np.concatenate([turn.correct for turn in turns])
    folds = np.concatenate([_buckets(turn) for turn in turns])
    size = len(examples.span_ids)
    raw = np.zeros(size)
    for fold in range(_CROSS_FOLDS):
        model = fit_model(features[folds != fold], correct[folds != fold], DIRECTIONS)
        if model is None:
            return _nothing(examples)
        held = folds[:size] == fold
        raw[held] = model.raw(examples.features[held])
    whole = fit_model(features, correct, DIRECTIONS)
    final = None if whole is None else calibrated_model(whole, raw, examples.correct)
    if final is None:
        return _nothing(examples)
    confidences = np.where(
        examples.recorded, np.maximum(final.bend(raw), recorded), final.bend(raw)
    )
    return _Fitted(final, _pairs(examples, confidences), size)


def _pairs(examples: Examples, confidences: FloatArray) -> Pairs:
    return Pairs(
        np.where(examples.admissible, confidences, 0.0),
        examples.correct,
        examples.set_scores,
        tuple(examples.groups),
    )


def _nothing(examples: Examples) -> _Fitted:
    return _Fitted(None, _pairs(examples, np.zeros(len(examples.span_ids))), 0)


def _buckets(examples: Examples) -> IntArray:
    return np.array([bucket(i, "cross", _CROSS_FOLDS) for i in examples.span_ids], dtype=np.intp)


def calibration(
    model: ConfidenceModel | None,
    pairs: Pairs,
    examples: int,
    *,
    basis: Basis,
    alpha: float,
    delta: float,
    recorded: float,
    mixing: Mixing | None,
    bend: Bend | None = None,
    context: LearnedWeights | None = None,
) -> Artefact:
    """Returns an artefact whose summary is that of its pairs."""
    # A question that is never served has no calibrated confidence to judge.
    judged: BoolArray = pairs.confidences > 0.0
    confidences, correct = pairs.confidences[judged], pairs.correct[judged]
    bins = reliability_bins(confidences, correct)
    summary = Summary(
        examples=examples if model is not None else 0,
        expected_calibration_error=expected_calibration_error(bins),
        brier=brier(confidences, correct),
        bins=tuple(bins),
    )
    return Artefact(model, pairs, summary, basis, alpha, delta, recorded, mixing, bend, context)
