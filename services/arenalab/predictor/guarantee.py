"""The bound on served answers, of two kinds.

`HIGH_PROBABILITY`: of the answers served, at most alpha are wrong, with confidence 1 - delta over
the draw of the calibration questions (Learn then Test). Questions are ordered by confidence. For
the n most confident, the hypothesis "more than alpha of such answers are wrong" is rejected when
the exact binomial bound of their errors is at most alpha. Hypotheses are tested in a fixed
sequence, from the most confident on, until one stands; then the last rejected one is the
threshold, and the whole sequence costs delta once.

The sequence is a grid fixed beforehand: the fewest questions that pass with one error, with two,
with three, and so on, and last all of them. A question between two of these positions could only
hurt: what is asked of it, the next position asks with more allowed. Where the sequence begins is
fixed too, by the number of questions and never by labels: where up to two errors are allowed if
that lies in the first third of the questions, because one mislabelled question among the most
confident would otherwise void everything, and on CLINC150 does in a quarter of all splits.

The risk is that of all traffic like the calibration questions. The share seen wrong among the next
m answers, against n that calibrated, has noise of its own: with a threshold right at the bound it
exceeds alpha in up to Phi(-z sqrt(m / (n + m))) of the draws, z being delta's quantile, 12 % for
m = n at delta = 5 %. An exact test of the second sample, hypergeometric, would hold that below
delta too; on CLINC150 it costs two thirds of the coverage at alpha = 1 % (m = n).

`EXPECTATION`: the largest set of calibration questions with (1 + errors) / served <= alpha
(conformal selection): on average over the draws, at most alpha of served answers are wrong. It
serves more where alpha is small or questions are few, and in half of all draws the risk is above.

Sources: Clopper and Pearson (1934), Biometrika 26(4); Angelopoulos, Bates, Candès, Jordan and Lei
(2021), Learn then Test, arXiv:2110.01052; Jin and Candès (2023), Selection by Prediction with
Conformal p-values, JMLR 24.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, betaincinv

from arenalab.predictor.neighbourhood import FloatArray

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]
DEFAULT_ALPHA: Final = 0.05
DEFAULT_DELTA: Final = 0.05
# The most errors allowed where the sequence begins, and the share of questions it must lie in.
START_ERRORS: Final = 2
START_SHARE: Final = 3


class Kind(StrEnum):
    """What a bound controls."""

    HIGH_PROBABILITY = "high_probability"
    EXPECTATION = "expectation"


@dataclass(frozen=True, slots=True)
class Bound:
    """The loosest threshold that the bound allows, or that there is none."""

    alpha: float
    delta: float  # 0 for `EXPECTATION`, which knows none
    threshold: float | None  # confidence at or above which answers are served
    size: int  # calibration questions
    served: int = 0  # of them at or above the threshold
    errors: int = 0  # of those wrong
    upper: float = 1.0  # what is kept below alpha: Clopper-Pearson, or (1 + errors) / served
    kind: Kind = Kind.HIGH_PROBABILITY

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


def lower_bound(errors: FloatArray, trials: FloatArray, delta: float) -> FloatArray:
    """Returns the exact lower confidence bound of a binomial rate, elementwise in [0, 1]."""
    return np.asarray(1.0 - upper_bound(trials - errors, trials, delta))


def fewest_that_can_pass(alpha: float, delta: float, errors: int = 0) -> int:
    """Returns the smallest number of answers that can hold so many errors and still pass."""
    low, high = errors + 1, 2 * (errors + 1)
    while bdtr(errors, high, alpha) > delta:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        if bdtr(errors, middle, alpha) > delta:
            low = middle + 1
        else:
            high = middle
    return low


@lru_cache(maxsize=128)
def sequence_positions(size: int, alpha: float, delta: float) -> IntArray:
    """Returns how many of `size` questions each hypothesis of the sequence is about, ascending.

    Empty where not even questions without an error would pass. Kept for the sizes and risks asked
    for last, and therefore read-only.
    """
    allowed = START_ERRORS
    while allowed and START_SHARE * fewest_that_can_pass(alpha, delta, allowed) > size:
        allowed -= 1
    found: list[int] = []
    at = fewest_that_can_pass(alpha, delta, allowed)
    while at <= size:
        found.append(at)
        allowed += 1
        at = _next_position(at, allowed, alpha, delta)
    positions = np.array(found, dtype=np.intp)
    positions.flags.writeable = False
    return positions


def _next_position(at: int, allowed: int, alpha: float, delta: float) -> int:
    # One more error costs about 1 / alpha questions: the search begins there, not at the start.
    step = max(1, int(0.5 / alpha))
    low = at
    while bdtr(allowed, low + step, alpha) > delta:
        low += step
    high = low + step
    while low + 1 < high:
        middle = (low + high) // 2
        if bdtr(allowed, middle, alpha) > delta:
            low = middle
        else:
            high = middle
    return high


def void_bound(alpha: float, delta: float, size: int, kind: Kind) -> Bound:
    """Returns the bound of so many questions that allow no threshold."""
    return Bound(alpha, delta if kind is Kind.HIGH_PROBABILITY else 0.0, None, size, kind=kind)


def bound_of(
    confidences: FloatArray,
    correct: BoolArray,
    alpha: float,
    delta: float,
    kind: Kind = Kind.HIGH_PROBABILITY,
) -> Bound:
    """Returns the lowest threshold at which the risk of served answers is controlled.

    Args:
        confidences: Of the calibration questions, shape (n,). One of 0 or less, or NaN, is never
            served.
        correct: Whether the output was right, shape (n,).
        alpha: Tolerated risk, in (0, 1).
        delta: Tolerated probability that the bound fails, in (0, 1); `EXPECTATION` ignores it.
        kind: What is controlled.
    """
    size = len(confidences)
    void = void_bound(alpha, delta, size, kind)
    delta = void.delta
    ranked, errors, ends = ranked_errors(confidences, correct)
    if not len(ends):
        return void
    if kind is Kind.HIGH_PROBABILITY:
        at = _last_rejected(ends, errors, size, alpha, delta)
    else:
        passing = ends[(1 + errors[ends]) <= alpha * (ends + 1)]
        at = int(passing[-1]) if len(passing) else None
    if at is None:
        return void
    wrong, served = int(errors[at]), at + 1
    upper = _bound(wrong, served, delta) if delta else (1 + wrong) / served
    return Bound(alpha, delta, float(ranked[at]), size, served, wrong, upper, kind)


def ranked_errors(
    confidences: FloatArray, correct: BoolArray
) -> tuple[FloatArray, IntArray, IntArray]:
    """Returns confidences in descending order, errors up to each, and where a threshold can lie.

    A threshold admits all questions of one confidence: only the last of them is a position, and
    only where the confidence is above 0.
    """
    confidences = np.nan_to_num(confidences, nan=0.0)
    order = np.argsort(-confidences, kind="stable")
    ranked, errors = confidences[order], np.cumsum(~correct[order], dtype=np.intp)
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True) & (ranked > 0.0))
    return ranked, errors, ends[ends < len(ranked)]


def _last_rejected(
    ends: IntArray, errors: IntArray, size: int, alpha: float, delta: float
) -> int | None:
    """Returns the last position whose hypothesis is rejected; None when none is."""
    grid = sequence_positions(size, alpha, delta)
    if not len(grid) or ends[-1] + 1 < grid[0]:
        return None
    # Equal confidences are admitted together, so that a position moves to the last of them.
    at = np.searchsorted(ends, grid - 1)
    positions = np.unique(np.append(ends[at[at < len(ends)]], ends[-1]))
    passes = bdtr(errors[positions].astype(np.float64), positions + 1, alpha) <= delta
    failing = np.flatnonzero(~passes)
    count = int(failing[0]) if len(failing) else len(positions)
    return int(positions[count - 1]) if count else None


def group_bounds(
    confidences: FloatArray,
    correct: BoolArray,
    groups: Sequence[str],
    alpha: float,
    delta: float,
    kind: Kind = Kind.HIGH_PROBABILITY,
) -> dict[str, Bound]:
    """Returns a bound for each group that has enough questions; all of them hold at once.

    Delta is shared among the groups that have enough for one (Bonferroni), which depends on their
    sizes and never on labels. A group without a bound here has none of its own. The empty name
    is no group. Arguments as `bound_of`; `groups` holds the group of each question.
    """
    names, of = np.unique(np.array(groups, dtype=np.str_), return_inverse=True)
    sizes = np.bincount(of, minlength=len(names))
    enough = [n for n, name in enumerate(names) if name]
    while enough:
        # No whole number: 1 over the smallest alphas is infinite.
        share, least = delta, 1 / alpha
        if kind is Kind.HIGH_PROBABILITY:
            share = delta / len(enough)
            least = fewest_that_can_pass(alpha, share)
        fitting = [n for n in enough if sizes[n] >= least]
        if len(fitting) == len(enough):
            return {
                str(names[n]): bound_of(confidences[of == n], correct[of == n], alpha, share, kind)
                for n in enough
            }
        enough = fitting
    return {}


def _bound(errors: int, trials: int, delta: float) -> float:
    return float(upper_bound(np.array([float(errors)]), np.array([float(trials)]), delta)[0])
