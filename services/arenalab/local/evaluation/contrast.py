"""Questions that look like a span's and must not get its outcome: how many would."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from arenalab.local.evaluation.contender import Asked, Fitted, Memory, Scored, nearest
from arenalab.local.evaluation.own import ContrastGenerator
from arenalab.local.evaluation.resampling import Split
from arenalab.predictor.guarantee import BoolArray, Kind, bound_of
from arenalab.predictor.neighbourhood import FloatArray, K, Vectors

ALPHA: Final = 0.02


@dataclass(frozen=True)
class ContrastQuestions:
    """Contrast questions of every round, and the outcome that each must not get."""

    asked: Sequence[Asked]
    forbidden: Sequence[Sequence[str]]  # keys of outcomes
    keys: Sequence[dict[str, str]]  # key of each outcome, by its text

    def __len__(self) -> int:
        return sum(len(one.texts) for one in self.asked)


@dataclass(frozen=True)
class ContrastAnswers:
    """What one contender made of all contrast questions."""

    score: FloatArray  # (n,)
    fooled: BoolArray  # (n,), its outcome is the one that the question must not get

    def share(self, threshold: float | None) -> float | None:
        """Returns the share that a threshold serves wrongly; None where there is no question."""
        if not len(self.score):
            return None
        if threshold is None:
            return 0.0
        return float(((self.score >= threshold) & self.fooled).mean())


def contrast_questions(
    generate: ContrastGenerator,
    memories: Sequence[Memory],
    embed: Callable[[Sequence[str]], Vectors],
) -> ContrastQuestions:
    """Returns the contrast questions of every round, their vectors made as memory's are."""
    asked, forbidden, keys = [], [], []
    for memory in memories:
        pairs = generate(memory)
        texts = [pair.variant for pair in pairs]
        vectors = embed(texts)
        forbidden.append([pair.outcome for pair in pairs])
        asked.append(Asked(texts, vectors, *nearest(memory.vectors, vectors, K)))
        outcomes = [known.outcome for known in memory.known]
        keys.append(dict(zip(outcomes, memory.keys, strict=True)))
    return ContrastQuestions(asked, forbidden, keys)


def contrast_answers(fitted: Sequence[Fitted], questions: ContrastQuestions) -> ContrastAnswers:
    """Returns what a contender proposes for the questions, asked of the round of each."""
    scores, fooled = [np.zeros(0)], []
    for one, asked, forbidden, keys in zip(
        fitted, questions.asked, questions.forbidden, questions.keys, strict=True
    ):
        if not len(asked.texts):
            continue
        proposals = one.score(asked)
        scores.append(proposals.score)
        fooled += [
            keys.get(outcome) == key
            for outcome, key in zip(proposals.outcomes, forbidden, strict=True)
        ]
    return ContrastAnswers(np.concatenate(scores), np.array(fooled, dtype=bool))


def false_accepts(
    answers: ContrastAnswers, scored: Scored, splits: Sequence[Split], delta: float
) -> float | None:
    """Returns the share of contrast questions served with the outcome that they must not get.

    At alpha = 2 % with high probability, as a mean over the splits' thresholds. None: there are
    no contrast questions.
    """
    rates = []
    for split in splits:
        at = split.calibration
        bound = bound_of(scored.score[at], scored.correct[at], ALPHA, delta, Kind.HIGH_PROBABILITY)
        rates.append(answers.share(bound.threshold))
    known = [rate for rate in rates if rate is not None]
    return float(np.mean(known)) if known else None
