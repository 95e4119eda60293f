"""BM25 over texts.

The score of a text for a query is the sum, over the words of the query, of

    idf(word) * tf / (tf + K1 * (1 - B + B * length / mean length))
    idf(word) = ln(1 + (N - df + 0.5) / (df + 0.5))

where tf is how often the text has the word, df how many of the N texts have it, and
lengths are in words: Robertson and Zaragoza (2009), "The Probabilistic Relevance Framework:
BM25 and Beyond", with Lucene's idf, which is never negative.

N, df and the mean length may be those of another index: the scores of two indexes can be
compared only where a word weighs the same in both.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

from arenalab.search.index.selection import IntArray, Selection
from arenalab.search.lexical.building import build
from arenalab.search.lexical.files import read, write
from arenalab.search.lexical.postings import Matches, Postings, ScoreArray, Term
from arenalab.search.lexical.statistics import Statistics
from arenalab.search.lexical.words import words_of


class LexicalIndex:
    """Finds texts by their words; never changed, so that threads share it without a lock."""

    def __init__(self, words: tuple[str, ...], postings: Postings, statistics: Statistics) -> None:
        self._words = words
        self._postings = postings
        self.statistics = statistics  # that the scores are by

    @classmethod
    def build(cls, texts: Sequence[str], *, like: "LexicalIndex | None" = None) -> Self:
        """Returns the index of texts; row i is text i.

        Args:
            texts: Any number, also none; one without a word is never found.
            like: An index with whose scores these are to be comparable, such as that of
                a much larger segment. One of no text changes nothing.
        """
        return cls(*build(texts, None if like is None else like.statistics))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Returns the index that `save` wrote; its arrays are mapped from their files.

        Raises:
            OSError: A file is missing.
            ValueError: A file is cut short or of another format.
        """
        return cls(*read(folder))

    def save(self, folder: Path) -> None:
        """Writes the index to a folder that exists; each file is on disk afterwards.

        What is known of words that no text here has is not written.

        Raises:
            OSError: The disk is full, or the folder cannot be written to.
        """
        write(folder, self._words, self._postings, self.statistics)

    def __len__(self) -> int:
        return self._postings.size

    @property
    def memory_bytes(self) -> int:
        """Bytes of postings and words, the postings also where they are mapped."""
        # Entries of two dictionaries, a number, a text object and its characters.
        return self._postings.nbytes + sum(250 + len(word) for word in self._words)

    def search(self, text: str, limit: int, allowed: Selection | None = None) -> Matches:
        """Returns the `limit` rows with the highest scores, or all that have a word of the text.

        Raises:
            ValueError: The limit is below 1, or `allowed` is of another number of rows.
        """
        if limit < 1:
            raise ValueError(f"limit must be at least 1, got {limit}")
        if allowed is not None and allowed.size != len(self):
            raise ValueError(f"allowed must be of {len(self)} rows, got {allowed.size}")
        return self._postings.best(self._terms(text), limit, allowed)

    def scores(self, text: str, rows: IntArray) -> ScoreArray:
        """Returns the scores of some rows, in any order; 0 where no word is in common."""
        return self._postings.scores(self._terms(text), rows)

    def _terms(self, text: str) -> list[Term]:
        numbers = self._numbers
        known = (numbers[word] for word in words_of(text) if word in numbers)
        return self._postings.terms(Counter(known))

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self._words)}
