"""Which retrieved outcome to propose: the neighbours' vote and the views, mixed by learnt weights.

A conditional logit over the outcomes of the neighbourhood: their log probabilities are weighted
sums of what each witness says. The weights are fitted on the version itself, on questions whose
outcome was left in, and pulled towards values that no data set has chosen.

Source: McFadden (1974), Conditional Logit Analysis of Qualitative Choice Behavior.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from arenalab.predictor.head import log_softmax
from arenalab.predictor.neighbourhood import FloatArray
from arenalab.predictor.views import Opinion

WITNESSES: Final = ("head", "vote", "voice", "nearest", "words", "coverage")
_PRIOR: Final = np.array([1.0, 1.0, 0.25, 0.0, 0.5, 0.0])
_STRENGTH: Final = 2.0  # of the pull, in questions
_LEAST: Final = -15.0  # log probability below which the head says nothing more
_VOICE_FLOOR: Final = 1e-3
_WORDS_SCALE: Final = 0.1


@dataclass(frozen=True)
class Mixing:
    """The weight of each witness."""

    weights: FloatArray  # (len(WITNESSES),)

    def log_probabilities(self, witnesses: FloatArray) -> FloatArray:
        """Returns the log probability of each outcome, from its witnesses (m, w)."""
        return log_softmax(witnesses @ self.weights)


def witnesses_of(
    opinion: Opinion, codes: Sequence[int], scores: FloatArray, nearest: FloatArray
) -> FloatArray:
    """Returns what each witness says of each outcome of a neighbourhood, shape (m, w).

    Args:
        opinion: Of the question.
        codes: Codes of the outcomes in the views; -1: it has none, and the vote stands in.
        scores: Their sums of dual weights, shape (m,).
        nearest: Similarity of the nearest span of each, shape (m,).
    """
    voices = np.maximum(scores, 0.0) ** 2
    voice = np.log(voices / max(float(voices.sum()), 1e-12) + _VOICE_FLOOR)
    heads, heard = opinion.log_probabilities, opinion.heard
    rows = []
    # Of a dozen outcomes each: too few for arrays to be any faster.
    each = zip(codes, scores.tolist(), voice.tolist(), nearest.tolist(), strict=True)
    for code, score, own, near in each:
        head, words, coverage = own, 0.0, 0.0
        if code >= 0:
            head = max(heads.item(code), _LEAST)
            words = heard.scores.item(code) * _WORDS_SCALE
            coverage = heard.coverage.item(code)
        rows.append((head, min(max(score, -1.0), 2.0), own, near, words, coverage))
    return np.array(rows, dtype=np.float64).reshape(-1, len(WITNESSES))


def fit_mixing(questions: Sequence[tuple[FloatArray, int]]) -> Mixing:
    """Returns the weights under which the right outcomes are likeliest.

    Args:
        questions: Witnesses (m, w) of the outcomes retrieved for a question, and the position of
            the right one.
    """
    from scipy.optimize import minimize

    if not questions:
        return Mixing(_PRIOR.copy())
    starts = np.cumsum([0, *(len(rows) for rows, _ in questions)])
    rows = np.concatenate([rows for rows, _ in questions])
    right = starts[:-1] + np.array([at for _, at in questions])
    owner = np.repeat(np.arange(len(questions)), np.diff(starts))
    pull = _STRENGTH / len(questions)

    def objective(weights: FloatArray) -> tuple[float, FloatArray]:
        logits = rows @ weights
        logits -= np.maximum.reduceat(logits, starts[:-1])[owner]
        powers = np.exp(logits)
        totals = np.add.reduceat(powers, starts[:-1])
        away = weights - _PRIOR
        loss = float((np.log(totals) - logits[right]).mean() + 0.5 * pull * (away @ away))
        expected = ((powers / totals[owner])[:, None] * rows).sum(axis=0) / len(questions)
        return loss, expected - rows[right].mean(axis=0) + pull * away

    found = minimize(objective, _PRIOR, jac=True, method="L-BFGS-B", options={"maxiter": 100})
    return Mixing(np.asarray(found.x, dtype=np.float64))
