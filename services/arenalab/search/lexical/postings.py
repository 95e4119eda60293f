"""What each word adds to the scores of the texts it is in, and their sums for a query.

A query's frequent words have most of the postings and next to no weight. So words are
added by falling weight, and once no text without the words so far can be among the best,
the rest are looked up for the texts that still can: MaxScore (Turtle and Flood, 1995,
Information Processing & Management 31(6)), a word at a time. Nothing is estimated: each
text that is returned has its full score, summed in the same order on every path.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from arenalab.search.index.selection import BoolArray, IntArray, Selection

RowArray = npt.NDArray[np.int32]
GainArray = npt.NDArray[np.float32]
ScoreArray = npt.NDArray[np.float64]

# What sums of float64 in two orders may differ by, and more.
_SLACK: Final = 1e-9
# A row found by bisection costs about as much as so many read one after the other.
_BISECTION: Final = 16
# Up to about here a search takes less time than deciding what it could leave out.
_FEW: Final = 60_000


class Matches(NamedTuple):
    """Rows by descending score, ties by ascending row."""

    rows: IntArray  # shape (k,)
    scores: ScoreArray  # shape (k,), each above 0


class Term(NamedTuple):
    """A word of a query."""

    number: int
    times: int  # that it is there
    most: float  # it adds to any score


@dataclass(frozen=True, eq=False)
class Postings:
    """For each word, the rows of the texts it is in and what it adds to their scores."""

    starts: IntArray  # shape (words + 1,): where each word's rows start, and the end
    rows: RowArray  # ascending for each word
    gains: GainArray  # shape as rows, each above 0
    most: GainArray  # shape (words,): the largest gain of each
    size: int  # texts

    @classmethod
    def of_gains(cls, starts: IntArray, rows: RowArray, gains: GainArray, size: int) -> Self:
        """Returns the postings of words that each have a row at least."""
        most = np.maximum.reduceat(gains, starts[:-1]) if len(gains) else np.empty(0, np.float32)
        return cls(starts, rows, gains, most, size)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return int(self.starts.nbytes + self.rows.nbytes + self.gains.nbytes + self.most.nbytes)

    def of_word(self, number: int) -> tuple[RowArray, GainArray]:
        """Returns the rows of a word and what it adds to each."""
        here = slice(self.starts[number], self.starts[number + 1])
        return self.rows[here], self.gains[here]

    def terms(self, counts: Mapping[int, int]) -> list[Term]:
        """Returns the terms of words by number, the weightiest first."""
        terms = [
            Term(word, times, float(self.most[word]) * times) for word, times in counts.items()
        ]
        return sorted(terms, key=lambda term: (-term.most, term.number))

    def scores(self, terms: list[Term], rows: IntArray) -> ScoreArray:
        """Returns the scores of some rows."""
        totals = np.zeros(len(rows))
        for term in terms:
            postings, gains = self.of_word(term.number)
            places, is_there = _places(postings, rows)
            totals[is_there] += gains[places[is_there]].astype(np.float64) * term.times
        return totals

    def best(self, terms: list[Term], limit: int, allowed: Selection | None) -> Matches:
        """Returns the `limit` rows with the highest scores above 0 among those allowed."""
        starts = self.starts
        lengths = [int(starts[term.number + 1] - starts[term.number]) for term in terms]
        unread = sum(lengths)
        if allowed is not None and allowed.count * len(terms) * _BISECTION < unread:
            return _best_of(allowed.rows, self.scores(terms, allowed.rows), limit)
        mask = None if allowed is None else allowed.mask
        if unread + self.size < _FEW:
            return self._best_of_few(terms, limit, mask)
        return _Search(self, mask).best(terms, lengths, limit)

    def _best_of_few(self, terms: list[Term], limit: int, mask: BoolArray | None) -> Matches:
        """Returns what `best` does, by reading everything once."""
        if not terms:
            return Matches(np.empty(0, np.int64), np.empty(0))
        found = [self.of_word(term.number) for term in terms]
        rows = np.concatenate([rows for rows, _ in found])
        gains = np.concatenate(
            [
                gains.astype(np.float64) * term.times
                for term, (_, gains) in zip(terms, found, strict=True)
            ]
        )
        totals = np.bincount(rows, gains, self.size).astype(np.float64, copy=False)
        if mask is not None:
            totals *= mask
        found_rows = np.flatnonzero(totals)
        return _best_of(found_rows, totals[found_rows], limit)


class _Search:
    """One search over all rows, or those of a mask."""

    def __init__(self, postings: Postings, mask: BoolArray | None) -> None:
        self._postings = postings
        self._mask = mask
        self._totals = np.zeros(postings.size)
        # Rows with a total above 0, each once; the candidates among them once `_is_closed`.
        self._found = [np.empty(0, np.int32)]
        self._count = 0
        self._is_closed = False

    def best(self, terms: list[Term], lengths: list[int], limit: int) -> Matches:
        """Returns the `limit` best rows."""
        # What the terms from each place on can add together, and how many rows they have.
        rest = np.cumsum([0.0, *(term.most for term in reversed(terms))])[::-1].tolist()
        unread = np.cumsum([0, *reversed(lengths)])[::-1].tolist()
        read = 0
        for place, term in enumerate(terms, 1):
            read += self._add_to_candidates(term) if self._is_closed else self._add(term)
            # Dropping candidates costs about as much as reading so many rows.
            if limit < self._count <= min(read, unread[place]):
                self._drop(limit, rest[place])
                read = 0
        rows = np.concatenate(self._found)
        return _best_of(rows.astype(np.int64), self._totals[rows], limit)

    def _add(self, term: Term) -> int:
        """Adds a term to the totals of its rows; returns how many rows were read."""
        rows, gains = self._postings.of_word(term.number)
        read = len(rows)
        if self._mask is not None:
            is_allowed = self._mask[rows]
            rows, gains = rows[is_allowed], gains[is_allowed]
        before = self._totals[rows]
        self._totals[rows] = before + gains.astype(np.float64) * term.times
        new = rows[before == 0]
        self._found.append(new)
        self._count += len(new)
        return read

    def _add_to_candidates(self, term: Term) -> int:
        rows, gains = self._postings.of_word(term.number)
        candidates = self._found[0]
        if len(candidates) * _BISECTION < len(rows):
            places, is_there = _places(rows, candidates)
            added = gains[places[is_there]].astype(np.float64) * term.times
            self._totals[candidates[is_there]] += added
            return len(candidates) * _BISECTION
        # Rows that are no candidates gain too, but nobody looks at them again.
        self._totals[rows] += gains.astype(np.float64) * term.times
        return len(rows)

    def _drop(self, limit: int, rest: float) -> None:
        """Drops the rows that the terms still to come cannot lift among the best."""
        rows = np.concatenate(self._found)
        totals = self._totals[rows]
        least = np.partition(totals, len(rows) - limit)[len(rows) - limit] * (1 - _SLACK) - rest
        if least > 0:  # so that a row without a total is none of the best
            self._found = [rows[totals >= least]]
            self._count = len(self._found[0])
            self._is_closed = True
        else:
            self._found = [rows]


def _places(postings: RowArray, rows: IntArray | RowArray) -> tuple[IntArray, BoolArray]:
    """Returns where each row would be among ascending ones, one at least, and whether it is."""
    places = np.searchsorted(postings, rows.astype(np.int32, copy=False))
    np.minimum(places, len(postings) - 1, out=places)
    is_there: BoolArray = postings[places] == rows
    return places, is_there


def _best_of(rows: IntArray, scores: ScoreArray, limit: int) -> Matches:
    if len(rows) > limit:
        least = np.partition(scores, len(rows) - limit)[len(rows) - limit]
        kept = scores >= least
        rows, scores = rows[kept], scores[kept]
    order = np.lexsort((rows, -scores))[:limit]
    order = order[scores[order] > 0]
    return Matches(rows[order], scores[order])
