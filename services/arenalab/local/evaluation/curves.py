"""Risk and coverage at every threshold, over all questions: what a plot of them shows."""

from dataclasses import dataclass

import numpy as np

from arenalab.local.evaluation.contender import Scored
from arenalab.predictor.guarantee import upper_bound
from arenalab.predictor.neighbourhood import FloatArray


@dataclass(frozen=True)
class RiskCoverage:
    """One point for each distinct score, the most confident first."""

    coverage: FloatArray
    risk: FloatArray
    upper: FloatArray  # Clopper-Pearson at 1 - delta, of each point alone


def risk_coverage(scored: Scored, delta: float) -> RiskCoverage:
    """Returns the curve; empty where nothing may be served."""
    order = np.argsort(-scored.score, kind="stable")
    ranked, errors = scored.score[order], np.cumsum(~scored.correct[order]).astype(np.float64)
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True) & (ranked > 0.0))
    served = (ends + 1).astype(np.float64)
    upper = upper_bound(errors[ends], served, delta) if len(ends) else np.zeros(0)
    return RiskCoverage(served / max(1, len(order)), errors[ends] / served, upper)
