"""Questions that look like a span's and must not get its outcome: how many would."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from arenalab.local.evaluation.contender import Asked, Memory, Scored, nearest
from arenalab.local.evaluation.own import ContrastGenerator, Kind, OwnFitted, threshold_of
from arenalab.local.evaluation.resampling import Split
from arenalab.predictor.guarantee import BoolArray
from arenalab.predictor.neighbourhood import FloatArray, K, Vectors

ALPHA: Final = 0.02
_SPANS: Final = 1_000  # a round's spans that are made into pairs, drawn from the seed


@dataclass(frozen=True)
class ContrastQuestions:
    """Contrast questions of every round, and the outcome that each must not get."""

    asked: Sequence[Asked]
    forbidden: Sequence[Sequence[str]]  # keys of outcomes
    keys: Sequence[dict[str, str]]  # key of each outcome, by its text


def contrast_questions(
    generate: ContrastGenerator,
    memories: Sequence[Memory],
    embed: Callable[[Sequence[str]], Vectors],
    seed: int,
) -> ContrastQuestions:
    """Returns the contrast questions of a sample of every round's spans."""
    asked, forbidden, keys = [], [], []
    for number, memory in enumerate(memories):
        rng = np.random.default_rng([seed, 11, number])
        drawn = np.sort(rng.permutation(len(memory.known))[:_SPANS])
        made = generate([memory.known[at].text for at in drawn])
        texts = [text for group in made for text in group]
        forbidden.append(
            [memory.keys[at] for at, group in zip(drawn, made, strict=True) for _ in group]
        )
        vectors = embed(texts)
        asked.append(Asked(texts, vectors, *nearest(memory.vectors, vectors, K)))
        outcomes = [known.outcome for known in memory.known]
        keys.append(dict(zip(outcomes, memory.keys, strict=True)))
    return ContrastQuestions(asked, forbidden, keys)


def false_accepts(
    fitted: Sequence[OwnFitted],
    pairs: ContrastQuestions,
    scored: Scored,
    splits: Sequence[Split],
    delta: float,
) -> float | None:
    """Returns the share of contrast questions served with the outcome that they must not get.

    At alpha = 2 % with high probability, as a mean over the splits' thresholds. None: there are
    no contrast questions.
    """
    score, fooled = _answers(fitted, pairs)
    if not len(score):
        return None
    rates = []
    for split in splits:
        at = split.calibration
        threshold = threshold_of(
            Kind.HIGH_PROBABILITY, scored.score[at], scored.correct[at], ALPHA, delta
        )
        served = score >= threshold if threshold is not None else np.zeros(len(score), dtype=bool)
        rates.append(float((served & fooled).mean()))
    return float(np.mean(rates))


def _answers(fitted: Sequence[OwnFitted], pairs: ContrastQuestions) -> tuple[FloatArray, BoolArray]:
    scores, fooled = [np.zeros(0)], []
    for one, asked, forbidden, keys in zip(
        fitted, pairs.asked, pairs.forbidden, pairs.keys, strict=True
    ):
        proposals = one.score(asked)
        scores.append(proposals.score)
        fooled += [
            keys.get(outcome) == key
            for outcome, key in zip(proposals.outcomes, forbidden, strict=True)
        ]
    return np.concatenate(scores), np.array(fooled, dtype=bool)
