"""Words changed one at a time: negated, opposed, counted otherwise, named otherwise, reversed.

Each maker yields whole texts. It yields none rather than one that nobody would write.
"""

from collections.abc import Container, Iterator
from itertools import pairwise
from typing import Final

from arenalab.contrast.lexicon import (
    ASKED,
    DATES,
    FILLERS,
    ITEMS,
    KNOWING,
    NUMBERS,
    SYMMETRIC,
    UNITS,
)
from arenalab.contrast.phrase import PAIRS, POLES, is_comparative, is_negation, item_of
from arenalab.contrast.token import Tokens, cased


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NEGATED: Final = {
    aux: aux.removesuffix("n") + "n't"
    for aux in [
        "is",
        "are",
        "was",
        "were",
        "do",
        "does",
        "did",
        "could",
        "should",
        "would",
        "has",
        "have",
        "had",
    ]
} | {"can": "can't", "will": "won't"}
_ASKING: Final = _words("who what which when where why whose whom")
_SUBJECTS: Final = _words("i you we they he she it one people")
# "to" before a verb follows these: "how to", "possible to", "want to".
_AIMING: Final = _words("how possible way ways want like need able easiest order")
_COMMANDS: Final = _words("""
    add allow apply book buy call cancel change check clear close connect convert copy create delete
    disable download edit enable explain export filter format give hide import install keep list
    make move open order pay play print put read remind remove rename report reserve reset restart
    run save schedule send set share show skip start stop store switch sync tell transfer translate
    turn turning update upload use write
""")
# Their opposites are other words where they mean something else, so they are not exchanged.
_AMBIGUOUS: Final = _words("""
    back block bottom cause cheap client close come cool cure even exit fail fall fire first follow
    front full grow hard hire kid lead left less like lose love light low lower mean mount on open
    over parent pass pin play positive present push pull read right rise row save saves second sell
    send show soft spend start end top under up down upper write can begin enter exit far good
    bad most more least early late long short gain down same always never wife husband hot
    won lost died born credit debit day night possible impossible true ahead near after high off
    fewest fewer wrong
""")
# Pairs with one of these are exchanged whenever the word itself may be.
_FIXED: Final = _words(
    "on off after before won most least first last open start read write send push pull"
)
# After these a measure is asked for: "how old", "as long".
_MEASURING: Final = _words("how as so too")
_ORDINALS: Final = _words("st nd rd th s")
_TURNING: Final = _words(
    "convert change exchange translate transfer switch migrate move converting"
)
# How much a number grows, or a year goes back.
_SHIFTS: Final = (1, 2, 3, 5, 7)
_YEAR_FROM: Final = 1500
_YEAR_TO: Final = 2100
_SHORTEST_DATE: Final = 4  # "apr" is a rate, too
_LEADING: Final = _words("north south east west new great saudi united northern southern")
_UNSAFE_DATES: Final = _words("may march spring fall second mon sun sat")


def negations(tokens: Tokens) -> Iterator[str]:
    """Yields the question about what is not so."""
    words = tokens.words
    if any(is_negation(word) for word in words) or not words:
        return
    if words[0] in _COMMANDS and words[1:2] != ("me",):
        yield f"{cased('do', tokens.written(0))} not {_lowered(tokens)}"
    for at, word in enumerate(words[:-1]):
        if words[at + 1] in KNOWING or (at + 2 < len(words) and words[at + 2] in KNOWING):
            continue
        if word in _NEGATED and at and words[0] in _ASKING:
            yield tokens.replaced(at, _NEGATED[word])
            return
        if word in _SUBJECTS and words[0] == "how" and words[max(0, at - 1)] in _NEGATED:
            yield tokens.spliced(at, at + 1, f"{tokens.written(at)} not")
            return
        if word == "to" and at and words[at - 1] in _AIMING and words[at + 1] not in FILLERS:
            yield tokens.spliced(at, at + 1, "to not")
            return


def _lowered(tokens: Tokens) -> str:
    start = tokens.places[0][0]
    return tokens.text[start : start + 1].lower() + tokens.text[start + 1 :]


def opposites(tokens: Tokens, *, comparative: bool) -> Iterator[str]:
    """Yields the question with a word exchanged for its opposite."""
    for at, word in enumerate(tokens.words):
        if word in _AMBIGUOUS and not _is_plain(tokens, at):
            continue
        if at and tokens.words[at - 1] in _MEASURING:
            continue
        for pole in POLES.get(word, ()):
            other = PAIRS[pole[0]][(1 + pole[1]) // 2]
            if other in _AMBIGUOUS and not (word in _FIXED or other in _FIXED):
                continue
            if is_comparative(pole) == comparative and other not in tokens.words:
                yield tokens.replaced(at, other)


def _is_plain(tokens: Tokens, at: int) -> bool:
    """Whether an ambiguous word can only mean what its opposite opposes."""
    word, words = tokens.words[at], tokens.words
    after = words[at + 1] if at + 1 < len(words) else ""
    before = words[at - 1] if at else ""
    if word in {"more", "less", "most", "least", "first", "lower"}:
        return before not in {"at", "the", "any", "no"} or word in {"most", "least", "first"}
    if word in {"open", "close", "start", "show", "read", "write", "send", "push", "pull"}:
        return before in {"i", "to", "you", "we"} and after not in {"", "up"}
    if word in {"on", "off"}:
        return not {"turn", "switch"}.isdisjoint(words[max(0, at - 3) : at])
    if word == "after":
        return after not in {"the", ""}
    if word == "won":
        return before in {"who", "that", "has"}
    return word == "high" and after in {"", "is", "are"}


def numbers(tokens: Tokens) -> Iterator[str]:
    """Yields the question with another number."""
    for at, word in enumerate(tokens.words):
        if word in NUMBERS:
            for other in NUMBERS:
                if other != word and other not in tokens.words:
                    yield tokens.replaced(at, other)
        elif word.isascii() and word.isdigit() and _stands_alone(tokens, at):
            for shift in _SHIFTS:
                is_year = _YEAR_FROM <= int(word) <= _YEAR_TO
                yield tokens.replaced(at, str(int(word) + (-shift if is_year else shift)))


def _stands_alone(tokens: Tokens, at: int) -> bool:
    start = tokens.places[at][0]
    if start and not tokens.text[start - 1].isspace() and tokens.text[start - 1] not in "($":
        return False
    after = tokens.words[at + 1] if at + 1 < len(tokens.words) else ""
    return bool(tokens.between(at).strip(" ") or after not in _ORDINALS) and tokens.between(
        at
    ) not in {"-", "/"}


def units(tokens: Tokens) -> Iterator[str]:
    """Yields the question with another unit of the same dimension."""
    for at in range(1, len(tokens.words)):
        unit, before = tokens.words[at], tokens.words[at - 1]
        if unit not in UNITS or not (before.isdigit() or before in NUMBERS):
            continue
        for other, (dimension, size) in UNITS.items():
            if (
                dimension == UNITS[unit][0]
                and size != UNITS[unit][1]
                and len(other) > 2  # noqa: PLR2004 - in full, not as a sign
                and other.endswith("s") == unit.endswith("s")
            ):
                yield tokens.replaced(at, other)


def dates(tokens: Tokens) -> Iterator[str]:
    """Yields the question about another day, month, season or feast."""
    for _, text in _other_items(tokens, dated=True):
        yield text


def things(tokens: Tokens, known: Container[str]) -> Iterator[str]:
    """Yields the question about another thing of a closed kind: a place, a system, a product.

    Things that are known come first, and alone where there are any.
    """
    found = list(_other_items(tokens, dated=False))
    ours = [text for word, text in found if word in known]
    yield from ours or (text for _, text in found)


def _other_items(tokens: Tokens, *, dated: bool) -> Iterator[tuple[str, str]]:
    for at, word in enumerate(tokens.words):
        item = item_of(word)
        if item is None or item[0] == ASKED or (item[0] in DATES) != dated:
            continue
        if word in _UNSAFE_DATES or word in FILLERS or (dated and len(word) < _SHORTEST_DATE):
            continue
        if at and tokens.words[at - 1] in _LEADING:
            continue
        ending = tokens.written(at)[len(word.removesuffix("'s")) :]
        for other in _KINDS[item[0]]:
            if other not in tokens.words and ITEMS[other] != item:
                name = cased(other, tokens.written(at).removesuffix(ending))
                yield other, tokens.spliced(at, at + 1, name + ending)


def exchanged(tokens: Tokens) -> Iterator[str]:
    """Yields the question with from and to, or who does and to whom, in other places."""
    words = tokens.words
    for at in range(2, len(words) - 1):
        left, right = at - 1, at + 1
        is_turned = words[left - 1] == "from" or words[left - 1] in _TURNING
        if (
            words[at] in {"to", "into"}
            and is_turned
            and FILLERS.isdisjoint((words[left], words[right]))
            and _ends_part(tokens, right)
            and words[left] != words[right]
        ):
            yield tokens.swapped((left, left + 1), (right, right + 1))
    named = [at for at, word in enumerate(words) if at and _is_named(word)]
    for left, right in pairwise(named):
        middle = words[left + 1 : right]
        if (
            middle
            and words[left - 1] in _NEGATED
            and SYMMETRIC.isdisjoint(middle)
            and words[right - 1] != "of"
            and "," not in _gap(tokens, left, right)
            and item_of(words[left]) != item_of(words[right])
            and _ends_part(tokens, right)
        ):
            yield tokens.swapped((left, left + 1), (right, right + 1))


def _ends_part(tokens: Tokens, at: int) -> bool:
    """Whether a word is the last of its part of the sentence."""
    if at + 1 == len(tokens.words) or tokens.words[at + 1] in FILLERS:
        return True
    return bool(tokens.between(at).strip())


def _is_named(word: str) -> bool:
    item = item_of(word)
    return item is not None and item[0] in _ACTING and "'" not in word


def _gap(tokens: Tokens, left: int, right: int) -> str:
    return tokens.text[tokens.places[left][1] : tokens.places[right][0]]


def _names_by_kind() -> dict[str, tuple[str, ...]]:
    kinds: dict[str, list[str]] = {}
    for kind, item in dict.fromkeys(ITEMS.values()):
        if "." not in item and item not in _UNSAFE_DATES:
            kinds.setdefault(kind, []).append(item)
    return {kind: tuple(items) for kind, items in kinds.items()}


_KINDS: Final = _names_by_kind()
# Kinds whose items do something to each other.
_ACTING: Final = _words("place people platform web language database animal")
