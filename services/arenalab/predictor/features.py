"""The neighbourhood as numbers: what the confidence model sees, in a fixed order.

Four questions are asked of it: how near is the evidence, how much does it agree, does the question
belong among it (or only near it), and do the words say the same. The first two rank answers in
scope; the third and fourth are what tells a question that nothing in memory answers.
"""

from typing import Final

import numpy as np

from arenalab.predictor.appraisal import Appraisal
from arenalab.predictor.context_match import completeness
from arenalab.predictor.contrast import Contrast, overlap
from arenalab.predictor.neighbourhood import FloatArray
from arenalab.predictor.outcomes import entropy
from arenalab.predictor.phrase import parse

# Changes with the names, their order or their meaning; an artefact of another version
# is refused.
FEATURES_VERSION: Final = 1
_NEAREST: Final = 5

NAMES: Final = (
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
)


def features_of(appraisal: Appraisal) -> FloatArray:
    """Returns the feature vector of an appraisal that has at least one group, shape (n_names,)."""
    values = {
        **_nearness(appraisal),
        **_agreement(appraisal),
        **_belonging(appraisal),
        **_words(appraisal),
    }
    return np.array([values[name] for name in NAMES], dtype=np.float64)


def _nearness(a: Appraisal) -> dict[str, float]:
    sims = a.neighbourhood.similarities
    members = list(a.groups[0].members)
    others = [at for at in range(len(sims)) if at not in set(members)]
    best = float(sims[members[0]])
    rival = float(sims[others[0]]) if others else float(sims[-1])
    top, last = float(sims[0]), float(sims[-1])
    return {
        "top_similarity": top,
        "best_similarity": best,
        "margin": best - rival,
        "kth_similarity": last,
        "mean_similarity": float(sims.mean()),
        "std_similarity": float(sims.std()),
        "gap_ratio": (1.0 - top) / (1.0 - last + 1e-3),
    }


def _agreement(a: Appraisal) -> dict[str, float]:
    best = a.groups[0]
    members = list(best.members)
    second = a.groups[1].score if len(a.groups) > 1 else 0.0
    plain_shares = np.array([a.plain[list(group.members)].sum() for group in a.groups])
    return {
        "score": best.score,
        "score_margin": best.score - max(0.0, second),
        "share": best.share,
        "plain_share": float(plain_shares[0]),
        "plain_agrees": float(plain_shares.argmax() == 0),
        "nearest_agrees": float(members[0] == 0),
        "entropy": entropy(np.array([group.share for group in a.groups])),
        "plain_entropy": entropy(plain_shares),
        "outcomes": len(a.groups) / len(a.plain),
        "support": len(members) / len(a.plain),
        # Which regime this is: outcomes that repeat, or one span for each.
        "repetition": float(np.log1p(len(a.plain) / len(a.groups))),
    }


def _belonging(a: Appraisal) -> dict[str, float]:
    sims = a.neighbourhood.similarities
    near = list(a.groups[0].members[:_NEAREST])
    among = a.gram[np.ix_(near, near)]
    pairs = len(near) * (len(near) - 1)
    near_mean = float(sims[near].mean())
    # A lone span has no distance to its own kind: the question is as near as it gets.
    cohesion = float((among.sum() - np.trace(among)) / pairs) if pairs else near_mean
    return {
        # Variance of the regression at the question: how little of it the neighbours explain.
        "novelty": float(1.0 - sims @ a.weights),
        "weight_norm": float(np.sqrt(a.weights @ a.weights)),
        "near_mean": near_mean,
        "cohesion": cohesion,
        "density_ratio": near_mean - cohesion,
        "purity": _purity(a, near),
    }


def _purity(a: Appraisal, near: list[int]) -> float:
    # Share of the evidence whose own nearest neighbour has its outcome.
    if len(a.plain) == 1:
        return 1.0
    rows = a.gram[near].copy()
    rows[np.arange(len(near)), near] = -np.inf
    nearest = rows.argmax(axis=1)
    members = set(a.groups[0].members)
    return sum(int(at) in members for at in nearest) / len(near)


def _words(a: Appraisal) -> dict[str, float]:
    phrase = parse(a.query.text)
    memories = a.neighbourhood.memories
    near = [memories[at].phrase for at in a.groups[0].members[:_NEAREST]]
    best = near[0]
    union = len(phrase.content | best.content)
    evidence = frozenset().union(*(p.content for p in near))
    known = frozenset().union(*(memory.phrase.content for memory in memories))
    size = max(1, len(phrase.content))
    kinds = Contrast.NONE
    for at in a.groups[0].members[:_NEAREST]:
        kinds |= a.clashes[at]
    return {
        "word_jaccard": len(phrase.content & best.content) / union if union else 0.0,
        "word_containment": overlap(phrase, best),
        "word_coverage": len(phrase.content & evidence) / size,
        "word_known": len(phrase.content & known) / size,
        "length": float(np.log1p(len(phrase.words))),
        "context": float(a.context[list(a.groups[0].members[:_NEAREST])].mean()),
        "completeness": completeness(memories[a.groups[0].members[0]].trajectory_depth),
        "clash_share": a.clash_share,
        "negation": float(bool(kinds & (Contrast.NEGATION | Contrast.OPPOSITE))),
        "number": float(bool(kinds & (Contrast.NUMBER | Contrast.ORDER))),
    }
