"""A version's risk-coverage curve in characters and as a PNG file."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.predictor.v1 import predictor_service_pb2 as pb
from arenalab.local.charts import Chart, draw_png
from arenalab.predictor.neighbourhood import FloatArray

_SIZE: Final = (11.0, 4.8)  # inches
_HEIGHT: Final = 16  # rows of characters
_MARGIN: Final = 1.35  # of the risk axis above the largest alpha
_SIGNS: Final = {
    answer_pb2.GUARANTEE_KIND_HIGH_PROBABILITY: "H",
    answer_pb2.GUARANTEE_KIND_EXPECTATION: "E",
}
_MARKERS: Final = {
    answer_pb2.GUARANTEE_KIND_HIGH_PROBABILITY: ("o", "with high probability"),
    answer_pb2.GUARANTEE_KIND_EXPECTATION: ("^", "on average"),
}
_BLUE: Final = "tab:blue"


def chart_lines(report: pb.GetRiskCoverageResponse) -> Iterator[str]:
    """Yields the curve (*) with its bound (.), and the thresholds of both kinds (H, E)."""
    chart = Chart(_top(report), height=_HEIGHT)
    for alpha in _alphas(report):
        chart.level(alpha, f"alpha {100 * alpha:.3g}%")
    coverage, risk, upper = (_column(report, name) for name in ("coverage", "risk", "upper"))
    chart.curve(coverage, upper, ".")
    chart.curve(coverage, risk, "*")
    for row in _served(report.rows):
        risk_there = row.guarantee.calibration_errors / row.guarantee.calibration_served
        chart.mark(row.coverage, risk_there, _SIGNS[row.guarantee.kind])
    yield (
        "risk by coverage: * risk, . its bound at each point; answers are served up to "
        "H (high_probability), E (expectation)"
    )
    yield from chart.lines()


def draw_picture(report: pb.GetRiskCoverageResponse, file: Path) -> Path:
    """Draws curve and reliability into a PNG file; needs matplotlib."""

    def paint(figure: Any) -> None:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        _paint_curve(report, left)
        _paint_reliability(report, right)
        title = f"{report.dataset} {report.dataset_version[:12]}: "
        figure.suptitle(f"{title}{report.calibration_size:,} calibration questions", fontsize=11)

    return draw_png(file, _SIZE, paint)


def _paint_curve(report: pb.GetRiskCoverageResponse, axes: Any) -> None:
    axes.set(xlabel="coverage", ylabel="risk of served answers")
    axes.set(xlim=(0, 1), ylim=(0, _top(report)))
    axes.xaxis.set_major_formatter(_percent)
    axes.yaxis.set_major_formatter(_percent)
    for alpha in _alphas(report):
        axes.axhline(alpha, color="0.75", linewidth=0.8, linestyle="--", zorder=0)
        axes.annotate(
            f"alpha {100 * alpha:.3g}%",
            (1.0, alpha),
            xytext=(3, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color="0.4",
        )
    if not report.points:
        _say_nothing(axes)
        return
    coverage = _column(report, "coverage")
    axes.fill_between(
        coverage,
        _column(report, "lower"),
        _column(report, "upper"),
        color=_BLUE,
        alpha=0.18,
        linewidth=0,
        label="exact bounds of each point",
    )
    axes.plot(
        coverage,
        _column(report, "risk"),
        color=_BLUE,
        linewidth=1.5,
        label="risk of served answers",
    )
    for kind, (marker, label) in _MARKERS.items():
        rows = [row for row in _served(report.rows) if row.guarantee.kind == kind]
        if not rows:
            continue
        risks = [r.guarantee.calibration_errors / r.guarantee.calibration_served for r in rows]
        axes.plot(
            [row.coverage for row in rows],
            risks,
            marker,
            color="tab:orange" if marker == "o" else "tab:green",
            markersize=6,
            clip_on=False,
            label=f"served up to here, {label}",
        )
    axes.legend(fontsize="small", loc="upper left")


def _paint_reliability(report: pb.GetRiskCoverageResponse, axes: Any) -> None:
    axes.set(xlabel="confidence", ylabel="share that is right", xlim=(0, 1.02), ylim=(0, 1.02))
    if not report.reliability:
        _say_nothing(axes)
        return
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    confidence = [one.confidence for one in report.reliability]
    accuracy = [one.accuracy for one in report.reliability]
    label = f"ECE {report.expected_calibration_error:.3f}, Brier {report.brier:.3f}"
    axes.plot(confidence, accuracy, "o-", color=_BLUE, markersize=4, linewidth=1, label=label)
    axes.legend(fontsize="small", loc="upper left")


def _say_nothing(axes: Any) -> None:
    axes.text(0.5, 0.5, "nothing is served", transform=axes.transAxes, ha="center", color="0.4")


def _percent(value: float, _: int) -> str:
    return f"{value:.0%}"


def _top(report: pb.GetRiskCoverageResponse) -> float:
    return max(_alphas(report), default=0.1) * _MARGIN


def _alphas(report: pb.GetRiskCoverageResponse) -> list[float]:
    return sorted({row.guarantee.alpha for row in report.rows})


def _served(rows: Sequence[pb.RiskCoverageRow]) -> list[pb.RiskCoverageRow]:
    return [row for row in rows if row.guarantee.calibration_served]


def _column(report: pb.GetRiskCoverageResponse, name: str) -> FloatArray:
    return np.array([getattr(point, name) for point in report.points], dtype=np.float64)
