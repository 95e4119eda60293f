"""What an embedding cannot see: two questions alike in words and opposite in meaning.

Reversed, negated and number-changed questions lie closer together than most paraphrases. So
questions that share their words are compared for negation, opposites, numbers and order. A
difference is no clash where the outcome does not depend on it: when the outcome's own past
questions differ in the same way ("a timer for 5 minutes", "for 10 minutes").
"""

from collections.abc import Sequence
from enum import Flag, auto
from typing import Final

from arenalab.predictor.phrase import Phrase

# Below this share of common words two questions are about different matters, and a
# "not" in one of them says nothing about the other.
MIN_OVERLAP: Final = 0.5


class Contrast(Flag):
    """Ways in which two questions can differ that flip an answer."""

    NONE = 0
    NEGATION = auto()
    OPPOSITE = auto()
    NUMBER = auto()
    ORDER = auto()


def overlap(a: Phrase, b: Phrase) -> float:
    """Returns the common share of the shorter one's words that carry meaning, in [0, 1]."""
    shorter = min(len(a.content), len(b.content))
    return len(a.content & b.content) / shorter if shorter else 0.0


def compare(a: Phrase, b: Phrase) -> Contrast:
    """Returns how two questions clash; symmetric, and NONE for equal ones."""
    if a.negated == b.negated and not (
        (a.poles and b.poles) or (a.numbers and b.numbers) or (a.order and b.order)
    ):
        return Contrast.NONE  # nearly all pairs: nothing there that could clash
    opposite = _are_opposite(a, b)
    negation = a.negated != b.negated
    numbers = bool(a.numbers and b.numbers and a.numbers != b.numbers)
    order = _is_reversed(a, b)
    if not (opposite or negation or numbers or order) or overlap(a, b) < MIN_OVERLAP:
        return Contrast.NONE
    if opposite and negation:  # "do not enable" is "disable"
        opposite = negation = False
    flags = Contrast.NONE
    for present, kind in (
        (negation, Contrast.NEGATION),
        (opposite, Contrast.OPPOSITE),
        (numbers, Contrast.NUMBER),
        (order, Contrast.ORDER),
    ):
        if present:
            flags |= kind
    return flags


def variation(questions: Sequence[Phrase]) -> Contrast:
    """Returns the differences that one outcome's questions show among themselves."""
    kinds = Contrast.NONE
    if len(questions) < 2:  # noqa: PLR2004
        return kinds
    if len({q.negated for q in questions}) > 1:
        kinds |= Contrast.NEGATION
    if len({q.numbers for q in questions if q.numbers}) > 1:
        kinds |= Contrast.NUMBER
    poles = {pole for q in questions for pole in q.poles}
    if any((pair, -side) in poles for pair, side in poles):
        kinds |= Contrast.OPPOSITE
    order = {pair for q in questions for pair in q.order}
    if any((b, a) in order for a, b in order):
        kinds |= Contrast.ORDER
    return kinds


def _are_opposite(a: Phrase, b: Phrase) -> bool:
    for pair, side in a.poles:
        other = (pair, -side)
        # A text that holds both poles ("turn off the lights on Friday") takes no side.
        if other in b.poles and other not in a.poles and (pair, side) not in b.poles:
            return True
    return False


def _is_reversed(a: Phrase, b: Phrase) -> bool:
    # A text that goes both ways takes no side either.
    return any(
        (right, left) in b.order and (right, left) not in a.order and (left, right) not in b.order
        for left, right in a.order
    )
