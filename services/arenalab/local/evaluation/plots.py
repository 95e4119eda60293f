"""The results as pictures: PNG files by matplotlib, an extra that only this needs."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from arenalab.local.evaluation.curves import risk_coverage
from arenalab.local.evaluation.results import Results
from arenalab.predictor.guarantee import Kind
from arenalab.predictor.reliability import reliability_bins

_DPI: Final = 120
_SIZE: Final = (7.0, 4.5)  # inches


def has_matplotlib() -> bool:
    """Whether plots can be drawn."""
    return find_spec("matplotlib") is not None


def draw_plots(results: Results, folder: Path) -> list[Path]:
    """Draws all plots into a folder and returns their files."""
    drawings: dict[str, Callable[[Results, Any], None]] = {
        "risk_coverage.png": _risk_coverage,
        "reliability.png": _reliability,
    }
    if "alphas" not in results.not_computed:
        drawings["coverage.png"] = _coverage
    return [_draw(results, draw, folder / name) for name, draw in drawings.items()]


def _draw(results: Results, draw: Callable[[Results, Any], None], file: Path) -> Path:
    # The object interface: pyplot keeps global state and looks for a screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    draw(results, axes)
    # Without the version in it, the same results give the same file.
    figure.savefig(file, dpi=_DPI, metadata={"Software": None})
    return file


def _risk_coverage(results: Results, axes: Any) -> None:
    for one in results.everyone:
        curve = risk_coverage(one.scored, results.delta)
        if not len(curve.coverage):
            continue
        [line] = axes.plot(curve.coverage, curve.risk, label=one.name, linewidth=1.2)
        if one is results.own:
            bound = f"{one.name}, bound at {1 - results.delta:.0%}"
            axes.plot(
                curve.coverage, curve.upper, "--", color=line.get_color(), label=bound, linewidth=1
            )
    for alpha in sorted({row.alpha for row in results.own.alphas}):
        axes.axhline(alpha, color="0.8", linewidth=0.7, zorder=0)
    axes.set(xlabel="coverage", ylabel="risk of served answers", title=results.title)
    axes.set(xlim=(0, 1), ylim=(0, 0.3))
    axes.legend(fontsize="small")


def _reliability(results: Results, axes: Any) -> None:
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    for one in results.everyone:
        if one.quality.ece.value is None:
            continue
        bins = reliability_bins(one.scored.confidence, one.scored.correct)
        confidence = [part.confidence for part in bins]
        accuracy = [part.accuracy for part in bins]
        label = f"{one.name}, ECE {one.quality.ece.value:.3f}"
        axes.plot(confidence, accuracy, "o-", markersize=3, linewidth=1, label=label)
    axes.set(xlabel="confidence", ylabel="share that is right", title=results.title)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")


def _coverage(results: Results, axes: Any) -> None:
    alphas = sorted({row.alpha for row in results.own.alphas})
    names = [one.name for one in results.everyone]
    width = 0.8 / len(names)
    kind = Kind.HIGH_PROBABILITY.value
    for at, one in enumerate(results.everyone):
        rows = [one.at(alpha, kind) for alpha in alphas]
        heights = np.array([row.coverage or 0.0 if row else 0.0 for row in rows])
        spread = np.array(
            [row.coverage_interval or (0.0, 0.0) if row else (0.0, 0.0) for row in rows]
        )
        # A mean may lie outside the central 95 % of a skewed sample.
        errors = np.maximum(np.abs(spread.T - heights) * [[1], [1]], 0.0)
        axes.bar(
            np.arange(len(alphas)) + at * width,
            heights,
            width,
            yerr=errors,
            label=one.name,
            error_kw={"linewidth": 0.7},
        )
    axes.set_xticks(np.arange(len(alphas)) + 0.4 - width / 2, [f"{a:.0%}" for a in alphas])
    axes.set(xlabel="alpha", ylabel="coverage", title=f"{results.title}: {kind}", ylim=(0, 1))
    axes.legend(fontsize="small")
