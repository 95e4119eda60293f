"""Whether the evidence answers a follow-up, or only the turn before it."""

from typing import Final

from arenalab.contrast.phrase import parse
from arenalab.predictor.appraisal import Appraisal
from arenalab.predictor.conversation import Asked
from arenalab.predictor.neighbourhood import Memory

# Spans of the best outcome that are looked at: the nearest.
_NEAREST: Final = 5
# Share of the opening's words that the same span must mention.
_OPENING_SHARE: Final = 0.5


def unmentioned(asked: Asked, appraisal: Appraisal) -> tuple[str, ...]:
    """Returns the words of a follow-up that the evidence does not speak of, as written, sorted.

    Empty where one of the nearest spans of the best outcome mentions all that the follow-up adds,
    and half of what it leans on: in its question, or in those before it on its trajectory. Empty
    for a whole question too.
    """
    if not asked.opening or not appraisal.groups:
        return ()
    leant_on = parse(asked.opening).content
    best: frozenset[str] | None = None
    for at in appraisal.groups[0].members[:_NEAREST]:
        mentioned = _words(appraisal.neighbourhood.memories[at])
        missing = asked.terms - mentioned
        if len(leant_on & mentioned) < _OPENING_SHARE * len(leant_on):
            missing |= leant_on - mentioned
        if not missing:
            return ()
        best = missing if best is None or len(missing) < len(best) else best
    return tuple(sorted(_written(asked, best or frozenset())))


def _written(asked: Asked, stems: frozenset[str]) -> set[str]:
    # A stem is no word to show: "delet".
    written = {
        root: word
        for phrase in map(parse, (asked.extra_text, asked.opening, asked.question))
        for word, root in zip(phrase.spoken, phrase.words, strict=True)
    }
    return {written.get(root, root) for root in stems}


def _words(memory: Memory) -> frozenset[str]:
    return memory.phrase.content.union(*(parse(text).content for text in memory.earlier))
