"""Pseudo-traffic: what the dataset itself would have been asked, and by whom not.

Every span is asked once, with itself and its near-copies held out. For a quarter of the outcomes
in turn, the spans of those outcomes are held out too, so that questions of theirs are out of scope
and no answer is right. A span whose outcome occurs once is out of scope in any case. Labels cost
nothing, and the neighbourhoods are as dense as in serving.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from arenalab.predictor.appraisal import appraise
from arenalab.predictor.context_match import FIXED, Weights
from arenalab.predictor.features import NAMES, features_of
from arenalab.predictor.guarantee import BoolArray
from arenalab.predictor.neighbourhood import (
    FloatArray,
    K,
    Memory,
    Neighbourhood,
    Query,
    Vectors,
)
from arenalab.predictor.recorded import is_recorded

FOLDS: Final = 4
# At or above this cosine a span is a copy, and would give the answer away.
COPY_SIMILARITY: Final = 0.999
# Rows of the similarity matrix held at once: 256 x 15,000 float32 are 15 MB.
_BLOCK: Final = 256

IntArray = npt.NDArray[np.intp]


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


def pseudo_traffic(corpus: Corpus, turn: int = 0, weights: Weights = FIXED) -> Examples:
    """Returns one example for each eligible span that has any neighbour.

    Args:
        corpus: The spans.
        turn: In [0, FOLDS): which quarter of the outcomes is held out from which spans. Over
            all turns every span is asked once without its outcome, else with it.
        weights: Of the context similarity, as serving will use them.
    """
    rows, correct, admissible, recorded, ids = [], [], [], [], []
    for at, hood in neighbourhoods(corpus, turn):
        memory = corpus.memories[at]
        appraisal = appraise(Query(memory.question), hood, weights)
        rows.append(features_of(appraisal))
        best = appraisal.neighbourhood.memories[appraisal.groups[0].members[0]]
        correct.append(best.outcome_key == memory.outcome_key)
        admissible.append(appraisal.is_admissible)
        recorded.append(is_recorded(appraisal))
        ids.append(memory.span_id)
    features = np.array(rows, dtype=np.float64).reshape(len(rows), len(NAMES))
    return Examples(
        ids,
        features,
        np.array(correct, bool),
        np.array(admissible, bool),
        np.array(recorded, bool),
    )


def neighbourhoods(corpus: Corpus, turn: int) -> Iterator[tuple[int, Neighbourhood]]:
    """Yields the position of each eligible span and its held-out neighbourhood."""
    folds = np.array([bucket(m.span_id, "fold", FOLDS) for m in corpus.memories], dtype=np.intp)
    groups = np.array(
        [bucket(m.outcome_key, "outcome", FOLDS) for m in corpus.memories], dtype=np.intp
    )
    for fold in range(FOLDS):
        asked = np.flatnonzero((folds == fold) & corpus.eligible)
        kept = np.flatnonzero(groups != (fold + turn) % FOLDS)
        kept_vectors = np.ascontiguousarray(corpus.vectors[kept])
        for start in range(0, len(asked), _BLOCK):
            block = asked[start : start + _BLOCK]
            yield from _nearest(corpus, block, kept, corpus.vectors[block] @ kept_vectors.T)


def _nearest(
    corpus: Corpus, block: IntArray, kept: IntArray, similarities: Vectors
) -> Iterator[tuple[int, Neighbourhood]]:
    similarities[similarities >= COPY_SIMILARITY] = -np.inf
    similarities[block[:, None] == kept[None, :]] = -np.inf
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
