"""Whether evidence says what a text says, sentence by sentence.

A reworded answer may say more than the spans do, or the opposite. A sentence is supported when one
sentence of the evidence (or all of it together) means nearly the same, contradicts it in nothing,
and the evidence holds its numbers, its names and most of its words. Each test alone is passed by
some sentence that is wrong: embeddings hardly see a number or a negation, and words do not see who
does what. What fails one of them is not supported: then the words of the spans are served.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from arenalab.contrast.phrase import MAX_WORDS, Phrase, parse, words_of
from arenalab.predictor.contrast import compare
from arenalab.predictor.neighbourhood import FloatArray, Vectors
from arenalab.predictor.synthesis import Traced

# Share of a sentence's words that the evidence must hold: the rest is how it is told.
MIN_OVERLAP: Final = 0.6
# Cosine with the nearest sentence of the evidence. On Stack Exchange 71 % of the questions that
# ask the same are above it, and 9 % of those above it ask something else; the other tests are for
# those.
MIN_SIMILARITY: Final = 0.65

# Of all the evidence together: the embedder reads no more.
_MAX_CHARS: Final = 2_000
_TOKEN: Final = re.compile(r"[^\s,;()\[\]{}<>\"\u201c\u201d]+")
_EDGES: Final = ".:!?'\u2019`*"
# English writes it with a capital wherever it stands.
_OWN: Final = frozenset({"i"})
_TELLING: Final = re.compile(r"[\d/_@#$%\\=]")


@dataclass(frozen=True, slots=True)
class Checked:
    """One sentence and what supports it."""

    sentence: Traced  # with the spans of the evidence nearest to it
    is_supported: bool
    overlap: float  # share of its words that the evidence holds, in [0, 1]
    similarity: float  # largest cosine with the evidence, in [-1, 1]
    foreign: tuple[str, ...]  # numbers and names that the evidence does not hold


@dataclass(frozen=True, slots=True)
class _Known:
    """The evidence, as sentences are compared with it."""

    sentences: Sequence[Traced]
    phrases: Sequence[Phrase]
    tokens: frozenset[str]
    words: frozenset[str]
    numbers: frozenset[str]


def texts_of(sentences: Sequence[str], evidence: Sequence[Traced]) -> list[str]:
    """Returns the texts to embed: the sentences, those of the evidence, and all of it together."""
    together = " ".join(one.text for one in evidence)[:_MAX_CHARS]
    return [*sentences, *(one.text for one in evidence), together]


def check(sentences: Sequence[str], evidence: Sequence[Traced], vectors: Vectors) -> list[Checked]:
    """Returns what supports each sentence.

    Args:
        sentences: To check.
        evidence: Sentences with their spans, at least one.
        vectors: Unit vectors of `texts_of` them.
    """
    cosines = (vectors[: len(sentences)] @ vectors[len(sentences) :].T).astype(np.float64)
    known = _known(evidence)
    return [_check(text, row, known) for text, row in zip(sentences, cosines, strict=True)]


def _known(evidence: Sequence[Traced]) -> _Known:
    phrases = [parse(one.text) for one in evidence]
    return _Known(
        sentences=evidence,
        phrases=phrases,
        tokens=frozenset(token.casefold() for one in evidence for token in _tokens(one.text)),
        words=frozenset().union(*(frozenset(phrase.words) for phrase in phrases)),
        numbers=frozenset().union(*(phrase.numbers for phrase in phrases)),
    )


def _check(text: str, cosines: FloatArray, known: _Known) -> Checked:
    phrase = parse(text)
    best = int(cosines[:-1].argmax())
    foreign = _foreign(text, phrase, known)
    # "Yes, it is." has no word of its own to miss.
    size = len(phrase.content)
    overlap = len(phrase.content & known.words) / size if size else 1.0
    similarity = float(cosines.max())
    # Of a longer sentence only the head would be compared.
    is_whole = len(words_of(text)) < MAX_WORDS
    is_supported = (
        is_whole
        and similarity >= MIN_SIMILARITY
        and overlap >= MIN_OVERLAP
        and not foreign
        and not compare(phrase, known.phrases[best])
        and phrase.negated == known.phrases[best].negated
    )
    spans = known.sentences[best].span_ids if is_supported else ()
    return Checked(Traced(text, spans), is_supported, overlap, similarity, foreign)


def _foreign(text: str, phrase: Phrase, known: _Known) -> tuple[str, ...]:
    """Returns the numbers and names that the evidence does not hold, in order."""
    names = [
        token
        for at, token in enumerate(_tokens(text))
        # A capital at the head of a sentence is no sign of a name.
        if _TELLING.search(token) or token[1:] != token[1:].lower() or (at and token[0].isupper())
    ]
    foreign = [token for token in names if token.casefold() not in known.tokens | _OWN]
    foreign += _written(text, phrase.numbers - known.numbers)
    return tuple(dict.fromkeys(foreign))


def _written(text: str, numbers: frozenset[str]) -> list[str]:
    """Returns numbers, which are in base units, as the text writes them."""
    found: list[str] = []
    tokens = _tokens(text) if numbers else []
    for at, token in enumerate(tokens):
        for words in (token, " ".join(tokens[at : at + 2])):
            if not numbers.isdisjoint(parse(words).numbers):
                found.append(words)
                break
    return found


def _tokens(text: str) -> list[str]:
    stripped = (token.strip(_EDGES) for token in _TOKEN.findall(text))
    bare = (token.removesuffix("'s").removesuffix("\u2019s") for token in stripped)
    return [token for token in bare if token]
