"""Searches whose hits are ordered by more than the similarity of vectors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from arenalab.search.collection.segment import Segment
from arenalab.search.collection.snapshot import Snapshot
from arenalab.search.finding.query import Query
from arenalab.search.finding.retrieval import Found, Retrieval, vectors_at
from arenalab.search.index.protocol import FloatArray, ScoreArray, rescore
from arenalab.search.index.selection import IntArray
from arenalab.search.lexical import LexicalIndex
from arenalab.search.ranking import Candidates, Ranking, rank, useful_candidates

# Spans whose words are indexed while a search waits: about half a second.
WAITED_FOR: Final = 20_000

ReadTexts = Callable[[Sequence[int]], list[str]]


@dataclass(frozen=True, slots=True, eq=False)
class _Pool:
    """Hits to be ranked, by segment and row; all arrays have shape (k,)."""

    segments: IntArray
    rows: IntArray
    similarities: ScoreArray
    lexical_scores: ScoreArray


class Ranked:
    """Retrieval, then ranking where a query asks for it."""

    def __init__(
        self,
        retrieval: Retrieval,
        read_texts: ReadTexts,
        now_s: Callable[[], float],
        index_words: Callable[[Segment], None] = lambda _: None,
    ) -> None:
        """Keeps its arguments.

        Args:
            retrieval: Finds the candidates.
            read_texts: Returns what spans are about, by the store's rows.
            now_s: Seconds since the epoch.
            index_words: Has the words of a large segment indexed behind the answers.
        """
        self._retrieval = retrieval
        self._read_texts = read_texts
        self._now_s = now_s
        self._index_words = index_words

    def nearest(
        self, snapshot: Snapshot, vector: FloatArray, query: Query, text: str = ""
    ) -> Found:
        """Returns the best spans for a vector, and for its text where words count."""
        ranking = query.ranking
        if ranking is None:
            return self._retrieval.nearest(snapshot, vector, query, query.limit)
        fetch = useful_candidates(query.limit, ranking)
        found = self._retrieval.nearest(snapshot, vector, query, fetch)
        indexes = None
        if ranking.lexical_weight:
            indexes = self._lexical(found)
            if indexes is None:  # said in the plan that is returned
                ranking = replace(ranking, lexical_weight=0.0)
        pool = _Pool(found.segments, found.rows, found.similarities, found.lexical_scores)
        if indexes is not None:
            pool = _with_words(found, indexes, text, vector, fetch)
        return self._ordered(found, pool, ranking, query.limit)

    def batch(self, snapshot: Snapshot, vectors: FloatArray, query: Query) -> list[Found]:
        """Returns the spans nearest to each of several vectors."""
        return self._retrieval.batch(snapshot, vectors, query, query.limit)

    def _lexical(self, found: Found) -> dict[int, LexicalIndex] | None:
        """Returns the lexical index of each part; None where one takes too long to wait for."""
        first = found.snapshot.base.words
        if first.index is None and len(found.snapshot.base) > WAITED_FOR:
            self._index_words(found.snapshot.base)
            return None
        indexes = {}
        base = first.get(lambda: self._texts(found.snapshot.base), None)
        for part in found.parts:
            segment = part.segment
            if segment.words.index is None and len(segment) > WAITED_FOR:
                self._index_words(segment)
                return None
            like = None if part.number == 0 else base
            indexes[part.number] = segment.words.get(lambda s=segment: self._texts(s), like)  # type: ignore[misc]
        return indexes

    def _texts(self, segment: Segment) -> list[str]:
        return self._read_texts(segment.columns.rowids.tolist())

    def _ordered(self, found: Found, pool: _Pool, ranking: Ranking, limit: int) -> Found:
        order, scores = rank(
            self._candidates(found.snapshot, pool, ranking), ranking, self._now_s(), limit
        )
        return replace(
            found,
            segments=pool.segments[order],
            rows=pool.rows[order],
            similarities=pool.similarities[order],
            scores=scores,
            lexical_scores=pool.lexical_scores[order],
            ranking=ranking,
        )

    def _candidates(self, snapshot: Snapshot, pool: _Pool, ranking: Ranking) -> Candidates:
        def column(name: str) -> ScoreArray:
            values = np.empty(len(pool.rows), np.float64)
            for number in np.unique(pool.segments).tolist():
                here = pool.segments == number
                column = getattr(snapshot.segments[number].columns, name)
                values[here] = column[pool.rows[here]]
            return values

        return Candidates(
            similarities=pool.similarities,
            lexical_scores=pool.lexical_scores,
            when_s=column("when_s") if ranking.half_life_s else None,
            qualities=column("quality") if ranking.quality_weight else None,
            weights=column("weights") if ranking.use_weights else None,
            vectors=vectors_at(snapshot, pool.segments, pool.rows) if ranking.diversity else None,
        )


def _with_words(
    found: Found, indexes: dict[int, LexicalIndex], text: str, vector: FloatArray, fetch: int
) -> _Pool:
    """Returns the hits by vector and those by words, each with both scores, nearest first."""
    segments, rows = [found.segments], [found.rows]
    for part in found.parts:
        matches = indexes[part.number].search(text, fetch, part.selection)
        known = found.rows[found.segments == part.number]
        new = matches.rows[~np.isin(matches.rows, known)]
        segments.append(np.full(len(new), part.number, np.int64))
        rows.append(new)
    all_segments, all_rows = np.concatenate(segments), np.concatenate(rows)
    fresh = len(found.rows)
    vectors = vectors_at(found.snapshot, all_segments[fresh:], all_rows[fresh:])
    similarities = np.concatenate(
        [found.similarities, rescore(vectors, np.arange(len(vectors)), vector)]
    )
    lexical = np.zeros(len(all_rows))
    ids = np.empty(len(all_rows), "S36")
    for part in found.parts:
        here = all_segments == part.number
        lexical[here] = indexes[part.number].scores(text, all_rows[here])
        ids[here] = part.segment.columns.ids[all_rows[here]]
    order = np.lexsort((ids, -similarities))
    return _Pool(all_segments[order], all_rows[order], similarities[order], lexical[order])
