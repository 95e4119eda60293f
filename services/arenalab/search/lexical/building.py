"""Postings from texts, by bm25s.

bm25s stores what a word adds to a text's score, computed from the statistics of the texts
that it is given. Scores by other statistics need no second formula: the mean length
enters only through K1 and B, so that others stand in for it, and the idf is a factor.
In float64 until the end, so that equal texts get equal scores either way.
"""

import logging
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from arenalab.search.lexical.postings import Postings
from arenalab.search.lexical.statistics import Statistics
from arenalab.search.lexical.words import words_of

# How soon more of a word stops counting, and how much a text's length counts: the values
# that bm25s and Lucene have as defaults differ in K1 (1.5 and 1.2); both fit short texts.
K1: Final = 1.5
B: Final = 0.75


def build(
    texts: Sequence[str], like: Statistics | None
) -> tuple[tuple[str, ...], Postings, Statistics]:
    """Returns the words of texts, their postings, and the statistics of the scores.

    Args:
        texts: Any; one without a word has no postings.
        like: Statistics to score by; None or those of no text mean the texts' own.
    """
    numbers: dict[str, int] = {}
    rows = [[numbers.setdefault(word, len(numbers)) for word in words_of(text)] for text in texts]
    words = tuple(numbers)
    mean_length = sum(map(len, rows)) / max(len(rows), 1)
    if like is not None and not like.texts:
        like = None
    if not words:
        empty = np.empty(0, np.int32), np.empty(0, np.float32)
        none = Postings.of_gains(np.zeros(1, np.int64), *empty, len(texts))
        return (), none, like or Statistics(0, 1.0, {})
    scores = _scores(rows, numbers, mean_length / like.mean_length if like else 1.0)
    starts = scores["indptr"].astype(np.int64)
    lengths = np.diff(starts)
    own = Statistics(len(texts), mean_length, dict(zip(words, lengths.tolist(), strict=True)))
    gains = scores["data"]
    if like is not None:
        gains = gains * np.repeat(like.idf(words) / own.idf(words), lengths)
    postings = Postings.of_gains(
        starts, scores["indices"].astype(np.int32), gains.astype(np.float32), len(texts)
    )
    return words, postings, like or own


def _scores(
    rows: list[list[int]], numbers: dict[str, int], relative_length: float
) -> dict[str, Any]:
    """Returns the arrays of bm25s, for texts whose mean length is relative to another."""
    constant, slope = K1 * (1 - B), K1 * B * relative_length
    level = logging.getLogger("bm25s").level
    from bm25s import BM25

    # The import turns its debug messages on.
    logging.getLogger("bm25s").setLevel(level)
    index = BM25(
        k1=constant + slope,
        b=slope / (constant + slope),
        method="lucene",
        dtype="float64",
        csc_backend="numpy",
    )
    index.index((rows, numbers), create_empty_token=False, show_progress=False)
    scores: dict[str, Any] = index.scores
    return scores
