"""ArenaLab's predictor as a contender: the only module of the evaluation that knows its inside.

Fitting is what publishing does (`training.train` on the spans), scoring what Predict does
(`appraise`, then the calibrated confidence), and a threshold is the predictor's own bound.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from arenalab.local.evaluation import contender
from arenalab.local.evaluation.contender import Asked, Proposals, Scored
from arenalab.predictor.appraisal import appraise
from arenalab.predictor.calibrated import Calibrated
from arenalab.predictor.features import NAMES, features_of
from arenalab.predictor.guarantee import BoolArray, bound_of
from arenalab.predictor.holdout import Corpus
from arenalab.predictor.neighbourhood import (
    FloatArray,
    Memory,
    Neighbourhood,
    Query,
    Situation,
    Vectors,
)
from arenalab.predictor.training import train

# Questions that look like a span's and have another answer; one list for each span's question.
ContrastGenerator = Callable[[Sequence[str]], Sequence[Sequence[str]]]


class Kind(StrEnum):
    """What a threshold promises of the answers at or above it."""

    HIGH_PROBABILITY = "high_probability"  # at most alpha wrong, but for a share delta of draws
    EXPECTATION = "expectation"  # at most alpha wrong on average over draws


def threshold_of(
    kind: Kind, score: FloatArray, correct: BoolArray, alpha: float, delta: float
) -> float | None:
    """Returns the lowest score that may be served; None when none may.

    Args:
        kind: The promise.
        score: Of the calibration questions, shape (n,); 0 or less is never served.
        correct: Whether the outcome was right, shape (n,).
        alpha: Tolerated risk of served answers, in (0, 1).
        delta: Tolerated probability that the promise fails; no matter to EXPECTATION.
    """
    if kind is Kind.HIGH_PROBABILITY:
        return bound_of(score, correct, alpha, delta).threshold
    return _selection(score, correct, alpha)


def _selection(score: FloatArray, correct: BoolArray, alpha: float) -> float | None:
    """Returns the threshold of the largest set with (1 + errors) / served <= alpha.

    Source: Jin and Candès (2023), Selection by Prediction with Conformal p-values, JMLR 24.
    """
    order = np.argsort(-score, kind="stable")
    ranked, errors = score[order], np.cumsum(~correct[order])
    # A threshold admits all questions of one score: only the last of them is a position.
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True) & (ranked > 0.0))
    passing = ends[(1 + errors[ends]) <= alpha * (ends + 1)]
    return float(ranked[passing[-1]]) if len(passing) else None


def contrast_generator() -> ContrastGenerator | None:
    """Returns the generator of contrast questions; None while the predictor has none."""
    return None


@dataclass(frozen=True)
class OwnFitted:
    """The predictor of one dataset version."""

    feature_names = NAMES

    memories: Sequence[Memory]
    vectors: Vectors
    calibrated: Calibrated

    def score(self, asked: Asked) -> Proposals:
        size = len(asked.texts)
        confidence, score = np.zeros(size), np.zeros(size)
        features = np.zeros((size, len(NAMES)))
        outcomes = []
        for at, text in enumerate(asked.texts):
            hits, similarities = asked.nearest[at], asked.similarities[at]
            hood = Neighbourhood(
                [self.memories[hit] for hit in hits], similarities, similarities, self.vectors[hits]
            )
            appraisal = appraise(Query(text), hood)
            outcomes.append(appraisal.groups[0].outcome if appraisal.groups else "")
            confidence[at], _ = self.calibrated.confidence(appraisal)
            score[at] = self.calibrated.score(appraisal)
            if appraisal.groups:
                features[at] = features_of(appraisal)
        return Proposals(outcomes, confidence, score, features=features)

    def rescored(self, proposals: Proposals, features: FloatArray) -> Proposals:
        """Returns the proposals with the confidence that other features would have given."""
        model = self.calibrated.artefact.model
        if model is None or proposals.features is None:
            return proposals
        # A question that memory holds word for word has its confidence from elsewhere.
        from_model = np.isclose(proposals.confidence, model.confidence(proposals.features))
        confidence = np.where(from_model, model.confidence(features), proposals.confidence)
        score = np.where(proposals.score > 0.0, confidence, 0.0)
        return replace(proposals, confidence=confidence, score=score, features=features)


class OwnContender:
    """ArenaLab."""

    name = "arenalab"
    described = "ArenaLab's predictor: fitted on the dataset alone, as when a version is published."

    def fit(self, memory: contender.Memory, seed: int) -> OwnFitted:
        """Returns the predictor that publishing these spans would give."""
        del seed  # training is seeded by the spans
        memories = [
            Memory(f"span-{at}", one.text, one.outcome, Situation(domain=one.domain))
            for at, one in enumerate(memory.known)
        ]
        corpus = Corpus(memories, memory.vectors, np.ones(len(memories), dtype=bool))
        return OwnFitted(memories, memory.vectors, Calibrated(train(corpus)))

    def finish(self, scored: Scored, seed: int) -> Scored:
        """Returns the scores as they are: no label is used."""
        del seed
        return scored
