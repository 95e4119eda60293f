"""`arenalab eval`: coverage and risk on labelled questions that memory has not seen."""

import time
from collections import Counter
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import typer
from rich.table import Table

from arenalab.local.cli.console import JsonOption, command, err, out
from arenalab.local.evaluation import Report, evaluate_clinc150
from arenalab.local.home import Home

DEFAULT_SPLITS: Final = 5


class Benchmark(StrEnum):
    """What `arenalab eval` knows."""

    CLINC150 = "clinc150"


@command
async def evaluate(
    benchmark: Annotated[Benchmark, typer.Argument(help="What to ask.")],
    *,
    alpha: Annotated[float, typer.Option(help="Tolerated risk of served answers.")] = 0.05,
    delta: Annotated[float, typer.Option(help="Tolerated failure of the bound.")] = 0.05,
    splits: Annotated[
        int, typer.Option(min=1, help="Random splits, seeded 0, 1, …: one draw may be lucky.")
    ] = DEFAULT_SPLITS,
    data: Annotated[
        Path, typer.Option(envvar="ARENALAB_DATA", help="Where the data sets lie.")
    ] = Path("../shared/data"),
    as_json: JsonOption = False,
) -> None:
    """Publish a public data set in a home of its own, ask its test questions, report.

    CLINC150: the dataset is the 15,000 training questions; traffic is the 4,500 test and
    1,000 out-of-scope questions. 1,800 of them, drawn at random, choose the threshold;
    the others are asked through the mesh. The bound speaks of most draws, not of each:
    hence several, and the number of those above alpha.
    """
    del benchmark  # one so far
    started_s = time.perf_counter()
    with TemporaryDirectory(prefix="arenalab-eval-") as folder:
        home, _ = Home.create(Path(folder))
        report = await evaluate_clinc150(
            home, data / "clinc150", alpha=alpha, delta=delta, seeds=range(splits), say=err.print
        )
    if as_json:
        out.print_json(data=report.as_json())
        return
    _show(report, time.perf_counter() - started_s)


def _show(report: Report, seconds: float) -> None:
    table = Table("split", "asked", "coverage", "risk", "wrong", "threshold")
    for split in report.splits:
        table.add_row(
            str(split.seed),
            f"{split.n:,}",
            f"{split.coverage:.1%}",
            f"{split.risk:.2%}",
            f"{split.errors} of {split.served:,}",
            "none" if split.threshold is None else f"{split.threshold:.3f}",
        )
    out.print(table)
    verdict = "within" if report.risk <= report.alpha else "ABOVE"
    out.print(
        f"CLINC150: coverage {report.coverage:.1%}, risk {report.risk:.2%} over all splits, "
        f"{verdict} alpha = {report.alpha:.0%}"
    )
    out.print(
        f"{report.above_alpha} of {len(report.splits)} splits measured above alpha; the bound "
        f"allows {report.delta:.0%} of draws, and each measurement has noise of its own"
    )
    reasons: Counter[str] = Counter()
    for split in report.splits:
        reasons.update(split.abstained)
    for name, count in reasons.most_common():
        out.print(f"abstained {count:>6,}  {name}")
    out.print(f"{report.calibration_n:,} calibration questions a split; {seconds:.0f} s")
