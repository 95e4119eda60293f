"""What BM25 knows of all texts together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from arenalab.search.lexical.postings import ScoreArray


@dataclass(frozen=True, eq=False)
class Statistics:
    """How many texts there are, how long, and how many of them have each word."""

    texts: int
    mean_length: float  # in words; above 0
    texts_with: Mapping[str, int]  # 0 for a word that is not there

    def idf(self, words: Iterable[str]) -> ScoreArray:
        """Returns how much each word weighs; above 0, and most where no text has it."""
        counts = np.fromiter((self.texts_with.get(word, 0) for word in words), np.float64)
        idf: ScoreArray = np.log1p((self.texts - counts + 0.5) / (counts + 0.5))
        return idf
