"""A short text cut into what is compared: words, negation, numbers, opposites, names, order."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
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

# They turn what a word says round: "unmute", "disconnect".
PREFIXES: Final = ("un", "non", "dis", "de", "in", "im", "ir", "il", "mis", "anti")

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
    spoken: tuple[str, ...] = field(compare=False)  # as `words_of`: in lower case, in order
    bare: frozenset[str] = field(compare=False)  # what its stems are without a prefix of theirs


@dataclass(frozen=True, slots=True)
class _Word:
    """What is known of a word in lower case wherever it stands."""

    text: str
    root: str
    is_telling: bool  # it carries meaning
    is_negation: bool
    value: str | None  # of a number
    poles: tuple[Pole, ...]
    item: Item | None
    bare: tuple[str, ...]


def words_of(text: str) -> list[str]:
    """Returns the words of a text in lower case, in order, at most `MAX_WORDS`."""
    return [_folded(match) for match in _head(text) if match[0] not in _SIGNS]


def is_filler(word: str) -> bool:
    """Whether a word in lower case carries no meaning of its own."""
    if "'" not in word:
        return word in FILLERS
    head, _, ending = word.partition("'")
    return word in FILLERS or (head in FILLERS and ending in _SHORTENED)


@lru_cache(maxsize=65_536)
def parse(text: str) -> Phrase:
    """Returns the phrase of a text; the same text gives the same phrase."""
    matches = _head(text)
    kept = [match for match in matches if match[0] not in _SIGNS]
    known = [_word_of(_folded(match)) for match in kept]
    raw = tuple([word.text for word in known])
    words = tuple([word.root for word in known])
    frame = tuple([word.root for word in known if word.is_telling])
    amounts: tuple[str, ...] = ()
    if any(word.value is not None for word in known):
        written = [_SIGNS.get(match[0]) or _folded(match) for match in matches]
        amounts = tuple(sorted(_quantities(written)))
    return Phrase(
        words=words,
        frame=frame,
        content=frozenset(frame),
        negated=_is_negated(known),
        numbers=frozenset(amounts),
        amounts=amounts,
        poles=frozenset(_poles(known)),
        order=_order(raw, words),
        items=frozenset([word.item for word in known if word.item is not None]),
        names=_names(text, kept),
        spoken=raw,
        bare=frozenset([bare for word in known if word.is_telling for bare in word.bare]),
    )


# Words come again and again: each is looked up once. About 300 bytes a word.
@lru_cache(maxsize=16_384)
def _word_of(text: str) -> _Word:
    root, negates = stem(text), is_negation(text)
    return _Word(
        text=text,
        root=root,
        is_telling=not negates and not is_filler(text),
        is_negation=negates,
        value=_value(text),
        # A pole belongs to the word as written, or to its stem: "disabled" is "disable".
        poles=POLES.get(text) or _POLE_STEMS.get(root, ()),
        item=item_of(text),
        bare=tuple(bare_of(root)),
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


def bare_of(word: str) -> list[str]:
    """Returns what is left of a stem without a prefix, for each that it has."""
    return [word.removeprefix(prefix) for prefix in PREFIXES if word.startswith(prefix)]


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
    return list(islice(_WORD.finditer(text), MAX_WORDS))


def _folded(match: re.Match[str]) -> str:
    return match[0].casefold().replace("\u2019", "'")


def _poles(known: Sequence[_Word]) -> Iterator[Pole]:
    for at, word in enumerate(known):
        if not word.poles:
            continue
        if word.text == "on" and at + 1 < len(known):
            before = [other.text for other in known[max(0, at - 3) : at]]
            if _SWITCHING.isdisjoint(before):
                continue
        yield from word.poles


def _quantities(spoken: Sequence[str]) -> Iterator[str]:
    for at, word in enumerate(spoken):
        value = _value(word)
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


def _value(word: str) -> str | None:
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


def _is_negated(known: Sequence[_Word]) -> bool:
    count = 0
    for at, word in enumerate(known):
        if word.is_negation:
            count += not _is_of_knowing([other.text for other in known], at)
    return count % 2 == 1


def _is_of_knowing(raw: Sequence[str], at: int) -> bool:
    known = {stem(later) for later in raw[at + 1 : at + 3]} & _KNOWING_STEMS
    is_askers = not ASKERS.isdisjoint(raw[max(0, at - 2) : at])
    return bool(known if is_askers else known - _DOING_STEMS)


def _order(raw: Sequence[str], words: Sequence[str]) -> frozenset[tuple[str, str]]:
    pairs: set[tuple[str, str]] = set()
    if DIRECTIONS.keys().isdisjoint(raw):
        return frozenset(pairs)
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
    capitals = [match for match in kept if match[0][0].isupper() and match[0][0].isalpha()]
    if not capitals:
        return frozenset()
    letters = sum(match[0][0].isalpha() for match in kept)
    if len(capitals) > _TITLE_SHARE * letters:
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
