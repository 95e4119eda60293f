"""Words and pairs of words by outcome: what an embedding blurs, and how much of it is known.

Naive Bayes over the outcomes that repeat, with the presence of words and of neighbouring words
as its events. Alone it is weaker than any view of the embeddings, but it errs elsewhere: "order"
and "order status" are one place to an encoder and two outcomes to their words. Beside the log
likelihood it says which share of the question's words, weighted by rarity, an outcome has heard.

Source: McCallum and Nigam (1998), A Comparison of Event Models for Naive Bayes Text
Classification; rarity after Spärck Jones (1972), Journal of Documentation 28(1).
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from arenalab.contrast.phrase import parse
from arenalab.predictor.neighbourhood import FloatArray

# Pseudo-counts of a term in every outcome.
_SMOOTHING: Final = 0.05
# An outcome that has a word in so many of its spans has heard it for certain.
_OFTEN: Final = 3.0
# Terms kept, the most frequent first: bounds what a corpus of long texts takes.
MAX_TERMS: Final = 100_000

Digests = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Heard:
    """What the outcomes have heard of a question's words."""

    scores: FloatArray  # (o,), log likelihood ratio to any outcome
    coverage: FloatArray  # (o,), in [0, 1]: share of the words' rarity
    often: FloatArray  # (o,), in [0, 1]: the same, a word heard once counting a third
    known: float  # in [0, 1]: share that any outcome has heard
    mass: float  # log of one and the rarity of all words


@dataclass(frozen=True)
class WordView:
    """Terms by ascending digest; entries of term t are `starts[t]` to `starts[t + 1]`."""

    terms: Digests  # (t,)
    starts: Ints  # (t + 1,)
    outcomes: Ints  # (e,)
    counts: Ints  # (e,), spans of the outcome that hold the term
    sizes: Ints  # (o,), spans of each outcome

    @cached_property
    def _rows(self) -> dict[int, int]:
        return {int(digest): row for row, digest in enumerate(self.terms)}

    # As NumPy counts by: it would turn them anew for each question. 16 bytes a term, 8 an entry.
    @cached_property
    def _starts(self) -> npt.NDArray[np.intp]:
        return self.starts[:-1].astype(np.intp)

    @cached_property
    def _lengths(self) -> npt.NDArray[np.intp]:
        return np.diff(self.starts).astype(np.intp)

    @cached_property
    def _of(self) -> npt.NDArray[np.intp]:
        return self.outcomes.astype(np.intp)

    @cached_property
    def _gains(self) -> FloatArray:
        """What each entry adds to score, coverage and often, shape (3, e): 24 bytes an entry."""
        rarity = np.repeat(self._rarity, self._lengths)
        often = np.minimum(self.counts / _OFTEN, 1.0)
        return np.stack([np.log1p(self.counts / _SMOOTHING), rarity, rarity * often])

    @cached_property
    def _totals(self) -> FloatArray:
        sums = np.concatenate([[0.0], np.cumsum(self.counts, dtype=np.float64)])
        return np.asarray(sums[self.starts[1:]] - sums[self.starts[:-1]])

    @cached_property
    def _floor(self) -> FloatArray:
        return np.asarray(np.log(_SMOOTHING / (self.sizes + 2.0 * _SMOOTHING)))

    @cached_property
    def _background(self) -> FloatArray:
        return np.log((self._totals + _SMOOTHING) / (self._spans + 2.0 * _SMOOTHING))

    @cached_property
    def _rarity(self) -> FloatArray:
        return np.asarray(np.log((self._spans + 1.0) / (self._totals + 0.5)))

    @cached_property
    def _spans(self) -> float:
        return float(self.sizes.sum())

    @cached_property
    def _most(self) -> float:
        """Rarity of a word that nobody has heard."""
        return float(np.log(2.0 * self._spans + 2.0))

    def heard(self, text: str) -> Heard:
        """Returns what the outcomes have heard of a text."""
        words, neighbours = _terms_of(text)
        singles = [row for digest in words if (row := self._rows.get(digest)) is not None]
        pairs = [row for digest in neighbours if (row := self._rows.get(digest)) is not None]
        rows = np.array(singles + pairs, dtype=np.intp)
        sizes = self._lengths[rows]
        entries = _ranges(self._starts[rows], sizes)
        of, gains = self._of[entries], self._gains.take(entries, axis=1)
        # Pairs repeat what their words have said: they count for the score alone.
        own = int(sizes[: len(singles)].sum())
        outcomes = len(self.sizes)
        # An empty count is of integers: hence the type.
        scores = np.bincount(of, gains[0], outcomes).astype(np.float64)
        scores += len(rows) * self._floor - self._background[rows].sum()
        rarity = self._rarity[rows]
        rarity[len(singles) :] = 0.0
        heard = float(rarity.sum())
        total = heard + self._most * (len(words) - len(singles)) + 1e-9
        return Heard(
            scores=scores,
            coverage=np.bincount(of[:own], gains[1, :own], outcomes) / total,
            often=np.bincount(of[:own], gains[2, :own], outcomes) / total,
            known=heard / total,
            mass=float(np.log1p(total)),
        )


def fit_words(texts: Sequence[str], codes: Iterable[int], outcomes: int) -> WordView:
    """Returns the view of spans' questions; `codes` are their outcomes in [0, outcomes)."""
    counts: defaultdict[int, Counter[int]] = defaultdict(Counter)
    sizes = np.zeros(outcomes, dtype=np.int32)
    for text, code in zip(texts, codes, strict=True):
        sizes[code] += 1
        words, neighbours = _terms_of(text)
        for digest in words + neighbours:
            counts[digest][code] += 1
    kept = sorted(counts, key=lambda digest: (-counts[digest].total(), digest))[:MAX_TERMS]
    kept.sort()
    entries = [sorted(counts[digest].items()) for digest in kept]
    flat = [entry for row in entries for entry in row]
    return WordView(
        terms=np.array(kept, dtype=np.uint64),
        starts=np.cumsum([0, *map(len, entries)], dtype=np.int32),
        outcomes=np.array([code for code, _ in flat], dtype=np.int32),
        counts=np.array([count for _, count in flat], dtype=np.int32),
        sizes=sizes,
    )


def digest_of(text: str) -> int:
    """Returns 64 bits that stand for a text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


# Words come again in other texts, pairs of them seldom. About 150 bytes a word.
_word_digest: Final = lru_cache(maxsize=16_384)(digest_of)


# Training asks every text of every fold.
@lru_cache(maxsize=16_384)
def _terms_of(text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns the digests of a text's words and of its neighbouring words, each once."""
    words = parse(text).spoken
    pairs = dict.fromkeys([f"{left} {right}" for left, right in pairwise(words)])
    return tuple(map(_word_digest, dict.fromkeys(words))), tuple(map(digest_of, pairs))


def _ranges(starts: npt.NDArray[np.intp], sizes: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Returns the positions of all ranges, one after the other."""
    ends = sizes.cumsum()
    total = int(ends[-1]) if len(ends) else 0
    return np.asarray(np.arange(total) + (starts - ends + sizes).repeat(sizes))
