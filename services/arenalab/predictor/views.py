"""What a version's outcomes say about a question, whether or not their spans were retrieved.

Three views, fitted when the version is published, over the outcomes that repeat: a linear head
and Gaussian clouds on the embeddings, and the words. Where outcomes occur once (an FAQ) there are
none, and the neighbourhood speaks alone. No view can serve an outcome by itself: what is proposed
has at least one retrieved span as its evidence.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from arenalab.predictor.gaussian import Clouds, fit_clouds
from arenalab.predictor.guarantee import IntArray
from arenalab.predictor.head import LinearHead, fit_head, log_softmax
from arenalab.predictor.neighbourhood import FloatArray, Vectors
from arenalab.predictor.wordview import Digests, Heard, WordView, digest_of, fit_words

# An outcome with fewer spans has nothing that could be learnt from.
MIN_SPANS: Final = 3
MIN_OUTCOMES: Final = 2
# The most frequent outcomes have views; the work of fitting grows with their number.
MAX_OUTCOMES: Final = 512
# Spans of one outcome that are learnt from: more of the same say little more.
MAX_SPANS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the views say about one question, by the codes of their outcomes."""

    codes: dict[int, int]  # digest of an outcome key -> its code
    logits: FloatArray  # (o,), of the head
    log_probabilities: FloatArray  # (o,), of the head
    distances: FloatArray  # (o,), to the clouds, relative, in nats
    heard: Heard

    def code(self, outcome_key: str) -> int:
        """Returns the code of an outcome, -1 for one without views."""
        return self.codes.get(_digest(outcome_key), -1)


@dataclass(frozen=True)
class Views:
    """The views of one version."""

    outcomes: Digests  # (o,), digests of the outcome keys
    head: LinearHead
    clouds: Clouds
    words: WordView

    def __post_init__(self) -> None:
        codes = {int(digest): code for code, digest in enumerate(self.outcomes)}
        object.__setattr__(self, "_codes", codes)

    def opinions(self, texts: Sequence[str], vectors: Vectors) -> list[Opinion]:
        """Returns the opinion on each question; `vectors` are theirs, shape (n, d)."""
        logits = self.head.logits(vectors)
        log_probabilities = log_softmax(logits)
        distances = self.clouds.distances(vectors)
        codes: dict[int, int] = self._codes  # type: ignore[attr-defined]
        return [
            Opinion(codes, logits[n], log_probabilities[n], distances[n], self.words.heard(text))
            for n, text in enumerate(texts)
        ]


def fit_views(
    texts: Sequence[str],
    outcome_keys: Sequence[str],
    vectors: Vectors,
    rows: IntArray,
    min_spans: int = MIN_SPANS,
) -> Views | None:
    """Returns the views of some spans of a corpus; None where outcomes do not repeat.

    Args:
        texts: Questions of all spans.
        outcome_keys: Their outcomes.
        vectors: Theirs, unit rows, shape (n, d).
        rows: Positions of the spans to learn from; the first of an outcome count most.
        min_spans: An outcome with fewer of them has no view.
    """
    found = Counter(outcome_keys[row] for row in rows)
    ranked = sorted((-count, key) for key, count in found.items() if count >= min_spans)
    if len(ranked) < MIN_OUTCOMES:
        return None
    codes = {key: code for code, key in enumerate(sorted(key for _, key in ranked[:MAX_OUTCOMES]))}
    taken: Counter[str] = Counter()
    used = []
    for row in rows.tolist():
        key = outcome_keys[row]
        taken[key] += 1
        if key in codes and taken[key] <= MAX_SPANS:
            used.append(row)
    own = np.array([codes[outcome_keys[row]] for row in used], dtype=np.intp)
    learnt = np.ascontiguousarray(vectors[used], dtype=np.float32)
    return Views(
        outcomes=np.array([_digest(key) for key in codes], dtype=np.uint64),
        head=fit_head(learnt, own, len(codes)),
        clouds=fit_clouds(learnt, own, len(codes)),
        words=fit_words([texts[row] for row in used], own.tolist(), len(codes)),
    )


@lru_cache(maxsize=16_384)
def _digest(outcome_key: str) -> int:
    return digest_of(outcome_key)
