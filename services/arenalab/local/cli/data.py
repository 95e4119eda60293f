"""`arenalab init`, `ingest` and `publish`: from files to a served dataset."""

import json
import os
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer
from google.protobuf import json_format
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.curator.v1 import curator_service_pb2 as pb
from arenalab.api.curator.v1 import curator_service_pb2_grpc as pb_grpc
from arenalab.local.cli.console import HomeOption, JsonOption, command, err, home_from, out
from arenalab.local.configs import Settings
from arenalab.local.home import HIDDEN, Home, remember_home
from arenalab.local.session import mesh_for
from arenalab.mesh import InvalidInputError, Telemetry, connect

CHUNK_BYTES: Final = 256 * 1024
# Millions of spans take their time; what is running is shown.
INGEST_TIMEOUT_S: Final = 4 * 3600.0
PUBLISH_TIMEOUT_S: Final = 4 * 3600.0


class Format(StrEnum):
    """Formats of `arenalab ingest`."""

    SPANS = "spans"
    QA_CSV = "qa-csv"
    CLINC150 = "clinc150"
    STACKFAQ = "stackfaq"


_FORMATS: Final[Mapping[Format, pb.IngestFormat.ValueType]] = {
    Format.SPANS: pb.INGEST_FORMAT_SPANS,
    Format.QA_CSV: pb.INGEST_FORMAT_QA_CSV,
    Format.CLINC150: pb.INGEST_FORMAT_CLINC150,
    Format.STACKFAQ: pb.INGEST_FORMAT_STACKFAQ,
}


@command
async def init(
    directory: Annotated[Path, typer.Argument(help="Where to make it.")] = Path(HIDDEN),
) -> None:
    """Make a home for data, keys and settings. Keeps what is there."""
    home, api_key = Home.create(directory)
    remember_home(home, os.environ)
    out.print(f"home      {home.path}")
    out.print(f"settings  {home.settings_path}")
    if api_key:
        out.print(f"API key   [bold]{api_key}[/bold]   (shown once; needed beyond loopback)")
    else:
        out.print("The keys that were there are kept.")


@command
async def ingest(
    file: Annotated[Path, typer.Argument(help="The file to read.", exists=True, dir_okay=False)],
    fmt: Annotated[Format, typer.Option("--format", help="What the file holds.")],
    dataset: Annotated[
        str | None, typer.Option(help="The dataset's name; by default from the file's name.")
    ] = None,
    domains: Annotated[
        Path | None,
        typer.Option(help="clinc150: JSON {domain: [intent, …]}; by default beside the file."),
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="clinc150: a split to read; by default train.")
    ] = None,
    *,
    replace: Annotated[bool, typer.Option(help="Drop what was ingested before.")] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Read a file into a dataset's working set. Bad rows go to a reject file."""
    name = dataset or default_name(file, fmt)
    header = pb.IngestHeader(
        dataset=name,
        format=_FORMATS[fmt],
        file_name=file.name,
        size_bytes=file.stat().st_size,
        splits=split or [],
        domains=read_domains(file, domains) if fmt is Format.CLINC150 else {},
        replace=replace,
    )
    header.file_time.FromDatetime(datetime.fromtimestamp(file.stat().st_mtime, UTC))
    async with mesh_for(home_from(home)) as mesh:
        result = await run_ingest(mesh.addresses["curator"], header, file, quiet=as_json)
    # Nothing but bad rows is a failure, though each has been kept and reported.
    failed = result.rejected > 0 and not result.accepted
    if as_json:
        out.print_json(data=_counts(result) | {"dataset": name})
        raise typer.Exit(int(failed))
    out.print(
        f"[bold]{name}[/bold]: {result.accepted:,} of {result.rows:,} rows accepted "
        f"({result.duplicates:,} there already), {result.rejected:,} rejected, "
        f"{result.skipped:,} skipped; {result.total_spans:,} spans in the working set"
    )
    if result.reject_file:
        out.print(f"rejected rows are in {result.reject_file}")
    if failed:
        raise typer.Exit(1)
    out.print(f"next: arenalab publish {name}")


def default_name(file: Path, fmt: Format) -> str:
    """Returns the dataset name for a file: its format's, or the file's stem as a token."""
    if fmt in (Format.CLINC150, Format.STACKFAQ):
        return fmt.value
    kept = (c if c.isascii() and c.isalnum() else "-" for c in file.stem.lower())
    return "".join(kept).strip("-")[:64] or "dataset"


def read_domains(file: Path, given: Path | None) -> dict[str, str]:
    """Returns the domain of each intent, turned round from {domain: [intent, …]}.

    Raises:
        InvalidInputError: The file is not such an object.
    """
    path = given or file.parent / "domains.json"
    if given is None and not path.exists():
        return {}
    try:
        domains = json.loads(path.read_text())
        return {intent: domain for domain, intents in domains.items() for intent in intents}
    except (ValueError, AttributeError, TypeError) as error:
        raise InvalidInputError(f"{path} is not {{domain: [intent, …]}}: {error}") from error


async def run_ingest(
    curator: str, header: pb.IngestHeader, file: Path, *, quiet: bool
) -> pb.IngestResult:
    """Sends a file to the curator and shows how far it is; returns the counts."""
    result = pb.IngestResult()
    async with connect(curator, Telemetry("cli")) as channel:
        with _progress(quiet=quiet) as progress:
            task = progress.add_task("ingest", total=header.size_bytes or None)
            responses = pb_grpc.CuratorServiceStub(channel).Ingest(
                _parts(header, file), timeout=INGEST_TIMEOUT_S
            )
            async for response in responses:
                if response.HasField("progress"):
                    progress.update(task, completed=response.progress.read_bytes)
                elif response.HasField("reject"):
                    reject = response.reject
                    err.print(f"line {reject.line}: {reject.reason}", markup=False)
                else:
                    result = response.result
                    progress.update(task, completed=header.size_bytes)
    return result


async def _parts(header: pb.IngestHeader, file: Path) -> AsyncIterator[pb.IngestRequest]:
    yield pb.IngestRequest(header=header)
    with file.open("rb") as data:
        while chunk := data.read(CHUNK_BYTES):
            yield pb.IngestRequest(chunk=chunk)


class ContextWeights(StrEnum):
    """Where the weights of the context similarity come from."""

    AUTO = "auto"
    FIXED = "fixed"
    LEARNED = "learned"


_WEIGHTINGS: Final = {
    ContextWeights.AUTO: answer_pb2.CONTEXT_WEIGHTING_UNSPECIFIED,
    ContextWeights.FIXED: answer_pb2.CONTEXT_WEIGHTING_FIXED,
    ContextWeights.LEARNED: answer_pb2.CONTEXT_WEIGHTING_LEARNED,
}


@command
async def publish(
    name: Annotated[str, typer.Argument(help="The dataset to publish.")],
    *,
    min_quality: Annotated[float, typer.Option(help="Leave out spans that score less.")] = 60.0,
    force: Annotated[
        bool,
        typer.Option(help="Publish even if too many changed questions are answered as before."),
    ] = False,
    context_weights: Annotated[
        ContextWeights, typer.Option(help="auto: learned ones where they prove better.")
    ] = ContextWeights.AUTO,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Measure, build and sign a version of a dataset, and serve it."""
    found = home_from(home)
    settings = Settings.of(found)
    request = pb.PublishRequest(
        dataset=name,
        min_quality=min_quality,
        alpha=settings.alpha,
        delta=settings.delta,
        force=force,
        context_weighting=_WEIGHTINGS[context_weights],
    )
    async with mesh_for(found) as mesh:
        result = await run_publish(mesh.addresses["curator"], request, quiet=as_json)
    if as_json:
        out.print_json(data=_published(result))
    else:
        show_published(result)


async def run_publish(curator: str, request: pb.PublishRequest, *, quiet: bool) -> pb.PublishResult:
    """Publishes and shows how far it is; returns what the version is."""
    result = pb.PublishResult()
    tasks: dict[str, TaskID] = {}
    async with connect(curator, Telemetry("cli")) as channel:
        with _progress(quiet=quiet) as progress:
            responses = pb_grpc.CuratorServiceStub(channel).Publish(
                request, timeout=PUBLISH_TIMEOUT_S
            )
            async for response in responses:
                if response.HasField("result"):
                    result = response.result
                    continue
                stage = response.progress
                if stage.stage not in tasks:
                    tasks[stage.stage] = progress.add_task(stage.stage, total=stage.total or None)
                progress.update(tasks[stage.stage], completed=stage.done, total=stage.total or None)
    return result


def show_published(result: pb.PublishResult) -> None:
    """Prints what was published, for people."""
    out.print(
        f"[bold]{result.dataset}[/bold] version {result.dataset_version[:16]}… is served: "
        f"{result.spans:,} spans ({result.duplicates:,} duplicates and "
        f"{result.left_out:,} others left out)"
    )
    quality = result.quality
    table = Table("completeness", "provenance", "impact", "uniqueness", "coherence", "mean")
    table.add_row(
        *(
            f"{value:.0f}"
            for value in (
                quality.mean.completeness,
                quality.mean.provenance,
                quality.mean.impact,
                quality.mean.uniqueness,
                quality.mean.coherence,
                quality.mean.total,
            )
        )
    )
    out.print(table)
    out.print(
        f"quality: {quality.diamond:,} diamonds, {quality.needs_enrichment:,} need enrichment, "
        f"{quality.discarded:,} discarded"
    )
    out.print(describe_guarantee(result))
    out.print(describe_contrast(result.calibration))
    out.print(describe_weights(result.calibration.context_weights))


def describe_weights(weights: answer_pb2.ContextWeights) -> str:
    """Returns the weights of the context similarity, those in use first, in one sentence."""
    fixed = f"fixed {_factors(weights.fixed)}"
    if not weights.HasField("learned"):
        return f"context weights: {fixed}; too little to learn others from"
    learned = f"learned {_factors(weights.learned)}"
    first, then = (learned, fixed) if weights.uses_learned else (fixed, learned)
    return (
        f"context weights: {first}; not in use: {then} (AUC on {weights.questions:,} held-out "
        f"questions: fixed {weights.fixed_auc:.3f}, learned {weights.learned_auc:.3f})"
    )


def _factors(weights: answer_pb2.FactorWeights) -> str:
    names = ("domain", "emotion", "stakes", "actions", "semantic")
    return ", ".join(f"{name} {getattr(weights, name):.2f}" for name in names)


def describe_guarantee(result: pb.PublishResult) -> str:
    """Returns the guarantee of a publication in one sentence."""
    summary = result.calibration
    guarantee = summary.guarantee
    if not guarantee.HasField("threshold"):
        return (
            f"guarantee: none can be given at risk {guarantee.alpha:.0%} from "
            f"{guarantee.calibration_size} held-out questions; memory abstains"
        )
    return (
        f"guarantee: of the answers from memory at most {guarantee.alpha:.0%} are wrong, with "
        f"confidence {1 - guarantee.delta:.0%} ({guarantee.calibration_errors} of "
        f"{guarantee.calibration_served} were, among {guarantee.calibration_size} questions "
        f"held out of the dataset); threshold {guarantee.threshold:.3f}, "
        f"coverage {summary.coverage:.0%}, ECE {summary.expected_calibration_error:.3f}"
    )


def describe_contrast(summary: answer_pb2.CalibrationSummary) -> str:
    """Returns how the version answers changed questions, in one sentence."""
    total = summary.contrast.total
    if not total.HasField("rate"):
        return "contrast: not measured, no question could be changed into one that differs"
    kinds = ", ".join(
        f"{one.kind} {one.false_accepts}/{one.pairs}" for one in summary.contrast.by_kind
    )
    served = "" if summary.guarantee.HasField("threshold") else "; memory answers nothing"
    return (
        f"contrast: of {total.pairs} questions changed on purpose {total.false_accepts} are "
        f"answered as before, {total.rate:.1%} (95 % interval {total.lower:.1%} to "
        f"{total.upper:.1%}): {kinds}{served}"
    )


def _contrast(summary: answer_pb2.CalibrationSummary) -> dict[str, object]:
    total = summary.contrast.total
    return {
        "pairs": total.pairs,
        "false_accepts": total.false_accepts,
        "rate": total.rate if total.HasField("rate") else None,
        "lower": total.lower,
        "upper": total.upper,
        "by_kind": {
            one.kind: {"pairs": one.pairs, "false_accepts": one.false_accepts}
            for one in summary.contrast.by_kind
        },
    }


def _published(result: pb.PublishResult) -> dict[str, object]:
    guarantee = result.calibration.guarantee
    return {
        "dataset": result.dataset,
        "dataset_version": result.dataset_version,
        "spans": result.spans,
        "duplicates": result.duplicates,
        "left_out": result.left_out,
        "quality": {
            "mean": result.quality.mean.total,
            "diamond": result.quality.diamond,
            "needs_enrichment": result.quality.needs_enrichment,
            "discarded": result.quality.discarded,
        },
        "threshold": guarantee.threshold if guarantee.HasField("threshold") else None,
        "coverage": result.calibration.coverage,
        "contrast": _contrast(result.calibration),
        "context_weights": json_format.MessageToDict(
            result.calibration.context_weights,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        ),
        "ledger_index": result.ledger_index,
    }


def _counts(result: pb.IngestResult) -> dict[str, object]:
    names = ("rows", "accepted", "duplicates", "rejected", "skipped", "reject_file", "total_spans")
    return {name: getattr(result, name) for name in names}


def _progress(*, quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description:>10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        disable=quiet,
    )
