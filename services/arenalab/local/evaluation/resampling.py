"""Random splits of scored questions into calibration and evaluation, and what they give.

Every question is scored once; a split only chooses which labels set the threshold. The figures are
means over splits with the central 95 % of the splits around them: how much a draw matters, not how
much another data set would.

A violation is a split whose measured risk is above alpha. The bound speaks of the true risk, and
the measured one has noise of its own, so that the share of violations may exceed delta where the
bound is kept: up to 12 % at delta = 5 % where as many questions are evaluated as calibrate
(`noise.py`). Two figures stand beside them. A violation is `by_noise` where what the split
serves is wrong in at most alpha of the cases over the questions of both parts: with the pool as all
the traffic there is, the bound held. That is lenient, since the threshold was chosen on a part of
the pool. `noise_allows` is how many violations an exact bound would show in the worst
pool: more, beyond the chance of the number of splits, speak against the bound, and fewer prove
nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from arenalab.local.evaluation.contender import OwnRule, Scored
from arenalab.local.evaluation.noise import noise_allows
from arenalab.local.evaluation.task import MIN_CALIBRATION
from arenalab.predictor.guarantee import BoolArray, Bound, IntArray, Kind, bound_of
from arenalab.predictor.neighbourhood import FloatArray

OWN_RULE: Final = "vcache"

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Split:
    """Positions of the questions that calibrate and of those that are evaluated."""

    calibration: IntArray
    evaluation: IntArray


@dataclass(frozen=True, slots=True)
class AlphaFigures:
    """What one contender reached at one tolerated risk; None: not computed."""

    alpha: float
    kind: str
    coverage: float | None  # share of all questions that is served
    coverage_interval: Interval | None
    risk: float | None  # share of served answers that is wrong; None where nothing is served
    risk_interval: Interval | None
    violations: int | None  # splits with a risk above alpha
    resplits: int
    served_in: int | None  # splits in which anything is served
    oracle: float | None  # coverage with every right answer ranked above every wrong one
    error_rate: float | None  # wrong answers among all questions
    # Of the violations, those whose risk over the questions of both parts is at most alpha.
    violations_by_noise: int | None = None
    # About how many at the most an exact bound would show; None: no HIGH_PROBABILITY.
    violations_noise_allows: float | None = None


def make_splits(size: int, calibration: int, count: int, seed: int) -> list[Split]:
    """Returns so many random splits; the same seed gives the same ones, the first ones first."""
    splits = []
    for number in range(count):
        order = np.random.default_rng([seed, 1, number]).permutation(size)
        splits.append(Split(np.sort(order[:calibration]), np.sort(order[calibration:])))
    return splits


def oracle_coverage(correct: BoolArray, alpha: float) -> float:
    """Returns the largest coverage at risk alpha or less, were the ranking perfect."""
    right = int(correct.sum())
    # wrong / (right + wrong) <= alpha; the small number undoes rounding at whole results.
    allowed = int(np.floor(alpha * right / (1.0 - alpha) + 1e-9))
    return (right + min(allowed, len(correct) - right)) / len(correct)


def figures_at(
    scored: Scored, splits: Sequence[Split], alpha: float, kind: Kind, delta: float
) -> AlphaFigures:
    """Returns the figures of one kind of guarantee, over all splits."""
    served, wrong = np.zeros(len(splits)), np.zeros(len(splits))
    bounds = [_bound(scored, split, alpha, delta, kind) for split in splits]
    for at, (split, bound) in enumerate(zip(splits, bounds, strict=True)):
        if bound.threshold is not None:
            is_served = scored.score[split.evaluation] >= bound.threshold
            served[at] = is_served.sum()
            wrong[at] = (is_served & ~scored.correct[split.evaluation]).sum()
    row = _figures(scored, splits, alpha, kind.value, served, wrong)
    before = np.array([bound.served for bound in bounds], dtype=np.intp)
    errors = np.array([bound.errors for bound in bounds], dtype=np.intp)
    by_noise = (_risk(wrong, served) > alpha) & (_risk(wrong + errors, served + before) <= alpha)
    allowed = None
    if kind is Kind.HIGH_PROBABILITY:
        parts = len(splits[0].calibration), len(splits[0].evaluation)
        allowed = noise_allows(before, *parts, alpha, delta)
    return replace(row, violations_by_noise=int(by_noise.sum()), violations_noise_allows=allowed)


def _bound(scored: Scored, split: Split, alpha: float, delta: float, kind: Kind) -> Bound:
    at = split.calibration
    return bound_of(scored.score[at], scored.correct[at], alpha, delta, kind)


def own_rule_figures(
    scored: Scored, rule: OwnRule, splits: Sequence[Split], alpha: float
) -> AlphaFigures:
    """Returns the figures of a contender's own rule, in expectation over its random choices."""
    probability = rule.serving[alpha]
    served = np.array([probability[split.evaluation].sum() for split in splits])
    wrong = np.array([(probability * ~rule.correct)[split.evaluation].sum() for split in splits])
    return _figures(scored, splits, alpha, OWN_RULE, served, wrong)


def _figures(
    scored: Scored,
    splits: Sequence[Split],
    alpha: float,
    kind: str,
    served: FloatArray,
    wrong: FloatArray,
) -> AlphaFigures:
    sizes = np.array([len(split.evaluation) for split in splits], dtype=np.float64)
    coverage = served / sizes
    risk = _risk(wrong, served)
    oracle = np.mean([oracle_coverage(scored.correct[split.evaluation], alpha) for split in splits])
    anything = int((served > 0).sum())
    return AlphaFigures(
        alpha=alpha,
        kind=kind,
        coverage=float(coverage.mean()),
        coverage_interval=interval_of(coverage),
        risk=float(risk.mean()) if anything else None,
        risk_interval=interval_of(risk) if anything else None,
        violations=int((risk > alpha).sum()),
        resplits=len(splits),
        served_in=anything,
        oracle=float(oracle),
        error_rate=float((wrong / sizes).mean()),
    )


def _risk(wrong: FloatArray, served: FloatArray) -> FloatArray:
    return np.divide(wrong, served, out=np.zeros_like(wrong), where=served > 0)


def interval_of(values: FloatArray) -> Interval:
    """Returns the central 95 % of values."""
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def all_figures(
    scored: Scored, splits: Sequence[Split], alphas: Sequence[float], delta: float
) -> list[AlphaFigures]:
    """Returns the figures at each alpha: both guarantees, and the contender's own rule if any."""
    rows = []
    for alpha in alphas:
        rows += [figures_at(scored, splits, alpha, kind, delta) for kind in Kind]
        if scored.own_rule is not None:
            rows.append(own_rule_figures(scored, scored.own_rule, splits, alpha))
    return rows


def nothing_computed(alphas: Sequence[float]) -> list[AlphaFigures]:
    """Returns rows without figures, for a task with too few questions."""
    return [
        AlphaFigures(alpha, kind.value, None, None, None, None, None, 0, None, None, None)
        for alpha in alphas
        for kind in Kind
    ]


def too_few(calibration: int, evaluation: int) -> str | None:
    """Returns why no threshold is computed; None where there are enough questions."""
    if min(calibration, evaluation) >= MIN_CALIBRATION:
        return None
    return (
        f"{calibration} questions to calibrate with and {evaluation} to evaluate: at least "
        f"{MIN_CALIBRATION} of each are needed"
    )
