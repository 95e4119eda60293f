"""A short text cut into what the matcher compares: words, negation, numbers, opposites, order."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from arenalab.predictor.lexicon import (
    DIRECTIONS,
    FILLERS,
    KNOWING,
    NEGATIONS,
    NUMBERS,
    OPPOSITES,
)

_WORD: Final = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:['\u2019][^\W\d_]+)?|\d+")
_NUMBER: Final = re.compile(r"\d")
# Only the head of a long text is compared: contrast is a matter of one question.
MAX_WORDS: Final = 256

_Pole = tuple[int, int]  # pair of opposites, and which of the two: 1 or -1


def _poles_by_word() -> dict[str, tuple[_Pole, ...]]:
    poles: dict[str, tuple[_Pole, ...]] = {}
    for pair, sides in enumerate(OPPOSITES):
        for word, side in zip(sides, (1, -1), strict=True):
            poles[word] = (*poles.get(word, ()), (pair, side))
    return poles


@dataclass(frozen=True, slots=True)
class Phrase:
    """What is compared of one text."""

    words: tuple[str, ...]  # stems, in order
    content: frozenset[str]  # stems that carry meaning
    negated: bool  # an odd number of negations
    numbers: frozenset[str]
    poles: frozenset[_Pole]
    order: frozenset[tuple[str, str]]  # (earlier or source, later or target)


def words_of(text: str) -> list[str]:
    """Returns the words of a text in lower case, in order, at most `MAX_WORDS`."""
    return [word.replace("\u2019", "'") for word in _WORD.findall(text.casefold())[:MAX_WORDS]]


def is_filler(word: str) -> bool:
    """Whether a word in lower case carries no meaning of its own."""
    return word in FILLERS


@lru_cache(maxsize=65_536)
def parse(text: str) -> Phrase:
    """Returns the phrase of a text; the same text gives the same phrase."""
    raw = words_of(text)
    words = tuple(stem(word) for word in raw)
    # A pole belongs to the word as written, or to its stem: "disabled" is "disable".
    poles = frozenset(
        pole for word, root in zip(raw, words, strict=True) for pole in _poles(word, root)
    )
    return Phrase(
        words=words,
        content=frozenset(
            root
            for word, root in zip(raw, words, strict=True)
            if word not in FILLERS and word not in NEGATIONS and not word.endswith("n't")
        ),
        negated=_is_negated(raw),
        numbers=frozenset(
            NUMBERS.get(word, word) for word in raw if word in NUMBERS or _NUMBER.match(word)
        ),
        poles=poles,
        order=_order(raw, words),
    )


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Returns the word without its commonest English endings; crude on purpose, and stable."""
    word = word.removesuffix("'s")
    if len(word) > 4 and word.endswith("ies"):  # noqa: PLR2004
        return word[:-3] + "y"
    for ending, least in (("ing", 6), ("ed", 5), ("es", 5), ("s", 4)):
        if len(word) >= least and word.endswith(ending) and not word.endswith("ss"):
            root = word[: -len(ending)]
            if ending in {"ing", "ed"} and root[-1] == root[-2] and root[-1] not in "lsz":
                root = root[:-1]  # stopped -> stop
            return root.removesuffix("e")
    return word.removesuffix("e") if len(word) > 4 else word  # noqa: PLR2004


def _poles(word: str, root: str) -> tuple[_Pole, ...]:
    return _POLES.get(word) or _POLE_STEMS.get(root, ())


def _is_negated(raw: list[str]) -> bool:
    count = 0
    for at, word in enumerate(raw):
        if word in NEGATIONS or word.endswith("n't"):
            following = raw[at + 1 : at + 3]
            count += not any(stem(later) in _KNOWING_STEMS for later in following)
    return count % 2 == 1


def _order(raw: list[str], words: tuple[str, ...]) -> frozenset[tuple[str, str]]:
    pairs = set()
    for at, word in enumerate(raw):
        backwards = DIRECTIONS.get(word)
        if backwards is None:
            continue
        left = next((w for w in reversed(words[:at]) if w not in FILLERS), None)
        right = next((w for w in words[at + 1 :] if w not in FILLERS), None)
        if left is not None and right is not None and left != right:
            pairs.add((right, left) if backwards else (left, right))
    return frozenset(pairs)


_KNOWING_STEMS: Final = frozenset(stem(word) for word in KNOWING)
_POLES: Final = _poles_by_word()
_POLE_STEMS: Final = {stem(word): poles for word, poles in _POLES.items()}
