import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.predictor.v1 import predictor_service_pb2 as pb
from arenalab.local.charts import Chart
from arenalab.local.cli.risk_picture import chart_lines


def _rows(chart: Chart) -> list[str]:
    """Returns the rows of a chart without axes and labels."""
    return [line.split("|", 1)[1] for line in list(chart.lines())[:-2]]


def test_points_lie_where_their_numbers_say() -> None:
    chart = Chart(0.1, width=10, height=10)
    chart.mark(0.05, 0.0, "a")
    chart.mark(1.0, 0.099, "b")
    chart.mark(0.45, 0.051, "c")
    rows = _rows(chart)
    assert rows[9] == "a" + " " * 9
    assert rows[0] == " " * 9 + "b"
    assert rows[4] == " " * 4 + "c" + " " * 5


@given(st.floats(0, 1), st.floats(-1, 2))
def test_what_lies_above_is_not_drawn(coverage: float, risk: float) -> None:
    chart = Chart(0.5, width=20, height=6)
    chart.mark(coverage, risk, "x")
    drawn = "".join(_rows(chart)).count("x")
    assert drawn == (1 if 0 <= risk < 0.5 else 0)


def test_a_curve_has_no_gaps_between_its_points_and_none_beyond() -> None:
    chart = Chart(1.0, width=40, height=8)
    chart.curve(np.array([0.25, 0.9]), np.array([0.1, 0.6]), "*")
    columns = {at for row in _rows(chart) for at, sign in enumerate(row) if sign == "*"}
    assert columns == set(range(10, 37))
    empty = Chart(1.0)
    empty.curve(np.zeros(0), np.zeros(0), "*")
    assert "*" not in "".join(_rows(empty))


def test_a_level_is_named_beside_the_chart() -> None:
    chart = Chart(0.2, width=30)
    chart.level(0.05, "alpha 5%")
    [line] = [line for line in chart.lines() if "alpha 5%" in line]
    assert "-" * 30 in line


def report_of(*coverages: float) -> pb.GetRiskCoverageResponse:
    """Returns a report with one served row at each coverage, of either kind in turn."""
    report = pb.GetRiskCoverageResponse(dataset="help", dataset_version="0" * 64)
    for n, coverage in enumerate(coverages):
        served = round(1_000 * coverage)
        bound = answer_pb2.Guarantee(
            alpha=0.05,
            kind=n % 2 + 1,  # type: ignore[arg-type]
            calibration_served=served,
            calibration_errors=served // 50,
            threshold=0.5,
        )
        report.rows.add(coverage=coverage, guarantee=bound)
        report.points.add(coverage=coverage, risk=0.02, lower=0.01, upper=0.03)
        report.reliability.add(size=10, confidence=0.9, accuracy=0.8)
    return report


def test_the_thresholds_of_both_kinds_are_marked_on_the_curve() -> None:
    drawn = "\n".join(list(chart_lines(report_of(0.3, 0.6)))[1:])
    assert (drawn.count("H"), drawn.count("E")) == (1, 1)
    assert "alpha 5%" in drawn


@pytest.mark.parametrize("coverages", [(0.3, 0.6), ()])
def test_the_picture_is_drawn_where_matplotlib_is(
    tmp_path_factory: pytest.TempPathFactory, coverages: tuple[float, ...]
) -> None:
    pytest.importorskip("matplotlib", reason="source: pip install 'arenalab[eval]'")
    from arenalab.local.cli.risk_picture import draw_picture

    folder = tmp_path_factory.mktemp("picture")
    first = draw_picture(report_of(*coverages), folder / "a.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert draw_picture(report_of(*coverages), folder / "b.png").read_bytes() == first
