"""A short text cut into what is compared: words, negation, numbers, opposites, names, order."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from arenalab.contrast.lexicon import (
    ASKERS,
    COMPARATIVES,
    DIRECTIONS,
    DOING,
    FILLERS,
    ITEMS,
    KNOWING,
    NEGATIONS,
    NUMBERS,
    OPPOSITES,
    UNITS,
)

_WORD: Final = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:['\u2019][^\W\d_]+)?|\d+|[%&$\u20ac]")
_DIGITS: Final = re.compile(r"\d")
_THOUSANDS: Final = re.compile(r"\d{1,3}(?:,\d{3})+")
_SIGNS: Final = {"%": "percent", "$": "dollars", "\u20ac": "euros", "&": "and"}
# Only the head of a long text is compared: contrast is a matter of one question.
MAX_WORDS: Final = 256
# Of a text that has more capitals than this, none says that a word is a name.
_TITLE_SHARE: Final = 0.6
# "on" is the opposite of "off" after these; elsewhere it is a preposition.
_SWITCHING: Final = frozenset(
    [
        "turn",
        "turns",
        "turned",
        "turning",
        "switch",
        "switched",
        "switching",
        "power",
        "powered",
        "put",
        "keep",
        "leave",
        "is",
        "are",
    ]
)

# "what's", "I'd", "we're": the verb of a filler, shortened.
_SHORTENED: Final = frozenset(["s", "re", "ll", "d", "ve", "m"])

Pole = tuple[int, int]  # pair of opposites, and which of the two: 1 or -1
Item = tuple[str, str]  # kind, and which of that kind

PAIRS: Final = (*OPPOSITES, *COMPARATIVES)


def _poles_by_word() -> dict[str, tuple[Pole, ...]]:
    poles: dict[str, tuple[Pole, ...]] = {}
    for pair, sides in enumerate(PAIRS):
        for word, side in zip(sides, (1, -1), strict=True):
            poles[word] = (*poles.get(word, ()), (pair, side))
    return poles


@dataclass(frozen=True, slots=True)
class Phrase:
    """What is compared of one text."""

    words: tuple[str, ...]  # stems, in order
    frame: tuple[str, ...]  # the stems that carry meaning, in order
    content: frozenset[str]  # the same, as a set
    negated: bool  # an odd number of negations
    numbers: frozenset[str]  # in base units: 60 minutes are 1 hour
    amounts: tuple[str, ...]  # the same, each as often as it is written, sorted
    poles: frozenset[Pole]
    order: frozenset[tuple[str, str]]  # (earlier or source, later or target)
    items: frozenset[Item]  # weekdays, months, places and others of a closed kind
    names: frozenset[str]  # stems of words that are written as names


def words_of(text: str) -> list[str]:
    """Returns the words of a text in lower case, in order, at most `MAX_WORDS`."""
    return [_folded(match) for match in _head(text) if match[0] not in _SIGNS]


def is_filler(word: str) -> bool:
    """Whether a word in lower case carries no meaning of its own."""
    head, _, ending = word.partition("'")
    return word in FILLERS or (head in FILLERS and ending in _SHORTENED)


@lru_cache(maxsize=65_536)
def parse(text: str) -> Phrase:
    """Returns the phrase of a text; the same text gives the same phrase."""
    matches = _head(text)
    spoken = [_SIGNS.get(match[0]) or _folded(match) for match in matches]
    kept = [match for match in matches if match[0] not in _SIGNS]
    raw = [_folded(match) for match in kept]
    words = tuple(stem(word) for word in raw)
    frame = tuple(
        root
        for word, root in zip(raw, words, strict=True)
        if not is_filler(word) and not is_negation(word)
    )
    amounts = tuple(sorted(_quantities(spoken)))
    return Phrase(
        words=words,
        frame=frame,
        content=frozenset(frame),
        negated=_is_negated(raw),
        numbers=frozenset(amounts),
        amounts=amounts,
        poles=frozenset(_poles(raw, words)),
        order=_order(raw, words),
        items=frozenset(item for word in raw if (item := item_of(word)) is not None),
        names=_names(text, kept),
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


def is_negation(word: str) -> bool:
    """Whether a word in lower case negates what it belongs to."""
    return word in NEGATIONS or word.endswith("n't")


def item_of(word: str) -> Item | None:
    """Returns which item of a closed kind a word in lower case names; None for others."""
    return ITEMS.get(word) or ITEMS.get(word.removesuffix("'s"))


def is_comparative(pole: Pole) -> bool:
    """Whether the pair of a pole is one of more and less, before and after, best and worst."""
    return pole[0] >= len(OPPOSITES)


def _head(text: str) -> list[re.Match[str]]:
    # A word has a letter at least: the text is cut before the words are.
    found = _WORD.finditer(text)
    return [match for match, _ in zip(found, range(MAX_WORDS), strict=False)]


def _folded(match: re.Match[str]) -> str:
    return match[0].casefold().replace("\u2019", "'")


def _poles(raw: Sequence[str], words: Sequence[str]) -> Iterator[Pole]:
    for at, (word, root) in enumerate(zip(raw, words, strict=True)):
        if word == "on" and at + 1 < len(raw) and _SWITCHING.isdisjoint(raw[max(0, at - 3) : at]):
            continue
        # A pole belongs to the word as written, or to its stem: "disabled" is "disable".
        yield from POLES.get(word) or _POLE_STEMS.get(root, ())


def _quantities(spoken: Sequence[str]) -> Iterator[str]:
    for at, word in enumerate(spoken):
        value = _value(spoken, at)
        if value is None:
            continue
        before = spoken[at - 1] if at else ""
        after = spoken[at + 1] if at + 1 < len(spoken) else ""
        if before in _SIGNS.values() and before in UNITS:
            unit = UNITS[before]
        elif after in UNITS:
            unit = UNITS[after]
        elif word == "one":  # "which one": a number only with its unit
            continue
        else:
            yield value
            continue
        yield f"{float(value) * unit[1]:.9g} {unit[0]}" if _is_float(value) else f"{value} {after}"


def _value(spoken: Sequence[str], at: int) -> str | None:
    word = spoken[at]
    if word == "one":
        return "1"
    if word in NUMBERS:
        return NUMBERS[word]
    if not _DIGITS.match(word):
        return None
    if _THOUSANDS.fullmatch(word):
        word = word.replace(",", "")
    return word.removesuffix(":00")


def _is_float(value: str) -> bool:
    return value.isascii() and value.replace(".", "", 1).isdigit()


def _is_negated(raw: Sequence[str]) -> bool:
    count = 0
    for at, word in enumerate(raw):
        if is_negation(word):
            count += not _is_of_knowing(raw, at)
    return count % 2 == 1


def _is_of_knowing(raw: Sequence[str], at: int) -> bool:
    known = {stem(later) for later in raw[at + 1 : at + 3]} & _KNOWING_STEMS
    is_askers = not ASKERS.isdisjoint(raw[max(0, at - 2) : at])
    return bool(known if is_askers else known - _DOING_STEMS)


def _order(raw: Sequence[str], words: Sequence[str]) -> frozenset[tuple[str, str]]:
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


def _names(text: str, kept: Sequence[re.Match[str]]) -> frozenset[str]:
    letters = [match for match in kept if match[0][0].isalpha()]
    capitals = [match for match in letters if match[0][0].isupper()]
    if len(capitals) > _TITLE_SHARE * len(letters):
        return frozenset()
    return frozenset(
        stem(_folded(match))
        for match in capitals
        if _folded(match) not in FILLERS
        and (not match[0][1:].islower() or not _opens_sentence(text, match.start()))
        and len(match[0]) > 1
    )


def _opens_sentence(text: str, at: int) -> bool:
    head = text[:at].rstrip(" \t\n\"'([{*-\u201c\u2018")
    return not head or head[-1] in ".?!:;\u2026"


_KNOWING_STEMS: Final = frozenset(stem(word) for word in KNOWING)
_DOING_STEMS: Final = frozenset(stem(word) for word in DOING)
# The poles of each word; a word may stand in several pairs.
POLES: Final = _poles_by_word()
_POLE_STEMS: Final = {stem(word): poles for word, poles in POLES.items()}
