"""Are audited questions like those of the calibration? A conformal test martingale.

Every labelled question has a strangeness: its confidence where the output was wrong, minus its
confidence where it was right. A sure mistake is the strangest, a sure hit the least strange, and
in between lies what nobody was sure of. The rank of each audited question among the calibration's
and all audited before it, with ties broken at random, is uniform and independent of the earlier
ranks as long as all of them are exchangeable. `Bets` bets that it is not: that too many ranks are
near the top (power bets), or that they are on average too high or too low.

The order of strangeness does not change under a curve that rises and keeps the sign, so that
ranks are the same before and after labelled traffic has bent the confidences: the same labels
may have set the curve. Questions whose output no threshold could serve have no confidence, and
are left out on both sides.

Sources: Vovk, Gammerman and Shafer (2022), Algorithmic Learning in a Random World, 2nd ed.,
chapter 8; Vovk et al. (2021), Retrain or not retrain: conformal test martingales for change-point
detection, PMLR 152 (its "simple jumper" deals out by a fixed share too).
"""

from bisect import bisect_left, bisect_right, insort
from typing import Final

import numpy as np

from arenalab.predictor.artefact import Pairs
from arenalab.predictor.monitoring.betting import Bets

# Exponents of the power bets: k * p ** (k - 1), with p the share of questions at least as strange,
# is 1 on average for a uniform p, and large where p is small.
POWERS: Final = (0.3, 0.6)
# Slopes of the bets on the mean: 1 + slope * (p - 1/2) is 1 on average too, and never negative.
SLOPES: Final = (-2.0, -1.0, 1.0, 2.0)
# Below it ranks say little, and chance in so few would decide.
MIN_BASELINE: Final = 50


def strangeness(confidence: float, *, is_right: bool) -> float:
    """Returns how strange a labelled question is, in [-1, 1]; the higher, the stranger."""
    return -confidence if is_right else confidence


def payoffs(p: float) -> list[float]:
    """Returns what each strategy makes of a conformal p-value in (0, 1]."""
    return [k * p ** (k - 1.0) for k in POWERS] + [1.0 + slope * (p - 0.5) for slope in SLOPES]


class ExchangeabilityTest:
    """Tests that the questions observed are exchangeable with the calibration's."""

    def __init__(self, pairs: Pairs) -> None:
        shown = pairs.confidences > 0.0
        signed = np.where(pairs.correct, -pairs.confidences, pairs.confidences)[shown]
        self.bets = Bets(len(POWERS) + len(SLOPES))
        self._known: list[float] = sorted(signed.tolist())
        self.is_possible = len(self._known) >= MIN_BASELINE

    def observe(self, confidence: float, chance: float, *, is_right: bool) -> None:
        """Takes the next audited question into account.

        Args:
            confidence: Greater than 0.
            chance: Breaks ties; uniform in [0, 1) and independent of the question.
            is_right: Whether the output was right.
        """
        score = strangeness(confidence, is_right=is_right)
        stranger = len(self._known) - bisect_right(self._known, score)
        ties = len(self._known) - stranger - bisect_left(self._known, score) + 1  # itself too
        # 1 - chance is never 0, and as uniform.
        p = (stranger + (1.0 - chance) * ties) / (len(self._known) + 1)
        self.bets.play(payoffs(p))
        insort(self._known, score)
