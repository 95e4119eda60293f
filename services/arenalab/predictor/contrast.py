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
    compare_all,
    overlap,
    variation,
)
from arenalab.contrast.phrase import Phrase

__all__ = ["FREE_KINDS", "Contrast", "compare", "find_group_clashes", "overlap", "variation"]


# An opposite is heard before wordings that share a little more with the question: they may leave
# out what the two differ in. Another name or item is not, as rephrasings exchange words too.
MARGIN: Final = 0.1
_NONE: Final[Contrast] = Contrast.NONE
_GRAVE: Final = ~FREE_KINDS


def find_group_clashes(
    question: Phrase, evidence: Sequence[Phrase], groups: Sequence[Sequence[int]]
) -> list[Contrast]:
    """Returns how each piece of evidence clashes with the question.

    Args:
        question: What is asked.
        evidence: The questions of the spans found for it.
        groups: Positions in the evidence, those of one outcome together.
    """
    flags = compare_all(question, evidence)
    clashing = {at for at, flag in enumerate(flags) if flag is not _NONE}
    if clashing:
        for members in groups:
            if not clashing.isdisjoint(members):
                _settle(question, evidence, members, flags)
    return flags


def _settle(
    question: Phrase, evidence: Sequence[Phrase], members: Sequence[int], flags: list[Contrast]
) -> None:
    wording = OutcomeWording([evidence[at] for at in members])
    for at in members:
        if flags[at] is not _NONE:
            flags[at] = wording.remaining(flags[at], question, evidence[at])
    if all(flags[at] is _NONE for at in members):
        return
    judge = max(members, key=lambda at: _hearing(question, evidence[at], flags[at]))
    if flags[judge] is not _NONE:
        for at in members:
            flags[at] |= flags[judge]


def _hearing(question: Phrase, wording: Phrase, flag: Contrast) -> tuple[float, bool]:
    """Returns how far a wording is heard: the one with the most speaks for its outcome."""
    alike = alikeness(question, wording)
    if flag is _NONE:
        return alike, True
    return alike + (MARGIN if flag & _GRAVE else 0.0), False
