"""Follow-ups that leave out what was said before: "and for Windows?"."""

import re
from typing import Final

from arenalab.contrast.phrase import parse

# "the other one", "the second option", "the latter": one of several things, and no telling which.
# "The next one" and "the last thing" are told by the situation, and stand in whole questions.
_UNNAMED: Final = re.compile(
    r"\b(?:the|that|this|those|these)\s+(?:(?:other|first|second|third)\s+(?:ones?|options?)|"
    r"others|former|latter)\b",
    re.IGNORECASE,
)
_OPENING: Final = re.compile(
    r"^\s*(?:(?:ok(?:ay)?|so|thanks|and|or|but|also|then|now|what\s+about|how\s+about|same)\b[\s,]*)+",
    re.IGNORECASE,
)
_AND: Final = re.compile(r"^\s*(?:and|or|but|also|same)\b", re.IGNORECASE)
_ABOUT: Final = re.compile(r"^\s*(?:what|how)\s+about\b", re.IGNORECASE)
# What places, tools and people are given by; one of them takes the place of another.
_PREPOSITIONS: Final = r"(?:for|on|in|at|with|under|via|using|by)"
_PHRASE: Final = re.compile(
    rf"\b{_PREPOSITIONS}\s+(?:(?!\b{_PREPOSITIONS}\b)[^?.!,;])+", re.IGNORECASE
)
_PLACED: Final = re.compile(rf"^({_PREPOSITIONS})\s+(.+)$", re.IGNORECASE)
# A follow-up that opens so is a clause of its own.
_CLAUSE: Final = re.compile(
    r"^(?:how|what|when|where|why|who|which|whose|can|could|do|does|did|is|are|was|were|should|"
    r"will|would|may|must|if|i|we|you|it|they|that|this|not)\b",
    re.IGNORECASE,
)
_MAX_WORDS: Final = 6
# Words of content up to which a turn is about what it points at, and about nothing else.
_MAX_POINTING: Final = 3
# Words of content up to which a lone turn leans on something: "what about Windows?" does, "what
# about the weather in Austin?" is a question.
_MAX_AND: Final = 2
_MAX_ABOUT: Final = 1


def is_unnamed(turn: str) -> bool:
    """Whether a turn points at one of several things without its name, and says little else."""
    return len(parse(turn).content) <= _MAX_POINTING and bool(_UNNAMED.search(turn))


def leans_on_nothing(turn: str) -> bool:
    """Whether a turn that nothing stands before opens like a follow-up and says little else."""
    size = len(parse(turn).content)
    if size > _MAX_AND or _CLAUSE.match(_remainder(turn)):
        return False
    return (bool(_AND.match(turn)) and size <= _MAX_AND) or (
        bool(_ABOUT.match(turn)) and size <= _MAX_ABOUT
    )


def replaced(opening: str, follow_up: str) -> str | None:
    """Returns the opening with the follow-up's phrase in place of its own; None where none fits.

    A phrase takes the place of the last one of its kind ("on Linux"), or is added. One without a
    preposition ("what about Windows?") takes only a place that there is.
    """
    rest = _remainder(follow_up)
    if rest == follow_up.strip() or not rest or len(rest.split()) > _MAX_WORDS:
        return None
    if _CLAUSE.match(rest):
        return None
    placed = _PLACED.match(rest)
    places = list(_PHRASE.finditer(opening))
    if places:
        last = places[-1]
        preposition = placed[1] if placed else last[0].split()[0]
        phrase = f"{preposition} {placed[2] if placed else rest}"
        return opening[: last.start()] + phrase + opening[last.end() :]
    if placed is None:
        return None
    body = opening.rstrip()
    marks = body[len(body.rstrip("?.!")) :]
    return f"{body.rstrip('?.!')} {rest}{marks}"


def _remainder(turn: str) -> str:
    opened = _OPENING.match(turn)
    return turn[opened.end() if opened else 0 :].strip().rstrip("?.! ")
