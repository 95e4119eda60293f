"""What a calibration promises at each tolerated risk, and what it leaves unsaid. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from arenalab.predictor.artefact import Artefact, Basis, Pairs
from arenalab.predictor.guarantee import Bound, Kind, bound_of, group_bounds, void_bound
from arenalab.predictor.reliability import Bin
from arenalab.predictor.risk_coverage import POINTS, CurvePoint, labels_for, risk_coverage

ALPHAS: Final = (0.01, 0.02, 0.05, 0.10)
MAX_GROUPS: Final = 64
# "Five more points" of the traffic.
GAIN: Final = 0.05

_NOTHING: Final = Pairs(np.zeros(0), np.zeros(0, dtype=bool), np.zeros(0), ())
_MARGINAL: Final = (
    "A bound is marginal: it speaks of all traffic like the calibration questions together, not "
    "of one question, and holds while the traffic stays like them."
)
_HOLDOUT: Final = (
    "The calibration questions are spans held out of the dataset, a part of them with their "
    "outcome held out too: coverage and savings are those of such traffic, and real traffic may "
    "be harder. Labelled questions through Calibrate replace them."
)
_ONE_ROW: Final = (
    "Each row's promise is for an alpha and kind chosen beforehand; the points of the curve have "
    "bounds of their own, which do not cover a threshold chosen by looking at them."
)
_LABELS: Final = (
    "Labels for five more points are an estimate: it takes the present calibration questions "
    "several times over, and supposes that new ones would be like them."
)
_SAVED: Final = (
    "Saved cost is coverage times the cost of a fallback answer; what memory costs is not taken "
    "off, and cached or batched prices would save less."
)
_AVERAGE: Final = (
    "A row of kind expectation holds on average: for about half of all draws of calibration "
    "questions, the risk is above its alpha."
)
_NO_MODEL: Final = (
    "Nothing is served: the dataset is too small or too uniform to learn a confidence from. More "
    "spans per outcome, or labelled questions through Calibrate, would change that."
)
_GROUPS: Final = (
    "The bounds of domains hold all at once with high probability, as delta is shared among "
    "those with enough questions; a domain is that of the nearest spans."
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to compute."""

    alphas: Sequence[float] = ALPHAS  # ascending
    delta: float = 0.0  # 0: the artefact's default
    kinds: Sequence[Kind] = tuple(Kind)
    points: int = POINTS
    with_groups: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """What one alpha and kind allow, over all traffic or in one group."""

    bound: Bound
    labels: int | None  # more of them for five more points
    group: str | None = None


@dataclass(frozen=True)
class RiskReport:
    """Everything that is said of one calibration."""

    basis: Basis | None  # None: there is no calibration
    size: int
    points: Sequence[CurvePoint]
    rows: Sequence[Row]
    groups: Sequence[Row]
    groups_left_out: int
    bins: Sequence[Bin]
    expected_calibration_error: float
    brier: float
    limits: Sequence[str]


def risk_report(artefact: Artefact, wanted: Wanted) -> RiskReport:
    """Returns the report of a calibration; where nothing could be learnt, every row is void."""
    pairs, summary = artefact.pairs, artefact.summary
    delta = wanted.delta or artefact.delta
    counts = Counter(name for name in pairs.groups if name)
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    shown = ranked[:MAX_GROUPS] if wanted.with_groups else []
    return RiskReport(
        basis=artefact.basis,
        size=len(pairs.confidences),
        points=risk_coverage(pairs.confidences, pairs.correct, delta, wanted.points),
        rows=_rows(pairs, wanted, delta),
        groups=list(_group_rows(pairs, wanted, delta, shown)),
        groups_left_out=len(ranked) - len(shown) if wanted.with_groups else 0,
        bins=summary.bins,
        expected_calibration_error=summary.expected_calibration_error,
        brier=summary.brier,
        limits=_limits(artefact, wanted),
    )


def void_report(why: str, wanted: Wanted, delta: float) -> RiskReport:
    """Returns the report of a version whose calibration cannot be used, and why."""
    rows = _rows(_NOTHING, wanted, wanted.delta or delta)
    return RiskReport(None, 0, [], rows, [], 0, (), 0.0, 0.0, [f"Nothing is served: {why}."])


def _rows(pairs: Pairs, wanted: Wanted, delta: float) -> list[Row]:
    return [
        Row(
            bound_of(pairs.confidences, pairs.correct, alpha, delta, kind),
            labels_for(pairs.confidences, pairs.correct, alpha, delta, GAIN, kind),
        )
        for alpha in wanted.alphas
        for kind in wanted.kinds
    ]


def _group_rows(pairs: Pairs, wanted: Wanted, delta: float, shown: Sequence[str]) -> Iterator[Row]:
    if not shown:
        return
    of = np.array(pairs.groups, dtype=np.str_)
    bounds = {
        (alpha, kind): group_bounds(
            pairs.confidences, pairs.correct, pairs.groups, alpha, delta, kind
        )
        for alpha in wanted.alphas
        for kind in wanted.kinds
    }
    for name in shown:
        own = np.flatnonzero(of == name)
        confidences, correct = pairs.confidences[own], pairs.correct[own]
        for (alpha, kind), found in bounds.items():
            # One that gets its bound only by more labels would share delta with those that have.
            share = delta / max(1, len(found) + (name not in found))
            bound = found.get(name) or void_bound(alpha, delta, len(own), kind)
            yield Row(bound, labels_for(confidences, correct, alpha, share, GAIN, kind), name)


def _limits(artefact: Artefact, wanted: Wanted) -> list[str]:
    if artefact.model is None and not (artefact.pairs.confidences > 0.0).any():
        return [_NO_MODEL]
    limits = [_MARGINAL, _ONE_ROW, _LABELS, _SAVED]
    if artefact.basis is Basis.DATASET_HOLDOUT:
        limits.insert(1, _HOLDOUT)
    if Kind.EXPECTATION in wanted.kinds:
        limits.append(_AVERAGE)
    if wanted.with_groups:
        limits.append(_GROUPS)
    return limits
