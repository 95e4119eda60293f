"""Minimal pairs from any dataset: a question of its own, and one that must not get its answer.

A changed word makes no contrast where the outcome does not hang on it. An outcome whose own
questions are negated and not, count to five and to ten, or name one city and another, keeps its
answer when that changes; so does a question that the dataset itself holds with the same outcome.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import pairwise
from typing import Final

from arenalab.contrast import wording
from arenalab.contrast.clash import Contrast, OutcomeWording, are_kin
from arenalab.contrast.lexicon import FILLERS
from arenalab.contrast.phrase import Phrase, item_of, parse, stem, words_of
from arenalab.contrast.token import Tokens, cased, replaced_at

# Pairs of each kind that a certificate rests on.
PAIRS_PER_KIND: Final = 60
# Makers that yield many texts are cut off: one is chosen.
_MAX_CHOICES: Final = 64
_TRIES: Final = 3
# Longer questions are rarely about the one word that is changed.
_MAX_WORDS: Final = 30


class ContrastKind(StrEnum):
    """What was changed."""

    NEGATION = "negation"
    OPPOSITE = "opposite"
    COMPARATIVE = "comparative"
    NUMBER = "number"
    UNIT = "unit"
    DATE = "date"
    ENTITY = "entity"
    ORDER = "order"
    ITEM = "item"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of a dataset, and the key of its outcome."""

    question: str
    outcome: str


@dataclass(frozen=True, slots=True)
class ContrastPair:
    """A question, and the same with one change that its outcome does not survive."""

    kind: ContrastKind
    question: str
    variant: str
    outcome: str  # of the question; wrong for the variant


_FLAGS: Final = {
    ContrastKind.NEGATION: Contrast.NEGATION,
    ContrastKind.OPPOSITE: Contrast.OPPOSITE,
    ContrastKind.COMPARATIVE: Contrast.COMPARATIVE,
    ContrastKind.NUMBER: Contrast.NUMBER,
    ContrastKind.UNIT: Contrast.NUMBER,
    ContrastKind.DATE: Contrast.DATE,
    ContrastKind.ENTITY: Contrast.ENTITY,
    ContrastKind.ORDER: Contrast.ORDER,
    ContrastKind.ITEM: Contrast.ITEM,
}

Maker = Callable[[Tokens], Iterator[str]]


def contrast_pairs(
    asked: Sequence[Asked], *, per_kind: int = PAIRS_PER_KIND, seed: int = 0
) -> list[ContrastPair]:
    """Returns minimal pairs, at most `per_kind` of each kind and one of a kind for a question.

    The same questions and seed give the same pairs, whatever the order of the questions.
    """
    outcomes = _Outcomes(asked)
    makers = _makers(asked)
    pairs: dict[ContrastKind, list[ContrastPair]] = {kind: [] for kind in ContrastKind}
    for one in sorted(set(asked), key=lambda one: (_rank(seed, one.question), one.outcome)):
        wanted = [kind for kind, made in pairs.items() if len(made) < per_kind]
        if not wanted:
            break
        tokens = Tokens.of(one.question)
        if len(tokens.words) > _MAX_WORDS:
            continue
        for kind in wanted:
            pair = _pair(one, kind, _choices(makers[kind], tokens, seed), outcomes)
            if pair is not None:
                pairs[kind].append(pair)
    return [pair for made in pairs.values() for pair in made]


def _pair(
    one: Asked, kind: ContrastKind, choices: Sequence[str], outcomes: "_Outcomes"
) -> ContrastPair | None:
    for variant in choices[:_TRIES]:
        if outcomes.hang_on(one, kind, variant):
            return ContrastPair(kind, one.question, variant, one.outcome)
    return None


def _choices(maker: Maker, tokens: Tokens, seed: int) -> list[str]:
    found = [text for text, _ in zip(maker(tokens), range(_MAX_CHOICES), strict=False)]
    return sorted(dict.fromkeys(found), key=lambda text: _rank(seed, text))


class _Outcomes:
    """What each outcome of a dataset is given for."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        phrases: dict[str, list[Phrase]] = defaultdict(list)
        self._said: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        for one in set(asked):
            phrases[one.outcome].append(parse(one.question))
            self._said[one.outcome].add(tuple(words_of(one.question)))
        self._wordings = {outcome: OutcomeWording(known) for outcome, known in phrases.items()}

    def hang_on(self, one: Asked, kind: ContrastKind, variant: str) -> bool:
        """Whether the outcome of a question is wrong for a variant of it."""
        if tuple(words_of(variant)) in self._said[one.outcome]:
            return False
        flag = _FLAGS[kind]
        wording = self._wordings[one.outcome]
        return bool(wording.remaining(flag, parse(variant), parse(one.question)) & flag)


def _makers(asked: Sequence[Asked]) -> Mapping[ContrastKind, Maker]:
    return {
        ContrastKind.NEGATION: wording.negations,
        ContrastKind.OPPOSITE: partial(wording.opposites, comparative=False),
        ContrastKind.COMPARATIVE: partial(wording.opposites, comparative=True),
        ContrastKind.NUMBER: wording.numbers,
        ContrastKind.UNIT: wording.units,
        ContrastKind.DATE: wording.dates,
        ContrastKind.ENTITY: _Names(asked).exchanged,
        ContrastKind.ORDER: wording.exchanged,
        ContrastKind.ITEM: _Lists(asked).exchanged,
    }


class _Names:
    """The names that a dataset's questions hold, by the word that they follow."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        found: dict[str, set[str]] = defaultdict(set)
        for one in set(asked):
            tokens = Tokens.of(one.question)
            for start, end in _runs(tokens, parse(one.question)):
                found[tokens.words[start - 1]].add(_written(tokens, start, end))
        self._words = frozenset(word for one in asked for word in words_of(one.question))
        self._names = {word: sorted(names) for word, names in found.items()}

    def exchanged(self, tokens: Tokens) -> Iterator[str]:
        """Yields the question about another name that follows the same word elsewhere."""
        yield from wording.things(tokens, self._words)
        for start, end in _runs(tokens, parse(tokens.text)):
            ours = {stem(word) for word in tokens.words}
            for name in self._names.get(tokens.words[start - 1], ()):
                if ours.isdisjoint(stem(word) for word in words_of(name)):
                    yield tokens.spliced(start, end, name)


def _runs(tokens: Tokens, phrase: Phrase) -> Iterator[tuple[int, int]]:
    """Yields where names stand, from and up to: capitalised words in a row, after a lower one."""
    start = None
    for at in range(1, len(tokens.words) + 1):
        is_name = (
            at < len(tokens.words)
            and stem(tokens.words[at]) in phrase.names
            and tokens.written(at)[0].isupper()
            and "'" not in tokens.words[at]
        )
        if is_name and start is None and tokens.between(at - 1) == " ":
            start = at
        elif start is not None and not (is_name and tokens.between(at - 1) == " "):
            if tokens.words[start - 1] in FILLERS and not tokens.written(start - 1)[0].isupper():
                yield start, at
            start = None


def _written(tokens: Tokens, start: int, end: int) -> str:
    return tokens.text[tokens.places[start][0] : tokens.places[end - 1][1]]


class _Lists:
    """Words that take each other's place in two questions of a dataset, with other outcomes."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        frames: dict[tuple[tuple[str, ...], tuple[str, ...]], dict[str, str]] = defaultdict(dict)
        for one in sorted(set(asked), key=lambda one: (one.question, one.outcome)):
            words = words_of(one.question)
            for at, word in enumerate(words if len(words) <= _MAX_WORDS else ()):
                if word not in FILLERS and not word[0].isdigit():
                    frames[replaced_at(words, at)].setdefault(word, one.outcome)
        self._others: dict[str, set[str]] = defaultdict(set)
        self._neighbours = {
            pair for one in asked for pair in pairwise(("", *words_of(one.question), ""))
        }
        for fillers in frames.values():
            if len(set(fillers.values())) > 1:
                self._note(fillers)

    def _note(self, fillers: Mapping[str, str]) -> None:
        for word, outcome in fillers.items():
            self._others[word].update(
                other
                for other, theirs in fillers.items()
                if theirs != outcome
                and item_of(other) is None
                and not are_kin(stem(word), stem(other))
            )

    def exchanged(self, tokens: Tokens) -> Iterator[str]:
        """Yields the question about another item of the same list."""
        for at, word in enumerate(tokens.words):
            for other in sorted(self._others.get(word, ())):
                if item_of(word) is None and self._fits(tokens.words, at, other):
                    yield tokens.spliced(at, at + 1, cased(other, tokens.written(at)))

    def _fits(self, words: Sequence[str], at: int, other: str) -> bool:
        # Somewhere in the dataset it stands after the one neighbour, and before the other.
        before = words[at - 1] if at else ""
        after = words[at + 1] if at + 1 < len(words) else ""
        return (
            other not in words
            and (before, other) in self._neighbours
            and (other, after) in self._neighbours
        )


def _rank(seed: int, text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8, salt=seed.to_bytes(8, "big")).digest()
