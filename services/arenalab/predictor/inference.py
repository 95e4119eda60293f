"""What a question does not say about its situation, inferred from its words and its neighbours.

The domain is the one that the neighbours share, the emotion what VADER reads in the question, the
stakes high for words of danger and else those of the neighbours. What is not likely stays unknown.
"""

from collections.abc import Sequence
from typing import Final

from arenalab.contrast.phrase import parse, stem
from arenalab.predictor.lexicon import HIGH_STAKES
from arenalab.predictor.neighbourhood import FloatArray, Query, Situation
from arenalab.predictor.sentiment import emotion_of

# An inferred value needs this share of the neighbours' weight; less is a guess.
MIN_SHARE: Final = 0.5

_HIGH: Final = frozenset(stem(word) for word in HIGH_STAKES)
_HIGH_RANK: Final = 3


def infer_situation(query: Query, neighbours: Sequence[Situation], plain: FloatArray) -> Situation:
    """Returns the query's situation with what is absent filled in where it is likely.

    Args:
        query: The question; what it states itself is never changed.
        neighbours: Situations of the nearest spans.
        plain: Their weights by similarity, summing to 1.
    """
    known = query.situation
    if known.domain and known.emotion and known.stakes is not None:
        return known
    words = parse(query.text).words
    return Situation(
        domain=known.domain or infer_domain([n.domain for n in neighbours], plain),
        emotion=known.emotion or emotion_of(query.text),
        stakes=known.stakes if known.stakes is not None else infer_stakes(words, neighbours, plain),
        actions=known.actions,
    )


def infer_domain(domains: Sequence[str], plain: FloatArray) -> str:
    """Returns the domain with at least half of the weight; empty when none has it."""
    shares: dict[str, float] = {}
    for domain, weight in zip(domains, plain.tolist(), strict=True):
        shares[domain] = shares.get(domain, 0.0) + weight
    best = max(shares, key=lambda domain: (shares[domain], domain), default="")
    return best if shares.get(best, 0.0) >= MIN_SHARE else ""


def infer_stakes(
    words: Sequence[str], neighbours: Sequence[Situation], plain: FloatArray
) -> int | None:
    """Returns high for words of danger, else the neighbours' rounded mean; None if none has any."""
    if not _HIGH.isdisjoint(words):
        return _HIGH_RANK
    rated = [
        (n.stakes, w)
        for n, w in zip(neighbours, plain.tolist(), strict=True)
        if n.stakes is not None
    ]
    total = sum(weight for _, weight in rated)
    if total < MIN_SHARE:
        return None
    return int(sum(stakes * weight for stakes, weight in rated) / total + 0.5)
