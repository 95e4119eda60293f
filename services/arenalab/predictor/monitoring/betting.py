"""Betting against a hypothesis: the capital of fair bets, started at 1, is an e-value.

While the hypothesis is true the capital is a non-negative supermartingale, so that it ever
reaches L with probability at most 1 / L (Ville's inequality): it may be looked at after every
label, for as long as one likes.

`Bets` plays several strategies at once. One of them bets nothing; the others each bet that the
truth is a certain way off. Before every outcome a share of the whole capital is dealt out anew
among them (Herbster and Warmuth's fixed share), so that a change after a long quiet time is found
too: without it, the strategies that lost all their capital while the hypothesis was true would
have nothing left to bet. The share shrinks as 1 / n, so that a quiet time costs a power of its
length and no exponential of it. Dealing out anew moves capital and makes none, and both it and
the bets depend on the past alone: the whole stays a supermartingale.

Sources: Ville (1939); Waudby-Smith and Ramdas (2024), Estimating means of bounded random variables
by betting, JRSS-B 86(1); Ramdas, Grünwald, Vovk and Shafer (2023), Game-theoretic statistics and
safe anytime-valid inference, Statistical Science 38(4); Herbster and Warmuth (1998), Tracking the
best expert, Machine Learning 32.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

# Capital that bets nothing whenever it is dealt out; the strategies have the rest.
IDLE: Final = 0.5
# The n-th dealing out moves 1 / (n + DEALS) of the capital. Simulated for risks of 2, 5 and 10 %:
# from 10 to 500 it hardly matters, for changes at once and after 1,000 labels.
DEALS: Final = 50
# Odds of being wrong that the strategies of a risk test bet on, as multiples of those of alpha.
ODDS: Final = (1.5, 2.0, 3.5, 6.0, 12.0)
# The largest e-value that is shown: beyond it, a float would overflow.
MAX_E: Final = 1e300


class Bets:
    """The capital of strategies that bet on a sequence of outcomes."""

    def __init__(self, strategies: int) -> None:
        """`strategies` that bet, beside the one that never does."""
        self._shares = np.array([IDLE, *[(1.0 - IDLE) / strategies] * strategies], dtype=np.float64)
        self._capital = self._shares.copy()
        self._log_total = 0.0
        self._played = 0

    @property
    def log_e(self) -> float:
        """Logarithm of the capital now; 0 at the start."""
        return self._log_total

    def play(self, payoffs: Sequence[float]) -> None:
        """Settles one outcome.

        Args:
            payoffs: What each strategy made of one unit, each at least 0; under the hypothesis at
                most 1 on average, given all that came before.
        """
        dealt = 1.0 / (self._played + DEALS)
        capital = (1.0 - dealt) * self._capital + dealt * self._shares
        capital *= np.array([1.0, *payoffs])
        total = float(capital.sum())  # > 0: the idle strategy never loses
        self._capital = capital / total
        self._log_total += math.log(total)
        self._played += 1

    def state(self) -> list[float]:
        """Returns all that is needed to go on later."""
        return [self._log_total, float(self._played), *self._capital.tolist()]

    @classmethod
    def restored(cls, strategies: int, state: Sequence[float]) -> "Bets":
        """Returns bets that go on from a state.

        Raises:
            ValueError: It is of other strategies.
        """
        bets = cls(strategies)
        if len(state) != len(bets._shares) + 2:
            raise ValueError(f"a state must hold {len(bets._shares) + 2} numbers, got {len(state)}")
        bets._log_total, bets._played = float(state[0]), int(state[1])
        bets._capital = np.array(state[2:], dtype=np.float64)
        return bets


def odds_payoffs(alpha: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns what each strategy makes of a wrong answer, and of a right one.

    The strategy for the risk q pays q / alpha for a wrong answer and (1 - q) / (1 - alpha) for a
    right one, the likelihood ratio: 1 on average where the risk is alpha, less where it is below.
    """
    alternatives = [odds * alpha / (1.0 - alpha + odds * alpha) for odds in ODDS]
    wrong = tuple(q / alpha for q in alternatives)
    right = tuple((1.0 - q) / (1.0 - alpha) for q in alternatives)
    return wrong, right


class RiskTest:
    """Tests "each answer is wrong with probability at most alpha, whatever came before"."""

    def __init__(self, alpha: float) -> None:
        self.bets = Bets(len(ODDS))
        self._wrong, self._right = odds_payoffs(alpha)

    def observe(self, *, is_wrong: bool) -> None:
        """Takes the next answer into account."""
        self.bets.play(self._wrong if is_wrong else self._right)


def counted_log_e(errors: int, answers: int, alpha: float) -> float:
    """Returns the logarithm of the e-value of so many errors among so many answers.

    The same strategies as `RiskTest`, without dealing out anew: their capital depends on the two
    numbers alone, in whatever order the answers came. An answer of which nothing is known may be
    counted as right: that can only lower the capital.
    """
    wrong, right = odds_payoffs(alpha)
    logs = [
        errors * math.log(up) + (answers - errors) * math.log(down)
        for up, down in zip(wrong, right, strict=True)
    ]
    share = math.log((1.0 - IDLE) / len(ODDS))
    terms = [math.log(IDLE), *(share + one for one in logs)]
    highest = max(terms)
    return highest + math.log(sum(math.exp(term - highest) for term in terms))


def e_value(log_e: float) -> float:
    """Returns the e-value, at most `MAX_E`."""
    return math.exp(log_e) if log_e < math.log(MAX_E) else MAX_E
