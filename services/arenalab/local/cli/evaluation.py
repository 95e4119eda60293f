"""`arenalab eval`: coverage and risk on labelled questions that memory has not seen."""

import time
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import typer

from arenalab.local.cli.console import JsonOption, command, err, out
from arenalab.local.evaluation import Report, evaluate_clinc150
from arenalab.local.home import Home

DEFAULT_SEED: Final = 0


class Benchmark(StrEnum):
    """What `arenalab eval` knows."""

    CLINC150 = "clinc150"


@command
async def evaluate(
    benchmark: Annotated[Benchmark, typer.Argument(help="What to ask.")],
    *,
    alpha: Annotated[float, typer.Option(help="Tolerated risk of served answers.")] = 0.05,
    delta: Annotated[float, typer.Option(help="Tolerated failure of the bound.")] = 0.05,
    seed: Annotated[int, typer.Option(help="Of the split into calibration and test.")] = (
        DEFAULT_SEED
    ),
    data: Annotated[
        Path, typer.Option(envvar="ARENALAB_DATA", help="Where the data sets lie.")
    ] = Path("../shared/data"),
    as_json: JsonOption = False,
) -> None:
    """Publish a public data set in a home of its own, ask its test questions, report.

    CLINC150: the dataset is the 15,000 training questions; traffic is the 4,500 test and
    1,000 out-of-scope questions. 1,800 of them, drawn at random, choose the threshold;
    the others are asked through the mesh.
    """
    del benchmark  # one so far
    started_s = time.perf_counter()
    with TemporaryDirectory(prefix="arenalab-eval-") as folder:
        home, _ = Home.create(Path(folder))
        report = await evaluate_clinc150(
            home, data / "clinc150", alpha=alpha, delta=delta, seed=seed, say=err.print
        )
    if as_json:
        out.print_json(data=report.as_json())
        return
    _show(report, time.perf_counter() - started_s)


def _show(report: Report, seconds: float) -> None:
    out.print(f"[bold]CLINC150[/bold], {report.n:,} questions asked through the mesh")
    out.print(f"coverage  {report.coverage:.1%} of all questions answered from memory")
    verdict = "holds" if report.risk <= report.alpha else "does NOT hold"
    out.print(
        f"risk      {report.risk:.2%} of the {report.served:,} served answers are wrong "
        f"({report.errors}); the bound of {report.alpha:.0%} [bold]{verdict}[/bold]"
    )
    out.print(
        f"          with confidence {1 - report.delta:.0%} over the draw of "
        f"{report.calibration_n:,} calibration questions (seed {report.seed})"
    )
    for name, count in sorted(report.abstained.items(), key=lambda item: -item[1]):
        out.print(f"abstained {count:>6,}  {name}")
    out.print(f"time      {seconds:.0f} s")
