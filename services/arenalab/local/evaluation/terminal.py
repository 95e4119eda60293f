"""The results on a terminal: tables, and the risk-coverage curve in characters."""

from collections.abc import Iterator
from typing import Final

from rich.console import Console
from rich.table import Column, Table

from arenalab.local.charts import Chart
from arenalab.local.evaluation.curves import risk_coverage
from arenalab.local.evaluation.report import (
    before_labels,
    beyond_delta,
    other_promises,
    percent,
    quality_cells,
)
from arenalab.local.evaluation.resampling import AlphaFigures
from arenalab.local.evaluation.results import FLATTERY, Results
from arenalab.predictor.guarantee import Kind

_TOP_RISK: Final = 0.12  # a little above the largest usual alpha


def show(results: Results, console: Console) -> None:
    """Prints everything but the categories, which are for the report."""
    console.print(
        f"{results.title}: {results.spans:,} spans, {results.questions:,} questions "
        f"({results.in_scope:,} in scope), {results.resplits} splits of {results.calibration:,} "
        f"to calibrate, seed {results.seed}"
    )
    console.print(_alphas(results))
    for sentence in [*beyond_delta(results), *other_promises(results)]:
        console.print(sentence, markup=False)
    console.print(_quality(results))
    if before := before_labels(results.own):
        console.print(before, markup=False)
    if "alphas" not in results.not_computed:
        for line in plot_lines(results):
            console.print(line, markup=False)
    if results.choices is not None:
        console.print(_choices(results))
        for row in results.choices.task.published:
            console.print(f"published: {row.system}, {row.figure}: {row.percent:g} %", markup=False)
        console.print(results.choices.verdict, markup=False)
        console.print(f"tier by the founding document's thresholds: {results.choices.tier}")
    for name, why in results.not_computed.items():
        console.print(f"not computed: {name}: {why}", markup=False)
    for note in results.notes:
        console.print(f"note: {note}", markup=False)
    tail = " This suite is one of them." if results.flattered else ""
    console.print(FLATTERY + tail, markup=False)


def _alphas(results: Results) -> Table:
    alphas = sorted({row.alpha for row in results.own.alphas})
    table = Table(
        *(Column("contender", no_wrap=True), Column("kind", no_wrap=True)),
        *(f"alpha {alpha:.3g}" for alpha in alphas),
        title="coverage (risk, splits with a risk above alpha)",
        title_justify="left",
    )
    for one in results.everyone:
        for kind in dict.fromkeys(row.kind for row in one.alphas):
            rows = [one.at(alpha, kind) for alpha in alphas]
            table.add_row(one.name, kind, *("" if row is None else _cell(row) for row in rows))
        if one is results.own:
            oracles = [one.at(alpha, Kind.HIGH_PROBABILITY) for alpha in alphas]
            table.add_row(
                one.name, "oracle", *(percent(row.oracle if row else None) for row in oracles)
            )
        table.add_section()
    return table


def _cell(row: AlphaFigures) -> str:
    if row.coverage is None:
        return "not computed"
    return f"{percent(row.coverage)} ({percent(row.risk, 2)}, {row.violations})"


def _quality(results: Results) -> Table:
    table = Table(
        *("contender", "right", "ECE", "Brier", "AUROC", "oos AUROC", "contrast"),
        title="confidence",
        title_justify="left",
    )
    for one in results.everyone:
        table.add_row(one.name, *quality_cells(one, intervals=False))
    return table


def _choices(results: Results) -> Table:
    table = Table("memory", "spans", "MC1", "by guessing", "MC2", "by guessing")
    choices = results.choices
    for one in [] if choices is None else [*choices.variants, choices.no_memory]:
        cells = []
        for rate in (one.mc1, one.mc2):
            cells += ["-", ""] if rate is None else [percent(rate.value), percent(rate.chance)]
        table.add_row(one.name, f"{one.spans:,}", *cells)
    return table


def plot_lines(results: Results) -> Iterator[str]:
    """Yields the risk-coverage curve of ArenaLab (*) with its bound (.), and of the cache (o)."""
    chart = Chart(_TOP_RISK)
    cache = next((one for one in results.baselines if one.name == "semantic_cache"), None)
    curve = risk_coverage(results.own.scored, results.delta)
    if cache is not None:
        other = risk_coverage(cache.scored, results.delta)
        chart.curve(other.coverage, other.risk, "o")
    chart.curve(curve.coverage, curve.upper, ".")
    chart.curve(curve.coverage, curve.risk, "*")
    others = "" if cache is None else f", o {cache.name}"
    yield f"risk by coverage: * {results.own.name}, . its bound{others}"
    yield from chart.lines()
