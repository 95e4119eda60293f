"""What an embedding cannot see: two questions alike in words and different in meaning.

Reversed, negated and number-changed questions lie closer together than most paraphrases. So
questions that share their words are compared for negation, opposites, comparatives, numbers with
their units, dates, names, items of one list and order. A difference is no clash where the outcome
does not depend on it: when the outcome's own past questions differ in the same way ("a timer for
5 minutes", "for 10 minutes").
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import Flag, auto
from functools import cached_property
from typing import Final

from arenalab.contrast.lexicon import ASKED, DATES, ITEMS, NUMBERS, SYMMETRIC, SYNONYMS, UNITS
from arenalab.contrast.phrase import PAIRS, Item, Phrase, bare_of, is_comparative, stem

# Below this share of common words two questions are about different matters, and a
# "not" in one of them says nothing about the other.
MIN_OVERLAP: Final = 0.5
# Polarity, order and names say something only of questions whose words are largely the same; of
# human rephrasings, one in twenty adds or loses a "not" at the lower bound alone.
MIN_ALIKE: Final = 0.5
MIN_ALIKE_NEGATED: Final = 0.6
# Items of at most so many words may be exchanged for one another.
MAX_SLOT: Final = 3
# Words with a common head of this many letters are forms of one word: "install", "installation".
_HEAD: Final = 5
# An outcome hangs on a name or an item that stands in this share of its questions.
ESSENTIAL: Final = 0.5
_BEFORE: Final = PAIRS.index(("before", "after"))


class Contrast(Flag):
    """Ways in which two questions can differ that flip an answer."""

    NONE = 0
    NEGATION = auto()
    OPPOSITE = auto()
    NUMBER = auto()
    ORDER = auto()
    COMPARATIVE = auto()
    DATE = auto()
    ENTITY = auto()
    ITEM = auto()


_NONE: Final[Contrast] = Contrast.NONE
_POLAR: Final = Contrast.OPPOSITE | Contrast.COMPARATIVE
# What one outcome's questions may name freely: songs to play, cities to fly to.
FREE_KINDS: Final = Contrast.ENTITY | Contrast.ITEM | Contrast.DATE | Contrast.NUMBER


def overlap(a: Phrase, b: Phrase) -> float:
    """Returns the common share of the shorter one's words that carry meaning, in [0, 1]."""
    shorter = min(len(a.content), len(b.content))
    return len(a.content & b.content) / shorter if shorter else 0.0


def alikeness(a: Phrase, b: Phrase) -> float:
    """Returns the common share of all words of two questions, in [0, 1]; 1 for the same words."""
    ours, theirs = set(a.words), set(b.words)
    return len(ours & theirs) / max(1, len(ours | theirs))


def compare(a: Phrase, b: Phrase) -> Contrast:
    """Returns how two questions clash; symmetric, and NONE for equal ones."""
    if len(a.words) == len(b.words) == 1:  # "mute", "unmute"
        return _polarity(a, b, 1.0)
    common, size, other_size = len(a.content & b.content), len(a.content), len(b.content)
    shorter = min(size, other_size)
    slot = slot_of(a.words, b.words) if common >= shorter - MAX_SLOT else None
    if slot is None and (not common or common < MIN_OVERLAP * shorter):
        return _NONE
    alike = common / max(1, size + other_size - common)
    is_close = slot is not None or alike >= MIN_ALIKE
    flags = _facts(a, b, is_close=is_close)
    if is_close:
        flags = _either(_either(flags, _polarity(a, b, alike)), _order(a, b))
    if flags is not _NONE or slot is None or a.negated != b.negated:
        return flags
    ours, theirs = slot[0] & a.content, slot[1] & b.content
    if a.numbers or b.numbers:
        ours, theirs = _unmeasured(ours), _unmeasured(theirs)
    return Contrast.ITEM if _are_other(ours, theirs) else _NONE


def compare_all(question: Phrase, others: Sequence[Phrase]) -> list[Contrast]:
    """Returns how a question clashes with each of many, as `compare` does.

    Most of a neighbourhood shares too few words with the question to be compared at all. That is
    seen here, at a third of what it takes to find it out for each pair anew.
    """
    content, words, size = question.content, question.words, len(question.content)
    if len(words) < 2:  # noqa: PLR2004 - "mute": a word of its own has no words to share
        return [compare(question, other) for other in others]
    first, last, length = words[0], words[-1], len(words)
    amounts, items = question.amounts, question.items
    flags = []
    for other in others:
        theirs, common, other_size = other.words, len(content & other.content), len(other.content)
        if (
            # They share most words, or may differ in one place alone,
            (common and common >= MIN_ALIKE * (size + other_size - common))
            or (
                -MAX_SLOT < len(theirs) - length < MAX_SLOT
                and theirs
                and (theirs[0] == first or theirs[-1] == last)
                and common >= min(size, other_size) - MAX_SLOT
            )
            # or share enough words for other facts to clash.
            or (
                (other.amounts != amounts or other.items != items)
                and common >= MIN_OVERLAP * min(size, other_size)
            )
        ):
            flags.append(compare(question, other))
        else:
            flags.append(_NONE)
    return flags


def _either(left: Contrast, right: Contrast) -> Contrast:
    # The operator of an enum takes as long as all of a comparison that finds nothing.
    if right is _NONE:
        return left
    return right if left is _NONE else left | right


def _unmeasured(words: frozenset[str]) -> frozenset[str]:
    return frozenset(word for word in words if not word[0].isdigit() and word not in _MEASURES)


def variation(questions: Sequence[Phrase]) -> Contrast:
    """Returns the differences that one outcome's questions show among themselves."""
    return _variation(questions, _varied_pairs(questions))


def _variation(questions: Sequence[Phrase], pairs: set[int]) -> Contrast:
    kinds = _NONE
    if len(questions) < 2:  # noqa: PLR2004
        return kinds
    if len({q.negated for q in questions}) > 1:
        kinds |= Contrast.NEGATION
    if len({q.numbers for q in questions if q.numbers}) > 1:
        kinds |= Contrast.NUMBER
    for pair in pairs:
        kinds |= Contrast.COMPARATIVE if is_comparative((pair, 1)) else Contrast.OPPOSITE
    order = {pair for q in questions for pair in q.order}
    if any((b, a) in order for a, b in order):
        kinds |= Contrast.ORDER
    return _either(kinds, _varied_items(questions))


class OutcomeWording:
    """The questions of one outcome, and what they differ in."""

    def __init__(self, questions: Sequence[Phrase]) -> None:
        self._questions = questions
        self._pairs = _varied_pairs(questions)
        self._varied = _variation(questions, self._pairs)

    @cached_property
    def _holding(self) -> Counter[str]:
        return Counter(word for question in self._questions for word in question.content)

    def remaining(self, flags: Contrast, question: Phrase, evidence: Phrase) -> Contrast:
        """Returns which clashes of a question with evidence of the outcome stand.

        What the outcome's own questions differ in does not count: the same pair of opposites, any
        numbers, the names of one kind; nor does a name or an item that stands in few of them.
        """
        polar = flags & _POLAR
        kept = flags & ~(self._varied | polar)
        if polar is not _NONE:
            opposed = {pair for pair, _ in _opposed(question, evidence)}
            # Without a pair it is a prefix that opposes them.
            if not opposed or not opposed <= self._pairs:
                kept |= polar
        if (
            kept is not _NONE
            and kept & FREE_KINDS
            and self.essential_share(question, evidence) < ESSENTIAL
        ):
            kept &= ~FREE_KINDS
        return kept

    def essential_share(self, question: Phrase, evidence: Phrase) -> float:
        """Returns how much the outcome hangs on what its evidence says and the question does not.

        The least share, in [0, 1], of the outcome's questions that hold a word of the evidence
        that is missing from the question. An outcome for which "French" stands in one question of
        twenty is not about French.
        """
        slot = slot_of(question.words, evidence.words)
        missing = (slot[1] & evidence.content) if slot else evidence.content - question.content
        if not missing or not self._questions:
            return 0.0
        return min(self._holding[word] for word in missing) / len(self._questions)


def _varied_pairs(questions: Sequence[Phrase]) -> set[int]:
    # A question that holds both poles takes no side.
    sided = {
        (pair, side)
        for q in questions
        if q.poles
        for pair, side in q.poles
        if (pair, -side) not in q.poles
    }
    return {pair for pair, side in sided if (pair, -side) in sided}


def _varied_items(questions: Sequence[Phrase]) -> Contrast:
    named: dict[str, set[frozenset[Item]]] = {}
    for question in questions:
        if not question.items:
            continue
        for kind in {kind for kind, _ in question.items}:
            ours = frozenset(item for item in question.items if item[0] == kind)
            named.setdefault(kind, set()).add(ours)
    flags = Contrast.NONE
    for kind, sets in named.items():
        if len(sets) > 1:
            flags |= _kind_of(kind)
    return flags


def _polarity(a: Phrase, b: Phrase, alike: float) -> Contrast:
    flags = _NONE
    if a.poles and b.poles and a.poles != b.poles:
        for pole in _opposed(a, b):
            flags |= Contrast.COMPARATIVE if is_comparative(pole) else Contrast.OPPOSITE
    # "seal before send" is "send after seal"
    if (
        flags is not _NONE
        and a.order
        and a.order == b.order
        and {pair for pair, _ in _opposed(a, b)} == {_BEFORE}
    ):
        flags = _NONE
    if flags is _NONE and _are_prefixed(a, b):
        flags = Contrast.OPPOSITE
    if a.negated == b.negated:
        return flags
    # "do not enable" is "disable"
    if flags is not _NONE:
        return _NONE
    return Contrast.NEGATION if alike >= MIN_ALIKE_NEGATED else _NONE


def _facts(a: Phrase, b: Phrase, *, is_close: bool) -> Contrast:
    flags = _NONE
    if a.amounts != b.amounts and (
        len(a.amounts) == len(b.amounts) or (a.numbers - b.numbers and b.numbers - a.numbers)
    ):
        flags |= Contrast.NUMBER
    if a.items != b.items:
        kinds = {kind for kind, _ in a.items - b.items} & {kind for kind, _ in b.items - a.items}
        for kind in kinds:
            flags |= _kind_of(kind)
    if (
        is_close
        and a.names
        and b.names
        and _are_other(a.names.difference(b.words), b.names.difference(a.words))
    ):
        flags |= Contrast.ENTITY
    return flags


def _kind_of(kind: str) -> Contrast:
    if kind in DATES:
        return Contrast.DATE
    return Contrast.ITEM if kind == ASKED else Contrast.ENTITY


def _opposed(a: Phrase, b: Phrase) -> list[tuple[int, int]]:
    # A text that holds both poles ("turn off the lights on Friday") takes no side.
    return [
        (pair, side)
        for pair, side in a.poles
        if (pair, -side) in b.poles and (pair, -side) not in a.poles and (pair, side) not in b.poles
    ]


def _are_prefixed(a: Phrase, b: Phrase) -> bool:
    return _is_prefixed(a, b) or _is_prefixed(b, a)


def _is_prefixed(a: Phrase, b: Phrase) -> bool:
    """Whether a word of one text alone is one of the other alone after a prefix: "unmute"."""
    if a.bare.isdisjoint(b.content):
        return False
    ours, theirs = a.content - b.content, b.content - a.content
    return any(not theirs.isdisjoint(bare_of(word)) for word in ours)


def _order(a: Phrase, b: Phrase) -> Contrast:
    if a.order != b.order and _is_reversed(a, b):
        return Contrast.ORDER
    if len(a.words) == len(b.words) and a.content == b.content and _are_swapped(a.words, b.words):
        return Contrast.ORDER
    return _NONE


def _is_reversed(a: Phrase, b: Phrase) -> bool:
    # A text that goes both ways takes no side either.
    return any(
        (right, left) in b.order and (right, left) not in a.order and (left, right) not in b.order
        for left, right in a.order
    )


def _are_swapped(left: Sequence[str], right: Sequence[str]) -> bool:
    """Whether two parts have changed places about a third: "a hurts b" and "b hurts a"."""
    head, tail = _common_ends(left, right)
    ours, theirs = left[head : len(left) - tail], right[head : len(right) - tail]
    size = len(ours)
    return any(
        ours[:x] == theirs[size - x :]
        and ours[size - y :] == theirs[:y]
        and ours[x : size - y] == theirs[y : size - x]
        # "a and b" is "b and a"
        and SYMMETRIC.isdisjoint(ours[x : size - y])
        for x in range(1, min(MAX_SLOT, size - 2) + 1)
        for y in range(1, min(MAX_SLOT, size - 1 - x) + 1)
    )


def slot_of(
    left: Sequence[str], right: Sequence[str]
) -> tuple[frozenset[str], frozenset[str]] | None:
    """Returns what stands in the one place where two sequences differ; None for more places."""
    if not left or not right or (left[0] != right[0] and left[-1] != right[-1]):
        return None
    if abs(len(left) - len(right)) >= MAX_SLOT:
        return None
    head, tail = _common_ends(left, right)
    ours, theirs = left[head : len(left) - tail], right[head : len(right) - tail]
    if not (0 < len(ours) <= MAX_SLOT and 0 < len(theirs) <= MAX_SLOT) or not head + tail:
        return None
    return frozenset(ours), frozenset(theirs)


def _common_ends(left: Sequence[str], right: Sequence[str]) -> tuple[int, int]:
    shorter = min(len(left), len(right))
    head = 0
    while head < shorter and left[head] == right[head]:
        head += 1
    tail = 0
    while tail < shorter - head and left[-1 - tail] == right[-1 - tail]:
        tail += 1
    return head, tail


def _are_other(left: Iterable[str], right: Iterable[str]) -> bool:
    """Whether both hold a word, and none of one is a form or synonym of one of the other."""
    ours, theirs = set(left), set(right)
    return bool(ours and theirs) and not any(are_kin(x, y) for x in ours for y in theirs)


def are_kin(x: str, y: str) -> bool:
    """Whether two stems are forms of one word, or words that mean the same."""
    if x == y or (x[:_HEAD] == y[:_HEAD] and len(x) >= _HEAD):
        return True
    if x in ITEMS and ITEMS.get(x) == ITEMS.get(y):
        return True
    if not _GROUPS.get(x, _NO_GROUP).isdisjoint(_GROUPS.get(y, _NO_GROUP)):
        return True
    return x in y or y in x if min(len(x), len(y)) > 2 else False  # noqa: PLR2004


def _groups() -> dict[str, frozenset[int]]:
    groups: dict[str, frozenset[int]] = {}
    for number, line in enumerate(SYNONYMS):
        for word in line.split():
            groups[stem(word)] = groups.get(stem(word), _NO_GROUP) | {number}
    return groups


_NO_GROUP: Final[frozenset[int]] = frozenset()
_GROUPS: Final = _groups()
# Where two numbers are the same in base units, so is what they are written with.
_MEASURES: Final = frozenset(stem(word) for word in (*UNITS, *NUMBERS, "one"))
