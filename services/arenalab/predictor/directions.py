"""Which way each feature speaks, known beforehand: what the model is held to.

A few hundred questions cannot show that a nearer question is the likelier to be right, and by
chance they often show the reverse of some feature. What is near, agrees or shares words speaks
for an answer; what is scattered, far or clashes speaks against it. All else (how dense the
neighbourhood is, how many spans an outcome has, how long the question) depends on the version
more than on the question, and says nothing by itself.
"""

from typing import Final

import numpy as np

from arenalab.predictor.features import NAMES
from arenalab.predictor.guarantee import IntArray

FOR: Final = frozenset(
    {
        "top_similarity",
        "best_similarity",
        "margin",
        "std_similarity",
        "score",
        "score_margin",
        "share",
        "plain_share",
        "plain_agrees",
        "nearest_agrees",
        "weight_norm",
        "near_mean",
        "density_ratio",
        "word_jaccard",
        "word_containment",
        "word_coverage",
        "word_known",
        "context",
        "mixed_log_probability",
        "mixed_margin",
        "head_log_probability",
        "head_logit",
        "head_margin",
        "head_agrees",
        "cloud_margin",
        "cloud_agrees",
        "word_score",
        "word_margin",
        "words_agree",
        "outcome_coverage",
        "coverage_margin",
        "outcome_often",
        "rarity_known",
        "quality",
    }
)
AGAINST: Final = frozenset(
    {
        "gap_ratio",
        "entropy",
        "plain_entropy",
        "novelty",
        "clash_share",
        "negation",
        "number",
        "negation_gap",
        "item",
        "staleness",
        "mixed_entropy",
        "head_entropy",
        "cloud_distance",
    }
)

# In the order of the features: 1 for an answer, -1 against it, 0 neither.
DIRECTIONS: Final[IntArray] = np.array(
    [(name in FOR) - (name in AGAINST) for name in NAMES], dtype=np.intp
)
