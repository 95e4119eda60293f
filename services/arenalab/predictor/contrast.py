"""The contrast guard: which of the evidence speaks of another matter than the question.

Only the questions of one outcome together say what the outcome hangs on. A way in which they
differ among themselves is no clash. And where the one that shares most words with the question
clashes with it, the others do too: they say the same in other words, in which the difference
cannot be seen.
"""

from collections.abc import Sequence
from typing import Final

from arenalab.contrast.clash import (
    FREE_KINDS,
    Contrast,
    OutcomeWording,
    alikeness,
    compare,
    overlap,
    variation,
)
from arenalab.contrast.phrase import Phrase

__all__ = ["FREE_KINDS", "Contrast", "compare", "find_group_clashes", "overlap", "variation"]


# An opposite is heard before wordings that share a little more with the question: they may leave
# out what the two differ in. Another name or item is not, as rephrasings exchange words too.
MARGIN: Final = 0.1


def find_group_clashes(
    question: Phrase, evidence: Sequence[Phrase], groups: Sequence[Sequence[int]]
) -> list[Contrast]:
    """Returns how each piece of evidence clashes with the question.

    Args:
        question: What is asked.
        evidence: The questions of the spans found for it.
        groups: Positions in the evidence, those of one outcome together.
    """
    flags = [compare(question, other) for other in evidence]
    for members in groups:
        if any(flags[at] for at in members):
            _settle(question, evidence, members, flags)
    return flags


def _settle(
    question: Phrase, evidence: Sequence[Phrase], members: Sequence[int], flags: list[Contrast]
) -> None:
    wording = OutcomeWording([evidence[at] for at in members])
    for at in members:
        if flags[at]:
            flags[at] = wording.remaining(flags[at], question, evidence[at])
    judge = max(
        members,
        key=lambda at: (
            alikeness(question, evidence[at]) + (MARGIN if flags[at] & ~FREE_KINDS else 0.0),
            not flags[at],
        ),
    )
    if flags[judge]:
        for at in members:
            flags[at] |= flags[judge]
