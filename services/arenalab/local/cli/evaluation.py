"""`arenalab eval`: coverage and risk on labelled questions that memory has not seen."""

import time
from collections import Counter
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.progress import Progress, TaskID
from rich.table import Table

from arenalab.local.cli.console import JsonOption, command, err, out
from arenalab.local.home import Home
from arenalab.mesh import InvalidInputError

if TYPE_CHECKING:
    from arenalab.local.evaluation.harness import Options
    from arenalab.local.evaluation.mesh import Report
    from arenalab.local.evaluation.results import Results
    from arenalab.local.evaluation.task import Task

DEFAULT_RESPLITS: Final = 100
# Through the mesh every split asks 3,700 questions again.
DEFAULT_MESH_SPLITS: Final = 5
DEFAULT_MESH_ALPHA: Final = 0.05


class Format(StrEnum):
    """What a file of one's own may look like."""

    QA_INTENT_CSV = "qa-intent-csv"


@command
async def evaluate(
    suite: Annotated[
        str | None,
        typer.Argument(
            help="clinc150, stackfaq, deepset_covid_faq, nq_open, webquestions, truthfulqa or "
            "mmlu; with --format, any name for the results."
        ),
    ] = None,
    *,
    data: Annotated[
        Path,
        typer.Option(
            envvar="ARENALAB_DATA", help="Where the data sets lie; with --format, a file."
        ),
    ] = Path("../shared/data"),
    file_format: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="Read --data as a file: CSV with columns text and label (oos: out of scope), "
            "and optionally split (train, test).",
        ),
    ] = None,
    alpha: Annotated[
        list[float] | None,
        typer.Option(
            help="Tolerated risk of served answers; may be repeated. By default 1, 2, 5 and 10 %."
        ),
    ] = None,
    delta: Annotated[float, typer.Option(help="Tolerated failure of the bound.")] = 0.05,
    resplits: Annotated[
        int | None,
        typer.Option(
            min=1, help="Random splits: one draw may be lucky. By default 100; 5 with --mesh."
        ),
    ] = None,
    calibration: Annotated[
        int | None,
        typer.Option(
            min=1, help="Questions that choose the threshold. By default 1,800, at most half."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of every random choice.")] = 0,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Measure what each feature is worth.")
    ] = False,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Write results.json, report.md and plots there.")
    ] = None,
    mesh: Annotated[
        bool,
        typer.Option("--mesh", help="clinc150 only: publish it, and ask through all services."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure coverage, risk and confidence on labelled questions, beside simpler rankings.

    Memory holds one part of the suite; the other questions are scored once, in this process. Then
    random splits of them choose a threshold on one part and measure it on the rest: the bound
    speaks of most draws, not of each. The same seed gives the same figures.
    """
    alphas = _checked(alpha, delta)
    if mesh:
        _check_mesh(suite, file_format)
        await _through_mesh(data, alphas, delta, resplits, as_json=as_json)
        return
    from arenalab.local.evaluation.harness import ALPHAS, Options

    options = Options(
        alphas=alphas or ALPHAS,
        delta=delta,
        resplits=resplits or DEFAULT_RESPLITS,
        calibration=calibration,
        seed=seed,
        ablate=ablate,
    )
    results = _run(suite, data, file_format, options)
    if folder is not None:
        _write(results, folder)
    if as_json:
        out.print_json(data=results.as_json())
        return
    from arenalab.local.evaluation.terminal import show

    show(results, out)


def _checked(alphas: list[float] | None, delta: float) -> list[float]:
    for name, values in (("alpha", alphas or []), ("delta", [delta])):
        for value in values:
            if not 0.0 < value < 1.0:
                raise InvalidInputError(f"{name} must lie between 0 and 1, got {value}", field=name)
    return sorted(set(alphas or []))


def _run(
    suite: str | None, data: Path, file_format: Format | None, options: "Options"
) -> "Results":
    """Returns the results of a suite or a file, with the progress on standard error."""
    from arenalab.local.evaluation.harness import evaluate as evaluate_task
    from arenalab.local.evaluation.harness import evaluate_choices
    from arenalab.local.evaluation.own import contrast_generator
    from arenalab.local.evaluation.suites.choices import ChoiceTask
    from arenalab.local.evaluation.suites.csv_file import load_csv
    from arenalab.local.evaluation.suites.registry import load_suite
    from arenalab.search.embedder.factory import open_embedder

    if file_format is None and data.is_file():
        raise InvalidInputError(
            f"--data is a file: say how to read it, --format {Format.QA_INTENT_CSV}", field="format"
        )
    if file_format is not None:
        task: Task | ChoiceTask = load_csv(data, suite or data.stem, options.seed)
    else:
        task = load_suite(suite or "", data, options.seed)
    embedder = open_embedder()
    try:
        with Progress(console=err, transient=True) as bars:
            progress = _Bars(bars)
            if isinstance(task, ChoiceTask):
                return evaluate_choices(task, embedder, options, progress)
            return evaluate_task(task, embedder, options, progress, contrast_generator())
    finally:
        embedder.close()


class _Bars:
    """One bar for each thing that is being done."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._tasks[what], completed=done, total=total)


def _write(results: "Results", folder: Path) -> None:
    from arenalab.local.charts import NO_PICTURES, has_matplotlib
    from arenalab.local.evaluation.report import write_report

    for file in write_report(results, folder):
        err.print(f"wrote {file}", markup=False)
    if not has_matplotlib():
        err.print(NO_PICTURES, markup=False)


def _check_mesh(suite: str | None, file_format: Format | None) -> None:
    if suite != "clinc150" or file_format is not None:
        raise InvalidInputError("--mesh evaluates clinc150 only", field="suite")


async def _through_mesh(
    data: Path, alphas: list[float], delta: float, splits: int | None, *, as_json: bool
) -> None:
    from arenalab.local.evaluation.mesh import evaluate_clinc150

    if len(alphas) > 1:
        raise InvalidInputError("--mesh takes one alpha", field="alpha")
    started_s = time.perf_counter()
    with TemporaryDirectory(prefix="arenalab-eval-") as folder:
        home, _ = Home.create(Path(folder))
        report = await evaluate_clinc150(
            home,
            data / "clinc150",
            alpha=alphas[0] if alphas else DEFAULT_MESH_ALPHA,
            delta=delta,
            seeds=range(splits or DEFAULT_MESH_SPLITS),
            say=err.print,
        )
    if as_json:
        out.print_json(data=report.as_json())
        return
    _show(report, time.perf_counter() - started_s)


def _show(report: "Report", seconds: float) -> None:
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
