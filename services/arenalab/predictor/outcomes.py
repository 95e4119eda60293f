"""Outcomes grouped by what they say, their shares, and what is made of them (majority and on)."""

from collections import defaultdict
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

import numpy as np

from arenalab.predictor.neighbourhood import FloatArray, Memory

MAJORITY_ABOVE: Final = 0.70
SYNTHESIS_FROM: Final = 0.40
MAX_OPTIONS: Final = 5

NOTHING_TEXT: Final = "Nothing in memory has an outcome for this question."


class Method(StrEnum):
    """How an output was made."""

    MAJORITY = "majority"
    SYNTHESIS = "synthesis"
    UNCERTAIN = "uncertain"
    NONE = "none"


class Group(NamedTuple):
    """The neighbours that agree on one outcome; a question has dozens, so they are plain tuples."""

    outcome: str  # as the nearest of them words it
    members: tuple[int, ...]  # positions in the neighbourhood, nearest first
    score: float  # sum of their weights; may be negative
    share: float  # of the vote, or of the mixed views, in [0, 1]


def members_of(memories: Sequence[Memory]) -> list[list[int]]:
    """Returns the positions of each outcome's spans, nearest first; the nearest outcome first."""
    members: defaultdict[str, list[int]] = defaultdict(list)
    for at, memory in enumerate(memories):
        members[memory.outcome_key].append(at)
    return list(members.values())


def scores_of(members: Sequence[Sequence[int]], weights: FloatArray) -> FloatArray:
    """Returns the sum of each outcome's weights, shape (m,)."""
    values = weights.tolist()
    return np.array([sum([values[at] for at in own]) for own in members], dtype=np.float64)


def vote_shares(scores: FloatArray) -> FloatArray:
    """Returns each outcome's share of the vote, summing to 1, or all 0 when none has a voice.

    Squared, as regression leaves a little of either sign on every outcome nearby: many small
    residues are noise, not opinions.
    """
    voices = np.maximum(scores, 0.0) ** 2
    total = float(voices.sum())
    return voices / total if total > 0 else np.zeros(len(scores))


def ranked_groups(
    memories: Sequence[Memory],
    members: Sequence[Sequence[int]],
    scores: FloatArray,
    shares: FloatArray,
    *,
    by: FloatArray,
) -> list[Group]:
    """Returns the groups of outcomes, those with the highest `by` first, then the nearest."""
    order = (-by).argsort(kind="stable").tolist()
    values, parts = scores.tolist(), shares.tolist()
    return [
        Group(memories[members[n][0]].outcome, tuple(members[n]), values[n], parts[n])
        for n in order
    ]


class Voted(Protocol):
    """Outcomes that share in the vote: exact ones, or those of one meaning."""

    @property
    def members(self) -> tuple[int, ...]:
        """Positions in the neighbourhood."""

    @property
    def share(self) -> float:
        """Of the vote, in [0, 1]."""


def method_of(groups: Sequence[Voted]) -> Method:
    """Returns what the shares allow."""
    if not groups:
        return Method.NONE
    if groups[0].share > MAJORITY_ABOVE:
        return Method.MAJORITY
    return Method.SYNTHESIS if groups[0].share >= SYNTHESIS_FROM else Method.UNCERTAIN


def output_of(groups: Sequence[Group], method: Method) -> str:
    """Returns the output as it is calibrated: the best outcome byte for byte, where there is one.

    An answer that is served must hold one that was confirmed; what speaks for others travels
    beside it.
    """
    match method:
        case Method.NONE:
            return NOTHING_TEXT
        case Method.UNCERTAIN:
            return options_of([(group.outcome, group.share) for group in groups])
        case _:
            return groups[0].outcome


def options_of(options: Sequence[tuple[str, float]]) -> str:
    """Returns the text of an uncertain output: it says so and lists the first options."""
    lines = "\n".join(f"- {outcome} ({share:.0%})" for outcome, share in options[:MAX_OPTIONS])
    return f"Memory is uncertain; past outcomes were:\n{lines}"


def reasoning_of(groups: Sequence[Voted], method: Method, similarity: float) -> str:
    """Returns one or two sentences on how the outcome was found."""
    if method is Method.NONE:
        return "No span with an outcome was found."
    best = groups[0]
    spans = f"{len(best.members)} span{'s' if len(best.members) > 1 else ''}"
    head = (
        f"{spans} agree on the best outcome, with {best.share:.0%} of the weighted vote among "
        f"{len(groups)} outcome{'s' if len(groups) > 1 else ''}; the nearest span has similarity "
        f"{similarity:.2f}."
    )
    rest = ", ".join(f"{g.share:.0%}" for g in groups[1:4] if g.share > 0)
    match method:
        case Method.SYNTHESIS:
            return f"{head} It is not alone: the alternatives hold {rest or 'nothing'}."
        case Method.UNCERTAIN:
            return f"{head} No outcome reaches {SYNTHESIS_FROM:.0%}; the next hold {rest}."
        case _:
            return head
