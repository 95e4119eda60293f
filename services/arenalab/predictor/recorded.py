"""Questions that memory holds word for word.

The confidence model learns from spans that are held out, and a span held out never meets itself:
of questions that are in memory as they stand it knows nothing, and would call them out of scope.
For them there is a better witness: whether memory agrees with itself. Among all spans, how many
have the outcome of every other span with the same words? That share is the confidence in a
question of recorded words, where it is above the model's own.

The bound stays what it is. Where it speaks of traffic like the dataset, such a question is right
as recorded, and adds no risk; where it comes from labelled traffic, such questions are among it.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from arenalab.contrast.phrase import parse, stem
from arenalab.predictor.appraisal import Appraisal
from arenalab.predictor.neighbourhood import Memory

# Words that change no question. Nothing else is left out: "when" and "where" make two questions.
COURTESY: Final = frozenset({"hello", "hey", "hi", "kindly", "please", "thanks"})
_COURTEOUS: Final = frozenset(stem(word) for word in COURTESY)
# Texts of the same words are nearer than this under any encoder; it spares comparing the others.
_NEAR: Final = 0.8


def said(text: str) -> tuple[str, ...]:
    """Returns the words of a question, in order, without case, marks and courtesy."""
    return tuple(word for word in parse(text).spoken if word not in COURTESY)


def is_recorded(appraisal: Appraisal) -> bool:
    """Whether the words are in memory, always with the outcome that the vote prefers.

    Follow-up spans do not count: their words mean what the turns before them make of them.
    """
    hood = appraisal.neighbourhood
    if not appraisal.groups or not len(hood) or hood.similarities[0] < _NEAR:
        return False
    words, content = said(appraisal.query.text), parse(appraisal.query.text).content
    outcomes = {
        memory.outcome_key
        for memory, similarity in zip(hood.memories, hood.similarities.tolist(), strict=True)
        if similarity >= _NEAR
        # What the same words say is the same but for courtesy: of most spans it is not.
        and memory.phrase.content ^ content <= _COURTEOUS
        and not memory.trajectory_depth
        and said(memory.question) == words
    }
    best = hood.memories[appraisal.groups[0].members[0]].outcome_key
    return bool(words) and outcomes == {best}


def agreement(memories: Sequence[Memory]) -> float:
    """Returns how surely spans of the same words have one outcome, in (0, 1).

    The share of spans that agree with all others of their words, by Laplace's rule of
    succession: without spans it is a half.
    """
    outcomes: dict[tuple[str, ...], set[str]] = defaultdict(set)
    openings = [memory for memory in memories if not memory.trajectory_depth]
    words = [said(memory.question) for memory in openings]
    for memory, key in zip(openings, words, strict=True):
        outcomes[key].add(memory.outcome_key)
    agreeing = sum(len(outcomes[key]) == 1 for key in words)
    return (agreeing + 1) / (len(openings) + 2)
