"""Sets of outcomes that hold the right one in a stated share of cases (adaptive prediction sets).

Outcomes are taken by falling probability, each as long as those before it sum to no more than a
level. Split conformal prediction sets that level: with the k-th smallest sum that calibration
questions had before their right outcome, k = ceil((n + 1) (1 - epsilon)), the set of the next
exchangeable question holds the right outcome with probability 1 - epsilon or more. Only questions
count whose right outcome is in memory: of the others no set could hold it, and abstention is what
answers them.

Source: Romano, Sesia and Candès (2020), Classification with Valid and Adaptive Coverage,
arXiv:2006.02544; without randomisation, and with the sum before an outcome instead of with it, so
that a set is never empty.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from arenalab.predictor.neighbourhood import FloatArray

# Score of a right outcome that was not among those retrieved: beyond every level.
MISSED: Final = 2.0
# Rounding: sums of probabilities are equal when they differ by less.
_EQUAL: Final = 1e-9


def set_score(shares: Sequence[float], right: int | None) -> float:
    """Returns the sum of probabilities before the right outcome; `MISSED` without one.

    Args:
        shares: Probabilities of the outcomes, descending.
        right: Position of the right one; None when it is not among them.
    """
    return MISSED if right is None else float(sum(shares[:right]))


def set_level(scores: FloatArray, epsilon: float) -> float | None:
    """Returns the level of the sets; None when there are too few scores for one.

    Args:
        scores: Of calibration questions whose right outcome is in memory; NaN are left out.
        epsilon: Tolerated share of sets without the right outcome, in (0, 1).
    """
    known = np.sort(scores[~np.isnan(scores)])
    rank = int(np.ceil((len(known) + 1) * (1.0 - epsilon) - _EQUAL))
    if rank > len(known) or not len(known):
        return None
    level = float(known[max(rank, 1) - 1])
    return None if level >= MISSED else level


def prediction_set(shares: Sequence[float], level: float) -> int:
    """Returns how many of the outcomes, best first, are in the set: at least one of any."""
    before, count = 0.0, 0
    for share in shares:
        if count and before > level + _EQUAL:
            break
        before += share
        count += 1
    return count
