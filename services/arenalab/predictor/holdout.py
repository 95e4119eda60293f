"""Pseudo-traffic: what the dataset itself would have been asked, and by whom not.

Every span is asked once, with itself and its near-copies held out of the neighbourhood. What is
taken from the right outcome is taken from all: one span of each is held out of the neighbourhood,
and as many of each, where they are few, out of the views. Otherwise the right outcome would be
the one that lacks a span, which a model learns at once and serving never shows.

For a quarter of the outcomes in turn, the spans of those outcomes are held out of both, so that
questions of theirs are out of scope and no answer is right. A span whose outcome occurs once is
out of scope in any case. Labels cost nothing, and the neighbourhoods are nearly as dense as in
serving.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from arenalab.predictor.appraisal import Appraisal, appraise, witnesses_for
from arenalab.predictor.context_match import FIXED, Weights
from arenalab.predictor.features import NAMES, features_of
from arenalab.predictor.guarantee import BoolArray, IntArray
from arenalab.predictor.mixing import Mixing, fit_mixing
from arenalab.predictor.neighbourhood import (
    FloatArray,
    K,
    Memory,
    Neighbourhood,
    Query,
    Vectors,
)
from arenalab.predictor.prediction_sets import set_score
from arenalab.predictor.recorded import is_recorded
from arenalab.predictor.views import MIN_SPANS, Opinion, Views, fit_views

# Parts of the outcomes, of which one in turn is held out.
QUARTERS: Final = 4
# Sets of views, each without some spans of every outcome. The more, the nearer they are to those
# of serving; of outcomes with no more spans than folds, each set lacks one span of every one.
FOLDS: Final = 4
MANY_FOLDS: Final = 8
MANY_FOLDS_BELOW: Final = 4_000
_PARTS: Final = 1 << 32  # of a hash, that orders spans and outcomes
# At or above this cosine a span is a copy, and would give the answer away.
COPY_SIMILARITY: Final = 0.999
# Spans asked of a corpus: more say little more, and cost a millisecond each.
MAX_ASKED: Final = 8_000
# Questions that the weights of the witnesses are fitted on.
MAX_MIXED: Final = 3_000
# Rows of the similarity matrix held at once: 256 x 15,000 float32 are 15 MB.
_BLOCK: Final = 256


@dataclass(frozen=True)
class Corpus:
    """The spans of a version that have an outcome, with their vectors."""

    memories: Sequence[Memory]
    vectors: Vectors  # (n, d), unit rows
    eligible: BoolArray  # may calibrate: neither synthetic nor written by a model


@dataclass(frozen=True)
class Examples:
    """Pseudo-questions as the confidence model sees them."""

    span_ids: Sequence[str]
    features: FloatArray  # (n, d)
    correct: BoolArray  # (n,)
    admissible: BoolArray  # (n,), False: never served, whatever the confidence
    recorded: BoolArray  # (n,), True: another span has the same words
    set_scores: FloatArray  # (n,), of the right outcome; NaN: it was held out
    groups: Sequence[str]  # domain of each question, as inferred; empty: none


def views_of(
    corpus: Corpus, rows: IntArray | None = None, min_spans: int = MIN_SPANS
) -> Views | None:
    """Returns the views of a corpus, or of some rows of it; None where outcomes do not repeat."""
    return fit_views(
        [memory.question for memory in corpus.memories],
        [memory.outcome_key for memory in corpus.memories],
        corpus.vectors,
        np.arange(len(corpus.memories)) if rows is None else rows,
        min_spans,
    )


@dataclass(frozen=True)
class _Held:
    """One question, and what is left of the corpus for it."""

    at: int
    hood: Neighbourhood
    opinion: Opinion | None
    in_scope: bool  # its outcome was left in, at another span


class Holdout:
    """Which questions are asked, and what is held out from each; one turn of the outcomes."""

    def __init__(self, corpus: Corpus, turn: int = 0, *, with_views: bool = True) -> None:
        """Fits the views of each fold.

        Args:
            corpus: The spans.
            turn: In [0, FOLDS): which quarter of the outcomes is held out from which spans. Over
                all turns every span is asked once without its outcome, else with it.
            with_views: False: there are no opinions, and nothing is fitted.
        """
        self._corpus = corpus
        self._ranks, self._sizes, quarters = _ranked(corpus.memories)
        folds = MANY_FOLDS if len(corpus.memories) < MANY_FOLDS_BELOW else FOLDS
        self._folds = self._ranks % folds
        self._gone = [quarters == (fold + turn) % QUARTERS for fold in range(folds)]
        lost = [_lost(self._ranks, self._sizes, fold, folds) for fold in range(folds)]
        self._views = [
            views_of(corpus, np.flatnonzero(~gone & ~less), MIN_SPANS - 1) if with_views else None
            for gone, less in zip(self._gone, lost, strict=True)
        ]

    def asked(self) -> Iterator[_Held]:
        """Yields each question that has a neighbour, always in the same order."""
        share = MAX_ASKED / max(1, int(self._corpus.eligible.sum()))
        picked = self._corpus.eligible & self._sampled(share, "asked")
        for fold in range(len(self._gone)):
            yield from self._fold(fold, np.flatnonzero((self._folds == fold) & picked))

    def mixing(self, weights: Weights = FIXED) -> Mixing | None:
        """Returns the weights of the witnesses; None where no fold has views.

        `weights` are those of the context similarity, as serving will use them.
        """
        if not any(self._views):
            return None
        share = MAX_MIXED / max(1, int(self._corpus.eligible.sum()))
        picked = self._corpus.eligible & self._sampled(share, "mixed")
        questions = []
        for fold in range(len(self._gone)):
            rows = np.flatnonzero((self._folds == fold) & picked & ~self._gone[fold])
            for held in self._fold(fold, rows):
                if held.opinion is not None:
                    memory = self._corpus.memories[held.at]
                    appraisal = appraise(
                        Query(memory.question), held.hood, held.opinion, weights=weights
                    )
                    right = right_group(appraisal, memory.outcome_key)
                    if right is not None:
                        questions.append((witnesses_for(appraisal), right))
        return fit_mixing(questions)

    def _fold(self, fold: int, asked: IntArray) -> Iterator[_Held]:
        corpus, views = self._corpus, self._views[fold]
        kept = np.flatnonzero(~self._gone[fold])
        kept_vectors = np.ascontiguousarray(corpus.vectors[kept])
        present = Counter(corpus.memories[at].outcome_key for at in kept.tolist())
        for start in range(0, len(asked), _BLOCK):
            block = asked[start : start + _BLOCK]
            texts = [corpus.memories[at].question for at in block.tolist()]
            opinions: Sequence[Opinion | None] = [None] * len(block)
            if views is not None:
                opinions = views.opinions(texts, corpus.vectors[block])
            similarities = corpus.vectors[block] @ kept_vectors.T
            similarities[self._partners(block, kept)] = -np.inf
            found = dict(_nearest(corpus, block, kept, similarities))
            for at, opinion in zip(block.tolist(), opinions, strict=True):
                if at in found:
                    in_scope = present[corpus.memories[at].outcome_key] > 1
                    yield _Held(at, found[at], opinion, in_scope)

    def _partners(self, block: IntArray, kept: IntArray) -> BoolArray:
        """Returns which spans each question must not meet: itself, and one of each outcome."""
        sizes = self._sizes[kept]
        partners = self._ranks[block][:, None] % sizes == self._ranks[kept]
        # An outcome that occurs once would be gone.
        partners &= sizes > 1
        return np.asarray(partners | (block[:, None] == kept))

    def _sampled(self, share: float, purpose: str) -> BoolArray:
        if share >= 1.0:
            return np.ones(len(self._corpus.memories), dtype=bool)
        parts = 1_000_000
        ids = [memory.span_id for memory in self._corpus.memories]
        return np.array([bucket(i, purpose, parts) < share * parts for i in ids], dtype=bool)


def pseudo_traffic(
    corpus: Corpus, turn: int = 0, mixing: Mixing | None = None, weights: Weights = FIXED
) -> Examples:
    """Returns one example for each eligible span that has any neighbour.

    Args:
        corpus: The spans.
        turn: As of `Holdout`.
        mixing: Weights of the witnesses; None: they are not mixed.
        weights: Of the context similarity, as serving will use them.
    """
    return examples_of(corpus, Holdout(corpus, turn), mixing, weights)


def examples_of(
    corpus: Corpus, holdout: Holdout, mixing: Mixing | None, weights: Weights = FIXED
) -> Examples:
    """Returns the examples of a holdout of the corpus; arguments as `pseudo_traffic`."""
    rows, correct, admissible, recorded, ids = [], [], [], [], []
    scores, groups = [], []
    for held in holdout.asked():
        memory = corpus.memories[held.at]
        appraisal = appraise(Query(memory.question), held.hood, held.opinion, mixing, weights)
        right = right_group(appraisal, memory.outcome_key)
        shares = [group.share for group in appraisal.groups]
        rows.append(features_of(appraisal))
        correct.append(right == 0)
        admissible.append(appraisal.is_admissible)
        recorded.append(is_recorded(appraisal))
        ids.append(memory.span_id)
        scores.append(set_score(shares, right) if held.in_scope else np.nan)
        groups.append(appraisal.situation.domain)
    return Examples(
        ids,
        np.array(rows, dtype=np.float64).reshape(len(rows), len(NAMES)),
        np.array(correct, bool),
        np.array(admissible, bool),
        np.array(recorded, bool),
        np.array(scores, dtype=np.float64),
        groups,
    )


def right_group(appraisal: Appraisal, outcome_key: str) -> int | None:
    """Returns the position of an outcome's group; None when it was not retrieved."""
    memories = appraisal.neighbourhood.memories
    for at, group in enumerate(appraisal.groups):
        if memories[group.members[0]].outcome_key == outcome_key:
            return at
    return None


def _nearest(
    corpus: Corpus, block: IntArray, kept: IntArray, similarities: Vectors
) -> Iterator[tuple[int, Neighbourhood]]:
    similarities[similarities >= COPY_SIMILARITY] = -np.inf
    k = min(K, similarities.shape[1])
    for row, at in zip(similarities, block, strict=True):
        top = np.argpartition(-row, k - 1)[:k] if k else np.arange(0)
        top = top[np.isfinite(row[top])]
        top = top[np.lexsort((top, -row[top]))]
        if not len(top):
            continue
        found = row[top].astype(np.float64)
        hits = kept[top]
        memories = [corpus.memories[hit] for hit in hits]
        yield int(at), Neighbourhood(memories, found, found, corpus.vectors[hits])


def bucket(text: str, purpose: str, buckets: int) -> int:
    """Returns a number in [0, buckets) that depends on the text and the purpose alone."""
    digest = hashlib.blake2b(text.encode(), digest_size=8, person=purpose.encode()).digest()
    return int.from_bytes(digest, "big") % buckets


def _ranked(memories: Sequence[Memory]) -> tuple[IntArray, IntArray, IntArray]:
    """Returns each span's place in its outcome, the outcome's size, and the outcome's quarter."""
    of: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for at, memory in enumerate(memories):
        of[memory.outcome_key].append((bucket(memory.span_id, "fold", _PARTS), at))
    ranks, sizes, quarters = (np.zeros(len(memories), dtype=np.intp) for _ in range(3))
    for number, key in enumerate(sorted(of, key=lambda key: (bucket(key, "outcome", _PARTS), key))):
        own = [at for _, at in sorted(of[key])]
        ranks[own], sizes[own], quarters[own] = np.arange(len(own)), len(own), number % QUARTERS
    return ranks, sizes, quarters


def _lost(ranks: IntArray, sizes: IntArray, fold: int, folds: int) -> BoolArray:
    """Returns which spans the views of a fold do not see: of small outcomes one each."""
    return np.asarray(ranks % folds == fold % np.minimum(sizes, folds))
