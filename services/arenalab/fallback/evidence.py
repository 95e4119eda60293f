"""The evidence that goes into a prompt: without repetitions, and within a number of tokens.

Each record keeps the number of its place in the request, so that the caller can look up
what [3] stands for whatever was left out before it. The order is the caller's, the most
similar first: models read the beginning of their context best (Liu et al., "Lost in the
Middle", 2023), and a few short records have no middle to get lost in.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from arenalab.contrast import Contrast, Phrase, compare, parse

# Of the words of two texts, what they must share to say the same.
MIN_SHARED: Final = 0.8
# An outcome of so many words says the same whatever it was asked; "yes" does not.
_TELLING_WORDS: Final = 8
# Longer texts are compared word for word only.
_MAX_PARSED_WORDS: Final = 60
_WORD: Final = re.compile(r"\w+")
CUT_MARK: Final = "…"


@dataclass(frozen=True, slots=True)
class Record:
    """One span of the evidence."""

    span_id: str
    question: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Source:
    """A record of the prompt, and all spans that say what it says."""

    number: int  # its place in the request, from 1
    record: Record
    span_ids: tuple[str, ...]  # its own first


class _Text:
    """A text as it is compared."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def words(self) -> tuple[str, ...]:
        return tuple(_WORD.findall(unicodedata.normalize("NFKC", self._text).casefold()))

    @cached_property
    def set_of_words(self) -> frozenset[str]:
        return frozenset(self.words)

    @cached_property
    def phrase(self) -> Phrase:
        return parse(self._text)

    def says_the_same_as(self, other: "_Text") -> bool:
        """Returns whether two texts differ in nothing that an answer could hang on."""
        if self.words == other.words:
            return True
        if max(len(self.words), len(other.words)) > _MAX_PARSED_WORDS:
            return False
        shared = len(self.set_of_words & other.set_of_words)
        if shared < MIN_SHARED * len(self.set_of_words | other.set_of_words):
            return False
        # Numbers, negations, opposites, names, order: what shared words do not show.
        return compare(self.phrase, other.phrase) is Contrast.NONE


@dataclass(slots=True)
class _Kept:
    question: _Text
    outcome: _Text
    source: Source

    def holds(self, question: _Text, outcome: _Text) -> bool:
        if not self.outcome.says_the_same_as(outcome):
            return False
        if self.outcome.words == outcome.words and len(outcome.words) >= _TELLING_WORDS:
            return True
        return self.question.says_the_same_as(question)


def without_repetitions(records: Sequence[Record]) -> list[Source]:
    """Returns the records that say something new, each with all the spans that say it.

    Args:
        records: The most relevant first; of those that say the same, the first is kept.
    """
    kept: list[_Kept] = []
    for number, record in enumerate(records, start=1):
        question, outcome = _Text(record.question), _Text(record.outcome)
        same = next((each for each in kept if each.holds(question, outcome)), None)
        if same is None:
            kept.append(_Kept(question, outcome, Source(number, record, (record.span_id,))))
        else:
            ids = dict.fromkeys([*same.source.span_ids, record.span_id])
            same.source = replace(same.source, span_ids=tuple(ids))
    return [each.source for each in kept]


def pack(
    records: Sequence[Record],
    max_tokens: int,
    tokens_of: Callable[[str], int],
    written: Callable[[int, Record], str],
) -> list[Source]:
    """Returns the evidence that fits, in the order of the records.

    A record that does not fit is left out, and a shorter one after it may still go in. If
    even the first does not fit, it is cut.

    Args:
        records: The most relevant first.
        max_tokens: Of all records as they are written.
        tokens_of: Counts the tokens of a text.
        written: Writes a record with its number, as the prompt has it.
    """
    sources = without_repetitions(records)
    packed: list[Source] = []
    left = max_tokens
    for source in sources:
        size = tokens_of(written(source.number, source.record)) + 1  # the end of the line
        if size <= left:
            packed.append(source)
            left -= size
    if sources and not packed:
        cut = _cut(sources[0], max_tokens - 1, tokens_of, written)
        packed.append(cut)
    return packed


def _cut(
    source: Source,
    max_tokens: int,
    tokens_of: Callable[[str], int],
    written: Callable[[int, Record], str],
) -> Source:
    """Returns a source with as much of its texts as fits, the same length of each at most."""
    record = source.record
    # A token has a character at least, but for a few signs that have two or three tokens.
    size = max_tokens * 4
    while True:
        cut = Record(record.span_id, _first(record.question, size), _first(record.outcome, size))
        if not size or tokens_of(written(source.number, cut)) <= max_tokens:
            return replace(source, record=cut)
        size = size * 3 // 4


def _first(text: str, size: int) -> str:
    return text if len(text) <= size else text[:size] + CUT_MARK
