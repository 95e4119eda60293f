"""The neighbourhood as numbers: what the confidence model sees, in a fixed order.

Four questions are asked of it: how near is the evidence, how much does it agree, does the question
belong among it (or only near it), and do the words say the same. The first two rank answers in
scope; the third and fourth are what tells a question that nothing in memory answers.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from arenalab.contrast.phrase import parse
from arenalab.predictor.appraisal import Appraisal
from arenalab.predictor.context_match import completeness
from arenalab.predictor.contrast import FREE_KINDS, Contrast, overlap
from arenalab.predictor.neighbourhood import FloatArray, Memory
from arenalab.predictor.view_features import NAMES as VIEW_NAMES
from arenalab.predictor.view_features import view_features

# Changes with the names, their order or their meaning; an artefact of another version
# is refused.
FEATURES_VERSION: Final = 3
_NEAREST: Final = 5
_DAY_S: Final = 86_400.0
_NAMED: Final = FREE_KINDS & ~Contrast.NUMBER

_HOOD_NAMES: Final = (
    "top_similarity",
    "best_similarity",
    "margin",
    "kth_similarity",
    "mean_similarity",
    "std_similarity",
    "gap_ratio",
    "score",
    "score_margin",
    "share",
    "plain_share",
    "plain_agrees",
    "nearest_agrees",
    "entropy",
    "plain_entropy",
    "outcomes",
    "support",
    "repetition",
    "novelty",
    "weight_norm",
    "near_mean",
    "cohesion",
    "density_ratio",
    "purity",
    "word_jaccard",
    "word_containment",
    "word_coverage",
    "word_known",
    "length",
    "context",
    "completeness",
    "clash_share",
    "negation",
    "number",
    "negation_gap",
    "item",
    "quality",
    "staleness",
)


NAMES: Final = (*_HOOD_NAMES, *VIEW_NAMES)


def features_of(appraisal: Appraisal) -> FloatArray:
    """Returns the feature vector of an appraisal that has at least one group, shape (n_names,)."""
    return np.array(
        [
            *_nearness(appraisal),
            *_agreement(appraisal),
            *_belonging(appraisal),
            *_words(appraisal),
            *view_features(appraisal),
        ],
        dtype=np.float64,
    )


def _nearness(a: Appraisal) -> list[float]:
    sims = a.neighbourhood.similarities
    members = set(a.groups[0].members)
    other = next((at for at in range(len(sims)) if at not in members), len(sims) - 1)
    best, rival = float(sims[a.groups[0].members[0]]), float(sims[other])
    top, last, mean = float(sims[0]), float(sims[-1]), float(sims.sum()) / len(sims)
    spread = max(0.0, float(sims @ sims) / len(sims) - mean * mean)
    gap_ratio = (1.0 - top) / (1.0 - last + 1e-3)
    return [top, best, best - rival, last, mean, math.sqrt(spread), gap_ratio]


def _agreement(a: Appraisal) -> list[float]:
    best, size, groups = a.groups[0], len(a.plain), a.groups
    rival = max([group.score for group in groups[1:]], default=0.0)
    plain = a.plain.tolist()
    plain_shares = [sum([plain[at] for at in group.members]) for group in groups]
    voices = [max(0.0, group.score) ** 2 for group in groups]
    total = sum(voices)
    votes = [voice / total for voice in voices] if total > 0 else [0.0] * len(voices)
    return [
        best.score,
        best.score - max(0.0, rival),
        votes[0],
        plain_shares[0],
        float(max(plain_shares) == plain_shares[0]),
        float(best.members[0] == 0),
        _entropy(votes),
        _entropy(plain_shares),
        len(groups) / size,
        len(best.members) / size,
        # Which regime this is: outcomes that repeat, or one span for each.
        math.log1p(size / len(groups)),
    ]


def _entropy(shares: list[float]) -> float:
    return -sum([share * math.log(share) for share in shares if share > 0])


def _belonging(a: Appraisal) -> list[float]:
    sims = a.neighbourhood.similarities
    near = list(a.groups[0].members[:_NEAREST])
    rows = a.gram[near]
    among = rows[:, near]
    pairs = len(near) * (len(near) - 1)
    near_mean = sum(sims[near].tolist()) / len(near)
    # A lone span has no distance to its own kind: the question is as near as it gets.
    cohesion = float((among.sum() - among.trace()) / pairs) if pairs else near_mean
    return [
        # Variance of the regression at the question: how little of it the neighbours explain.
        float(1.0 - sims @ a.weights),
        math.sqrt(float(a.weights @ a.weights)),
        near_mean,
        cohesion,
        near_mean - cohesion,
        _purity(a, near, rows),
    ]


def _purity(a: Appraisal, near: list[int], rows: FloatArray) -> float:
    # Share of the evidence whose own nearest neighbour has its outcome.
    if len(a.plain) == 1:
        return 1.0
    rows = rows.copy()
    for n, at in enumerate(near):
        rows[n, at] = -np.inf
    members = set(a.groups[0].members)
    return sum([at in members for at in rows.argmax(axis=1).tolist()]) / len(near)


def _words(a: Appraisal) -> list[float]:
    phrase = parse(a.query.text)
    memories = a.neighbourhood.memories
    best_members = a.groups[0].members[:_NEAREST]
    near = [memories[at].phrase for at in best_members]
    best = near[0]
    union = len(phrase.content | best.content)
    evidence = frozenset().union(*(p.content for p in near))
    unknown = phrase.content
    for memory in memories:
        unknown -= memory.phrase.content
        if not unknown:
            break
    size = max(1, len(phrase.content))
    nothing = kinds = Contrast.NONE
    for at in best_members:
        if a.clashes[at] is not nothing:
            kinds |= a.clashes[at]
    return [
        len(phrase.content & best.content) / union if union else 0.0,
        overlap(phrase, best),
        len(phrase.content & evidence) / size,
        (len(phrase.content) - len(unknown)) / size,
        math.log1p(len(phrase.words)),
        sum(a.context[list(best_members)].tolist()) / len(best_members),
        completeness(memories[best_members[0]].trajectory_depth),
        a.clash_share,
        float(kinds is not nothing and bool(kinds & (Contrast.NEGATION | Contrast.OPPOSITE))),
        float(kinds is not nothing and bool(kinds & (Contrast.NUMBER | Contrast.ORDER))),
        # Too weak a sign for a clash, as an outcome may be worded either way: but where all of its
        # nearest wordings say no and the question does not, it often answers the other question.
        abs(phrase.negated - sum(other.negated for other in near) / len(near)),
        float(kinds is not nothing and bool(kinds & _NAMED)),
        sum(memories[at].quality for at in best_members) / len(best_members),
        _staleness([memories[at].when_s for at in best_members], memories),
    ]


def _staleness(times_s: list[float], memories: Sequence[Memory]) -> float:
    """Returns the logarithm of how many days newer another span of the neighbourhood is.

    The newest neighbour is what age is told by: a version does not know when it will be asked.
    """
    return math.log1p(max(0.0, max([m.when_s for m in memories]) - max(times_s)) / _DAY_S)
