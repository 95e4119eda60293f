"""The bound on served answers: at most alpha wrong, with confidence 1 - delta.

Calibration questions are ordered by confidence. For the n most confident, the hypothesis "more
than alpha of such answers are wrong" is rejected when the Clopper-Pearson upper bound of their
errors is at most alpha. The hypotheses are tested in a fixed sequence, from the most confident
downwards, until one stands, at a level that pays for the whole sequence once.

The sequence must begin at a position fixed beforehand. The earliest is the fewest questions that
pass without an error, 59 at 5 %: one mislabelled question among them would void everything, and
on CLINC150 does in a quarter of all splits. So the sequence is cut into runs that begin where no,
3 and 10 errors are allowed; each has a share of delta, and hands all it has on to the next when it
ends without failing (the fallback procedure of Wiens). A first run that fails costs its share, not
the guarantee. Where the runs begin depends on alpha, delta and the number of questions, never on
labels: beginning at the first position that happens to pass would test all those before it too,
and not pay for it.

Sources: Clopper and Pearson (1934), Biometrika 26(4); Angelopoulos, Bates, Candès, Jordan and Lei
(2021), Learn then Test, arXiv:2110.01052; Wiens (2003), Pharmaceutical Statistics 2(3).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from arenalab.predictor.neighbourhood import FloatArray

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]
DEFAULT_ALPHA: Final = 0.05
DEFAULT_DELTA: Final = 0.05
# Errors allowed where each run of the sequence begins.
START_ERRORS: Final = (0, 3, 10)


@dataclass(frozen=True, slots=True)
class Bound:
    """The loosest threshold that the bound allows, or that there is none."""

    alpha: float
    delta: float
    threshold: float | None  # confidence at or above which answers are served
    size: int  # calibration questions
    served: int = 0  # of them at or above the threshold
    errors: int = 0  # of those wrong
    upper: float = 1.0  # Clopper-Pearson bound at the threshold

    @property
    def coverage(self) -> float:
        """Share of the calibration questions that would be served, in [0, 1]."""
        return self.served / self.size if self.size else 0.0


def upper_bound(errors: FloatArray, trials: FloatArray, delta: float) -> FloatArray:
    """Returns the exact upper confidence bound of a binomial rate, elementwise in [0, 1].

    Args:
        errors: Failures seen, each in [0, trials].
        trials: Trials made, each at least 1.
        delta: Probability that the bound lies below the true rate, in (0, 1).
    """
    inside = np.minimum(errors, trials - 1)
    bound = betaincinv(inside + 1.0, trials - inside, 1.0 - delta)
    return np.where(errors >= trials, 1.0, bound)


def fewest_that_can_pass(alpha: float, delta: float, errors: int = 0) -> int:
    """Returns the smallest number of answers that can hold so many errors and still pass."""
    # Binomial tail inverted by bisection: P(errors or fewer of n at rate alpha) <= delta.
    low, high = errors + 1, 2 * (errors + 1)
    while _bound(errors, high, delta) > alpha:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        if _bound(errors, middle, delta) > alpha:
            low = middle + 1
        else:
            high = middle
    return low


def bound_of(confidences: FloatArray, correct: BoolArray, alpha: float, delta: float) -> Bound:
    """Returns the lowest threshold at which the risk of served answers is bounded by alpha.

    Args:
        confidences: Of the calibration questions, shape (n,). One of 0 or less is never served.
        correct: Whether the output was right, shape (n,).
        alpha: Tolerated risk, in (0, 1).
        delta: Tolerated probability that the bound fails, in (0, 1).
    """
    size = len(confidences)
    order = np.argsort(-confidences, kind="stable")
    ranked, errors = confidences[order], np.cumsum(~correct[order], dtype=np.intp)
    # A threshold admits all questions of one confidence: only the last of them is a position.
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True) & (ranked > 0.0))
    at = _loosest(ends, errors[ends], alpha, delta)
    if at is None:
        return Bound(alpha, delta, None, size)
    wrong = int(errors[at])
    return Bound(alpha, delta, float(ranked[at]), size, at + 1, wrong, _bound(wrong, at + 1, delta))


def run_starts(size: int, alpha: float, delta: float) -> tuple[list[int], float]:
    """Returns how many questions each run begins with, and the share of delta that each has.

    Runs that would begin beyond the `size` questions that there are get no share.
    """
    for count in range(len(START_ERRORS), 0, -1):
        share = delta / count
        starts = [fewest_that_can_pass(alpha, share, allowed) for allowed in START_ERRORS[:count]]
        if starts[-1] <= size:
            return starts, share
    return [], 0.0


def _loosest(ends: IntArray, errors: IntArray, alpha: float, delta: float) -> int | None:
    """Returns the last position whose hypothesis is rejected; None when none is."""
    starts, share = run_starts(int(ends[-1]) + 1 if len(ends) else 0, alpha, delta)
    loosest, level = None, 0.0
    for start, stop in zip(starts, [*starts[1:], np.inf], strict=False):
        level += share
        inside = (ends + 1 >= start) & (ends + 1 < stop)
        uppers = upper_bound(
            errors[inside].astype(np.float64), ends[inside] + np.float64(1.0), level
        )
        failing = np.flatnonzero(uppers > alpha)
        passed = ends[inside][: failing[0]] if len(failing) else ends[inside]
        if len(passed):
            loosest = int(passed[-1])
        if len(failing):
            level = 0.0
    return loosest


def _bound(errors: int, trials: int, delta: float) -> float:
    return float(upper_bound(np.array([float(errors)]), np.array([float(trials)]), delta)[0])
