"""A ranking for versions that could teach no model, such as an FAQ with one span per outcome.

Nobody asked such a dataset the same thing twice, so nothing in it says which nearness is near
enough. Nearness still ranks: similarity, the margin to the next outcome, and common words, with
weights that no data set has chosen. It is no probability until labelled traffic has bent it, and
until then its guarantee is void.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from arenalab.predictor.confidence import sigmoid

_CENTRE: Final = 0.75
_SIMILARITY: Final = 8.0
_MARGIN: Final = 6.0
_COVERAGE: Final = 1.0


def prior_score(features: Mapping[str, float]) -> float:
    """Returns a score in (0, 1) of an appraisal's features by name."""
    logit = (
        _SIMILARITY * (features["best_similarity"] - _CENTRE)
        + _MARGIN * features["margin"]
        + _COVERAGE * (features["word_coverage"] - 0.5)
        - features["clash_share"]
    )
    return float(sigmoid(np.array(logit)))
