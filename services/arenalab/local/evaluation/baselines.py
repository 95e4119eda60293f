"""What others do with the same neighbours: one similarity, a vote, a similarity made probability.

Each is a ranking; all get their threshold from the same bound as ArenaLab, so that what differs
is the ranking and the outcome proposed, not the statistics.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from arenalab.local.evaluation.contender import Asked, Memory, Proposals, Scored
from arenalab.local.evaluation.crossfit import cross_fitted
from arenalab.predictor.guarantee import IntArray
from arenalab.predictor.neighbourhood import FloatArray
from arenalab.predictor.vote import similarity_weights


@dataclass(frozen=True)
class _NearestFitted:
    memory: Memory

    def score(self, asked: Asked) -> Proposals:
        top = asked.similarities[:, 0]
        outcomes = [self.memory.known[at].outcome for at in asked.nearest[:, 0]]
        return Proposals(outcomes, np.clip(top, 0.0, 1.0), top)


class SemanticCache:
    """One threshold on the similarity of the nearest span, as GPTCache and its like."""

    name = "semantic_cache"
    described = (
        "One similarity threshold (as GPTCache): the outcome of the nearest span, ranked by cosine."
    )

    def fit(self, memory: Memory, seed: int) -> _NearestFitted:
        """Returns the cache: there is nothing to fit."""
        del seed
        return _NearestFitted(memory)

    def finish(self, scored: Scored, seed: int) -> Scored:
        """Returns the scores as they are."""
        del seed
        return scored


class TopOnePlatt(SemanticCache):
    """The same, its similarity turned into a probability by Platt scaling.

    Platt scaling keeps the order, so under a bound it serves what the cache serves; what it
    improves is the honesty of the confidence. It is fitted on one half of the labelled questions
    for the other, so that no question calibrates itself.
    """

    name = "top1_platt"
    described = (
        "Top-1 similarity with Platt scaling, cross-fitted on halves of the labelled questions: "
        "the cache's ranking, so the same coverage; an honest confidence."
    )

    def finish(self, scored: Scored, seed: int) -> Scored:
        """Returns the scores with calibrated confidences; as they are where labels are too few."""
        confidence = cross_fitted(scored, seed, partial(_platt, scored))
        return scored if confidence is None else replace(scored, confidence=confidence)


def _platt(scored: Scored, fit: IntArray, apply: IntArray) -> FloatArray:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1e6, solver="newton-cholesky", max_iter=200)
    model.fit(scored.score[fit, None], scored.correct[fit])
    return np.asarray(model.predict_proba(scored.score[apply, None])[:, 1], dtype=np.float64)


@dataclass(frozen=True)
class _VoteFitted:
    memory: Memory

    def score(self, asked: Asked) -> Proposals:
        share = np.zeros(len(asked.texts))
        outcomes = []
        for row, (hits, similarities) in enumerate(
            zip(asked.nearest, asked.similarities, strict=True)
        ):
            votes: dict[str, float] = {}
            for hit, weight in zip(hits, similarity_weights(similarities), strict=True):
                key = self.memory.keys[hit]
                votes[key] = votes.get(key, 0.0) + float(weight)
            best = max(votes, key=votes.__getitem__)
            share[row] = votes[best]
            first = next(hit for hit in hits if self.memory.keys[hit] == best)
            outcomes.append(self.memory.known[first].outcome)
        return Proposals(outcomes, np.minimum(share, 1.0), share)


class VoteShare:
    """The outcome with the largest share of a similarity-weighted vote."""

    name = "vote_share"
    described = (
        "The outcome with the largest similarity-weighted share of 50 neighbours, ranked by it."
    )

    def fit(self, memory: Memory, seed: int) -> _VoteFitted:
        """Returns the vote: there is nothing to fit."""
        del seed
        return _VoteFitted(memory)

    def finish(self, scored: Scored, seed: int) -> Scored:
        """Returns the scores as they are."""
        del seed
        return scored
