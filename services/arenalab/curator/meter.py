"""The quality meter: five dimensions of a span, each in [0, 100], and their mean.

At 80 and more a span is a diamond, from 60 it needs enrichment, below it is
discarded. Two quantities are shared by the dimensions.

sense, in [0, 1]: can question and outcome mean anything together? The question's
    share is 0.2, 0.6, 1 for one, two, three words and more; a span whose
    question is short is as good as the support it has. The outcome's share is 0 for
    none, for "n/a" and its like, and for one that repeats the question, unless
    support shows it to be a label ("yes" is the intent of "yes"). It multiplies
    every dimension that speaks of the content, so what makes no sense cannot pass
    on its metadata alone.

agreement, in (0, 1]: (1 + support) / (1 + support + contradiction), over the nearest
    neighbours in the same situation (same action, and the same domain where both
    have one). A neighbour with the same outcome supports by (s - 0.5) / 0.5, s being
    the cosine of the questions. One with another outcome contradicts by
    ((s - 0.9) / 0.1) squared: neighbouring questions may well have different outcomes,
    the same question asked twice may not. Questions that differ in a negation or a
    number lie as near as copies do, so those never contradict each other.

The meter reads no minds: several words of nonsense pass for a question.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from arenalab.atomic import Span, Stakes
from arenalab.curator.neighbours import Neighbours
from arenalab.curator.texts import normalised, outcome_sense, question_sense, turns

# The most neighbours that are looked at.
NEIGHBOURS: Final = 10
DIAMOND: Final = 80.0
ENRICHMENT: Final = 60.0

_SUPPORT_FROM: Final = 0.5
_CONTRADICTION_FROM: Final = 0.9
# A question this far from its nearest neighbour is as unique as one can be.
_UNIQUE_DISTANCE: Final = 0.3
# Phrasings of one outcome from which it is in full demand.
_FULL_DEMAND: Final = 3
_STAKES: Final = {None: 1 / 3, Stakes.LOW: 1 / 3, Stakes.MEDIUM: 2 / 3, Stakes.HIGH: 1.0}
# Nobody saw these happen.
_UNSEEN_SOURCES: Final = frozenset({"synthetic", "fallback"})
_TRACES: Final = frozenset({"file", "url", "source_url", "conversation_id"})


class Grade(StrEnum):
    """What a total means."""

    DIAMOND = "diamond"
    NEEDS_ENRICHMENT = "needs_enrichment"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class Scores:
    """The five dimensions of one span, or their means over many."""

    completeness: float
    provenance: float
    impact: float
    uniqueness: float
    coherence: float

    @property
    def total(self) -> float:
        """The mean of the five, to one decimal: finer differences are noise."""
        five = self.completeness + self.provenance + self.impact + self.uniqueness + self.coherence
        return round(five / 5, 1)

    @property
    def grade(self) -> Grade:
        if self.total >= DIAMOND:
            return Grade.DIAMOND
        return Grade.NEEDS_ENRICHMENT if self.total >= ENRICHMENT else Grade.DISCARD


def measure(spans: Sequence[Span], neighbours: Neighbours) -> list[Scores]:
    """Returns the scores of each span.

    Args:
        spans: Without copies: see arenalab.curator.build.
        neighbours: Row i belongs to span i.
    """
    outcomes = [normalised(span.outcome) if span.outcome is not None else None for span in spans]
    demand = Counter(outcomes)
    scores = []
    for number, span in enumerate(spans):
        near = [
            (spans[row], outcomes[row], float(similarity))
            for row, similarity in zip(
                neighbours.rows[number], neighbours.similarities[number], strict=True
            )
            if row >= 0
        ]
        outcome = outcomes[number]
        support, contradiction = _votes(span, outcome, near)
        agreement = (1 + support) / (1 + support + contradiction)
        sense = _sense(span, outcome, support)
        scores.append(
            Scores(
                completeness=completeness(span, sense),
                provenance=provenance(span),
                impact=impact(span, sense, agreement, demand[outcome] - 1),
                uniqueness=uniqueness(max((s for _, _, s in near), default=-1.0)),
                coherence=coherence(span, sense, agreement),
            )
        )
    return scores


def mean_of(scores: Sequence[Scores]) -> Scores:
    """Returns the mean of each dimension; of nothing, zeros."""
    if not scores:
        return Scores(0.0, 0.0, 0.0, 0.0, 0.0)
    table = np.array(
        [
            (one.completeness, one.provenance, one.impact, one.uniqueness, one.coherence)
            for one in scores
        ]
    )
    # To two decimals: finer ones vary with the order of a sum.
    return Scores(*(round(float(mean), 2) for mean in table.mean(axis=0)))


def completeness(span: Span, sense: float) -> float:
    """Are the fields that make a span usable there?

    sense x (80 for question and outcome, 10 for the domain, 10 for anything else of
    the situation: stakes, emotional state or earlier spans).
    """
    context = span.context
    has_situation = bool(context.stakes or context.emotional_state or context.previous_spans)
    return sense * (80.0 + 10.0 * bool(context.environment) + 10.0 * has_situation)


def provenance(span: Span) -> float:
    """Is it known where the outcome comes from, and who confirmed it?

    50 for a source that saw it happen (10 for a synthetic or fallback one), 30 for a
    confirmation, 20 for a way back to the record: its file, its address, or provider
    and model.
    """
    metadata = span.metadata
    has_trace = bool(_TRACES & metadata.attributes.keys() or (metadata.provider and metadata.model))
    seen = 10.0 if span.source in _UNSEEN_SOURCES else 50.0
    return seen + 30.0 * (span.confirmed_by is not None) + 20.0 * has_trace


def impact(span: Span, sense: float, agreement: float, others: int) -> float:
    """Does the outcome settle something, and how much hangs on it?

    sense x agreement x (60, up to 20 for other questions with the same outcome, full
    from three, and 20 x stakes: a third for low or not known, two for medium).
    """
    demand = min(1.0, others / _FULL_DEMAND)
    return sense * agreement * (60.0 + 20.0 * demand + 20.0 * _STAKES[span.context.stakes])


def uniqueness(nearest_similarity: float) -> float:
    """How far is it from its nearest neighbour? 0 for a copy, 100 from a distance of 0.3."""
    distance = 1.0 - nearest_similarity
    return 100.0 * min(1.0, max(0.0, distance / _UNIQUE_DISTANCE))


def coherence(span: Span, sense: float, agreement: float) -> float:
    """Do outcome, status and neighbours agree?

    sense x (2 x agreement - 1), not below 0: a majority's margin. Half of it where
    success and failure have the same outcome, so that the status says nothing.
    """
    is_moot = (
        span.if_ok is not None
        and span.if_not is not None
        and normalised(span.if_ok) == normalised(span.if_not)
    )
    return 100.0 * sense * max(0.0, 2.0 * agreement - 1.0) * (0.5 if is_moot else 1.0)


def _sense(span: Span, outcome: str | None, support: float) -> float:
    if outcome is None:
        return 0.0
    backing = min(1.0, support)
    question = max(question_sense(span.this), backing)
    is_echo = outcome == normalised(span.this)
    return question * (backing if is_echo else outcome_sense(outcome))


def _votes(
    span: Span, outcome: str | None, near: Sequence[tuple[Span, str | None, float]]
) -> tuple[float, float]:
    """Returns support and contradiction by the neighbours."""
    support = contradiction = 0.0
    for other, other_outcome, similarity in near:
        if other_outcome is None or not _same_situation(span, other):
            continue
        if other_outcome == outcome:
            support += _ramp(similarity, _SUPPORT_FROM)
        elif turns(span.this) == turns(other.this):
            contradiction += _ramp(similarity, _CONTRADICTION_FROM) ** 2
    return support, contradiction


def _same_situation(one: Span, other: Span) -> bool:
    first, second = one.context.environment, other.context.environment
    return one.did == other.did and (first == second or not first or not second)


def _ramp(similarity: float, start: float) -> float:
    return min(1.0, max(0.0, (similarity - start) / (1.0 - start)))
