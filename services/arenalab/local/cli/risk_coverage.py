"""`arenalab risk-coverage`: what the served version promises at each tolerated risk."""

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Column, Table

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.predictor.v1 import predictor_service_pb2 as pb
from arenalab.api.predictor.v1 import predictor_service_pb2_grpc as pb_grpc
from arenalab.local.charts import NO_PICTURES, has_matplotlib
from arenalab.local.cli.console import HomeOption, JsonOption, command, err, home_from, out
from arenalab.local.cli.risk_picture import chart_lines, draw_picture
from arenalab.local.session import mesh_for
from arenalab.mesh import InvalidInputError, Telemetry, connect

_MICROS: Final = 1_000_000
_MAX_COST_USD: Final = 1_000.0  # as the contract's
_TIMEOUT_S: Final = 60.0


class KindName(StrEnum):
    """What a guarantee may promise."""

    HIGH_PROBABILITY = "high_probability"
    EXPECTATION = "expectation"


_KINDS: Final = {
    None: answer_pb2.GUARANTEE_KIND_UNSPECIFIED,
    KindName.HIGH_PROBABILITY: answer_pb2.GUARANTEE_KIND_HIGH_PROBABILITY,
    KindName.EXPECTATION: answer_pb2.GUARANTEE_KIND_EXPECTATION,
}


@command
async def risk_coverage(
    creature: Annotated[
        str, typer.Argument(help="By default the one of the dataset published last.")
    ] = "",
    *,
    alpha: Annotated[
        list[float] | None,
        typer.Option(help="Tolerated risk; may be repeated. By default 1, 2, 5 and 10 %."),
    ] = None,
    delta: Annotated[
        float | None, typer.Option(help="Tolerated failure of a bound; else the version's.")
    ] = None,
    kind: Annotated[KindName | None, typer.Option(help="One kind of guarantee only.")] = None,
    groups: Annotated[bool, typer.Option("--groups", help="Each domain by itself too.")] = False,
    cost: Annotated[
        float | None,
        typer.Option(
            "--fallback-cost",
            help="US dollars for one question that memory does not answer; else the service's "
            "setting, 0.003.",
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Write risk_coverage.json and risk_coverage.png there."),
    ] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show coverage, bound, savings and the labels that would buy more, by tolerated risk."""
    request = pb.GetRiskCoverageRequest(
        creature=creature,
        alphas=alpha or (),
        delta=delta or 0.0,
        guarantee_kind=_KINDS[kind],
        with_groups=groups,
        cost_per_fallback_usd_micros=_micros(cost),
    )
    async with (
        mesh_for(home_from(home)) as running,
        connect(running.addresses["predictor"], Telemetry("cli")) as channel,
    ):
        report = await pb_grpc.PredictorServiceStub(channel).GetRiskCoverage(
            request, timeout=_TIMEOUT_S
        )
    if folder is not None:
        _write(report, folder)
    if as_json:
        out.print_json(data=as_form(report))
        return
    _show(report)


def _micros(cost: float | None) -> int | None:
    if cost is None:
        return None
    if not 0 <= cost <= _MAX_COST_USD:  # NaN fails too
        raise InvalidInputError(
            f"fallback-cost must be in [0, {_MAX_COST_USD:g}] US dollars, got {cost:g}",
            field="fallback-cost",
        )
    return round(cost * _MICROS)


def as_form(report: pb.GetRiskCoverageResponse) -> dict[str, Any]:
    """Returns the one object that `--json` prints; None is "none"."""
    points = ("threshold", "coverage", "risk", "lower", "upper", "served", "errors")
    return {
        "creature": report.creature,
        "dataset": report.dataset,
        "dataset_version": report.dataset_version,
        "basis": _basis(report),
        "calibration_size": report.calibration_size,
        "cost_per_fallback_usd": report.cost_per_fallback_usd_micros / _MICROS,
        "rows": [_row_form(row) for row in report.rows],
        "groups": [{"group": row.guarantee.group, **_row_form(row)} for row in report.groups],
        "groups_left_out": report.groups_left_out,
        "points": [{name: getattr(point, name) for name in points} for point in report.points],
        "reliability": [
            {"size": one.size, "confidence": one.confidence, "accuracy": one.accuracy}
            for one in report.reliability
        ],
        "ece": report.expected_calibration_error,
        "brier": report.brier,
        "limits": list(report.limits),
    }


def _row_form(row: pb.RiskCoverageRow) -> dict[str, Any]:
    bound = row.guarantee
    return {
        "alpha": bound.alpha,
        "kind": _kind(bound),
        "delta": bound.delta,
        "status": _lower(answer_pb2.GuaranteeStatus.Name(bound.status), "GUARANTEE_STATUS_"),
        "threshold": bound.threshold if bound.HasField("threshold") else None,
        "coverage": row.coverage,
        "bound": bound.risk_upper_bound,
        "calibration_size": bound.calibration_size,
        "served": bound.calibration_served,
        "errors": bound.calibration_errors,
        "saved_usd_per_thousand": row.saved_usd_micros_per_thousand / _MICROS,
        "labels_for_five_points": _labels(row),
    }


def _show(report: pb.GetRiskCoverageResponse) -> None:
    version = report.dataset_version[:12]
    basis = _basis(report) or "no calibration"
    out.print(
        f"{report.creature}: dataset {report.dataset} {version}, "
        f"{report.calibration_size:,} calibration questions ({basis.replace('_', ' ')})",
        markup=False,
    )
    out.print(_table(report.rows))
    if report.points:
        for line in chart_lines(report):
            out.print(line, markup=False)
        out.print(
            f"confidence: ECE {report.expected_calibration_error:.3f}, Brier {report.brier:.3f}"
        )
    if report.groups:
        out.print(_group_table(report.groups))
    if report.groups_left_out:
        out.print(f"{report.groups_left_out:,} smaller domains are not shown")
    cost = report.cost_per_fallback_usd_micros / _MICROS
    out.print(f"saved: of 1,000 questions at ${cost:g} for each that memory does not answer")
    for limit in report.limits:
        out.print(f"- {limit}", markup=False)


def _table(rows: Sequence[pb.RiskCoverageRow]) -> Table:
    names = ("alpha", "kind", "coverage", "bound", "wrong", "from", "saved", "+5 points")
    table = Table(
        *(
            Column(name, justify="left" if name == "kind" else "right", no_wrap=True)
            for name in names
        ),
        # Lines would not leave room for the numbers on 80 columns.
        box=None,
        pad_edge=False,
    )
    for row in rows:
        table.add_row(*_cells(row))
    return table


def _group_table(rows: Sequence[pb.RiskCoverageRow]) -> Table:
    """Returns the coverage of each domain, a line for each kind and a column for each alpha."""
    alphas = sorted({row.guarantee.alpha for row in rows})
    table = Table(
        *("domain", "kind"),
        *(
            Column(name, justify="right", no_wrap=True)
            for name in ("questions", *(f"alpha {_percent(alpha)}" for alpha in alphas))
        ),
        title="coverage by domain, each under a bound of its own",
        title_justify="left",
    )
    for name in dict.fromkeys(row.guarantee.group for row in rows):
        own = [row for row in rows if row.guarantee.group == name]
        for kind in dict.fromkeys(_kind(row.guarantee) for row in own):
            of_kind = [row for row in own if _kind(row.guarantee) == kind]
            size = f"{of_kind[0].guarantee.calibration_size:,}"
            table.add_row(name, kind, size, *(_coverage(row) for row in of_kind))
        table.add_section()
    return table


def _coverage(row: pb.RiskCoverageRow) -> str:
    return f"{row.coverage:.1%}" if row.guarantee.HasField("threshold") else "void"


def _percent(alpha: float) -> str:
    return f"{100 * alpha:.3g}%"


def _cells(row: pb.RiskCoverageRow) -> tuple[str, ...]:
    bound = row.guarantee
    labels = _labels(row)
    more = "-" if labels is None else f"{labels:,} more"
    start = (_percent(bound.alpha), _kind(bound))
    if not bound.HasField("threshold"):
        return (
            *start,
            _coverage(row),
            "-",
            f"none of {bound.calibration_size:,}",
            "-",
            "$0.00",
            more,
        )
    return (
        *start,
        _coverage(row),
        f"{bound.risk_upper_bound:.2%}",
        f"{bound.calibration_errors:,} of {bound.calibration_served:,}",
        f"{bound.threshold:.3f}",
        f"${row.saved_usd_micros_per_thousand / _MICROS:,.2f}",
        more,
    )


def _write(report: pb.GetRiskCoverageResponse, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "risk_coverage.json"]
    files[0].write_text(json.dumps(as_form(report), indent=2, allow_nan=False) + "\n")
    if has_matplotlib():
        files.append(draw_picture(report, folder / "risk_coverage.png"))
    for file in files:
        err.print(f"wrote {file}", markup=False)
    if not has_matplotlib():
        err.print(NO_PICTURES, markup=False)


def _labels(row: pb.RiskCoverageRow) -> int | None:
    return row.labels_for_five_points if row.HasField("labels_for_five_points") else None


def _kind(bound: answer_pb2.Guarantee) -> str:
    return _lower(answer_pb2.GuaranteeKind.Name(bound.kind), "GUARANTEE_KIND_")


def _basis(report: pb.GetRiskCoverageResponse) -> str | None:
    name = _lower(answer_pb2.CalibrationBasis.Name(report.basis), "CALIBRATION_BASIS_")
    return None if name == "unspecified" else name


def _lower(constant: str, prefix: str) -> str:
    return constant.removeprefix(prefix).lower()
