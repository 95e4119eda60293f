"""Weights of the context similarity, learned from a dataset and judged on spans held out of it.

Every span that may calibrate is asked with the situation that it states. Of the spans nearest to
it, those with its outcome should have the greater context similarity. The weights are the
non-negative least-squares regression of "has the outcome" on the factors, fitted on half of the
spans; the other half judges them beside the fixed ones, by how often a span with the outcome is
above one without (AUC for each question, then their mean). The learned ones are in use where they
are better by more than chance allows, or where the operator asks for them. Deterministic: which
half a span is in follows from its id.

Source of the solver: Lawson and Hanson (1974), Solving Least Squares Problems, chapter 23.
"""

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Final

import numpy as np

from arenalab.predictor.context_match import FIXED, Weights, factors_of, weighted_mean
from arenalab.predictor.guarantee import BoolArray
from arenalab.predictor.holdout import Corpus, Holdout, bucket
from arenalab.predictor.neighbourhood import FloatArray

# Questions that are compared: more would not move the weights, and cost publishing time.
MAX_QUESTIONS: Final = 2_000
# With fewer in a half, nothing is learnt.
MIN_QUESTIONS: Final = 30
# Normal quantile of a one-sided test at 5 %.
_CLEARLY: Final = 1.645


class Choice(StrEnum):
    """Which weights a version uses."""

    AUTO = "auto"  # the learned ones where they are proven better
    FIXED = "fixed"
    LEARNED = "learned"  # wherever there are any


@dataclass(frozen=True, slots=True)
class LearnedWeights:
    """Learned weights beside the fixed ones, and what both reached on held-out spans."""

    learned: Weights | None  # None: too little to learn from
    uses_learned: bool
    fixed_auc: float = 0.0  # mean over the questions, in [0, 1]
    learned_auc: float = 0.0
    questions: int = 0

    @property
    def used(self) -> Weights:
        """The weights in use."""
        return self.learned if self.learned is not None and self.uses_learned else FIXED


@dataclass(frozen=True)
class _Asked:
    """One question: the factors of its neighbours, and which have its outcome."""

    factors: FloatArray  # (k, 5), NaN where a side does not know one
    same: BoolArray  # (k,), both kinds present


def learn_weights(corpus: Corpus, choice: Choice = Choice.AUTO) -> LearnedWeights:
    """Returns the weights that a corpus teaches, and which of them are to be used."""
    fitting, judging = _questions(corpus)
    if min(len(fitting), len(judging)) < MIN_QUESTIONS:
        return LearnedWeights(None, uses_learned=False)
    learned = _fit(fitting)
    if learned is None:
        return LearnedWeights(None, uses_learned=False)
    fixed_aucs = np.array([_auc(asked, FIXED) for asked in judging])
    learned_aucs = np.array([_auc(asked, learned) for asked in judging])
    uses = choice is Choice.LEARNED or (
        choice is Choice.AUTO and _is_clear(learned_aucs - fixed_aucs)
    )
    return LearnedWeights(
        learned, uses, float(fixed_aucs.mean()), float(learned_aucs.mean()), len(judging)
    )


def dump_weights(weights: LearnedWeights) -> dict[str, Any]:
    """Returns the JSON form."""
    return asdict(weights)


def load_weights(form: dict[str, Any]) -> LearnedWeights:
    """Returns the weights of their JSON form.

    Raises:
        ValueError: A weight is negative or no number, or all are 0.
        KeyError: A member is missing.
        TypeError: A member is of another kind.
    """
    learned = None if form["learned"] is None else Weights(**form["learned"])
    if learned is not None:
        values = learned.as_array()
        if not np.isfinite(values).all() or (values < 0).any() or not values.any():
            raise ValueError("the context weights must be non-negative, and one above 0")
    return LearnedWeights(
        learned,
        bool(form["uses_learned"]),
        float(form["fixed_auc"]),
        float(form["learned_auc"]),
        int(form["questions"]),
    )


def _questions(corpus: Corpus) -> tuple[list[_Asked], list[_Asked]]:
    """Returns the questions to fit on and those to judge by, about `MAX_QUESTIONS` together."""
    share = max(1, -(-int(corpus.eligible.sum()) // MAX_QUESTIONS))
    sampled = np.array([bucket(m.span_id, "sample", share) == 0 for m in corpus.memories], bool)
    corpus = replace(corpus, eligible=corpus.eligible & sampled)
    halves: tuple[list[_Asked], list[_Asked]] = ([], [])
    for held in Holdout(corpus, with_views=False).asked():
        memory, hood = corpus.memories[held.at], held.hood
        same = np.array([one.outcome_key == memory.outcome_key for one in hood.memories])
        if same.all() or not same.any():
            continue
        situations = [one.situation for one in hood.memories]
        factors = factors_of(memory.situation, situations, hood.semantic)
        halves[bucket(memory.span_id, "half", 2)].append(_Asked(factors, same))
    return halves


def _fit(questions: list[_Asked]) -> Weights | None:
    """Returns the weights, summing to 1; None where no factor speaks for the outcome."""
    from scipy.optimize import nnls

    # Within a question: what makes one neighbour better than the others of the same question.
    rows = np.concatenate([_centred(asked.factors) for asked in questions])
    target = np.concatenate([asked.same - asked.same.mean() for asked in questions])
    solution, _ = nnls(rows, target)
    total = float(solution.sum())
    if not np.isfinite(total) or total <= 0:
        return None
    share = [round(float(value) / total, 6) for value in solution]
    return Weights(*share)


def _centred(factors: FloatArray) -> FloatArray:
    """Returns the factors about their mean in one question; 0 where one is absent."""
    present = ~np.isnan(factors)
    counts = np.maximum(present.sum(axis=0), 1)
    means = np.where(present, factors, 0.0).sum(axis=0) / counts
    return np.where(present, factors - means, 0.0)


def _auc(asked: _Asked, weights: Weights) -> float:
    """Returns how often a neighbour with the outcome is above one without; ties count half."""
    scores = weighted_mean(asked.factors, weights)
    gaps = scores[asked.same][:, None] - scores[~asked.same][None, :]
    return float((gaps > 0).mean() + (gaps == 0).mean() / 2)


def _is_clear(gains: FloatArray) -> bool:
    error = float(gains.std(ddof=1)) / np.sqrt(len(gains))
    return bool(gains.mean() > max(0.0, _CLEARLY * error))
