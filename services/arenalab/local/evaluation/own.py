"""ArenaLab's predictor as a contender: the only module of the evaluation that knows its inside.

Fitting is what publishing does (`training.train` on the spans), scoring what Predict does: the
views' opinion, the appraisal, the calibrated confidence, and nothing for what is never served.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from arenalab.contrast import Asked as AskedOf
from arenalab.contrast import ContrastPair, contrast_pairs
from arenalab.local.evaluation import contender
from arenalab.local.evaluation.contender import Asked, Proposals, Scored
from arenalab.predictor.appraisal import appraise
from arenalab.predictor.calibrated import Calibrated
from arenalab.predictor.features import NAMES
from arenalab.predictor.holdout import Corpus
from arenalab.predictor.neighbourhood import (
    FloatArray,
    Memory,
    Neighbourhood,
    Query,
    Situation,
)
from arenalab.predictor.training import train
from arenalab.predictor.views import Opinion

# Questions that look like one of the spans and must not get its outcome.
ContrastGenerator = Callable[[contender.Memory], Sequence[ContrastPair]]

# Questions whose opinions are formed at once: 512 x 512 outcomes in float64 are 2 MB a view.
_BLOCK: Final = 512


def contrast_generator() -> ContrastGenerator:
    """Returns what makes the minimal pairs of a memory, as its certificate does."""

    def generate(memory: contender.Memory) -> Sequence[ContrastPair]:
        known = zip(memory.known, memory.keys, strict=True)
        return contrast_pairs([AskedOf(one.text, key) for one, key in known])

    return generate


@dataclass(frozen=True)
class OwnFitted:
    """The predictor of one dataset version."""

    feature_names = NAMES

    corpus: Corpus
    calibrated: Calibrated

    def score(self, asked: Asked) -> Proposals:
        size = len(asked.texts)
        confidence, score = np.zeros(size), np.zeros(size)
        features = np.zeros((size, len(NAMES)))
        outcomes = []
        for at, opinion in enumerate(self._opinions(asked)):
            appraisal = appraise(
                Query(asked.texts[at]),
                self._neighbourhood(asked, at),
                opinion,
                self.calibrated.artefact.mixing,
            )
            outcomes.append(appraisal.groups[0].outcome if appraisal.groups else "")
            confidence[at], _ = self.calibrated.confidence(appraisal)
            ranking, named = self.calibrated.score(appraisal)
            score[at] = ranking if appraisal.is_admissible else 0.0
            if named:
                features[at] = list(named.values())
        return Proposals(outcomes, confidence, score, features=features)

    def _opinions(self, asked: Asked) -> Sequence[Opinion | None]:
        views = self.calibrated.views
        if views is None:
            return [None] * len(asked.texts)
        opinions: list[Opinion] = []
        for start in range(0, len(asked.texts), _BLOCK):
            block = slice(start, start + _BLOCK)
            opinions += views.opinions(asked.texts[block], asked.vectors[block])
        return opinions

    def _neighbourhood(self, asked: Asked, at: int) -> Neighbourhood:
        hits, similarities = asked.nearest[at], asked.similarities[at]
        memories = [self.corpus.memories[hit] for hit in hits]
        return Neighbourhood(memories, similarities, similarities, self.corpus.vectors[hits])

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
        trained = train(corpus)
        return OwnFitted(corpus, Calibrated(trained.artefact, trained.views))

    def finish(self, scored: Scored, seed: int) -> Scored:
        """Returns the scores as they are: no label is used."""
        del seed
        return scored
