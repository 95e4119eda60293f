"""`arenalab spans …`: the spans that are served, changed while they are."""

from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from google.protobuf import json_format
from rich.table import Table

from arenalab.api.common.v1 import plan_pb2
from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc
from arenalab.atomic import from_proto
from arenalab.atomic.json_form import to_json
from arenalab.local.cli.console import HomeOption, JsonOption, command, home_from, out
from arenalab.local.cli.ledger_spans import say_affected, supersede_spans
from arenalab.local.home import Home
from arenalab.local.session import mesh_for
from arenalab.mesh import MeshError, Telemetry, connect

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

app = typer.Typer(no_args_is_help=True)

Ids = Annotated[list[str], typer.Argument(help="Span ids.")]
Reason = Annotated[
    str, typer.Option(help="Why they are wrong; sealed in the ledger, so it must hold no content.")
]
Dataset = Annotated[str, typer.Option(help="The dataset that holds them.")]


@app.callback()
def group() -> None:
    """The spans that are served."""


@app.command("show")
@command
async def show(
    ids: Ids,
    *,
    dataset: Annotated[str, typer.Option(help="By default the one published last.")] = "",
    home: HomeOption = None,
) -> None:
    """Print spans as JSON, those in quarantine too."""
    async with _search(home_from(home)) as search:
        reply = await search.GetSpans(pb.GetSpansRequest(dataset=dataset, span_ids=ids))
    for span in reply.spans:
        out.print_json(data=to_json(from_proto(span)))


@app.command("delete")
@command
async def delete(
    ids: Ids,
    *,
    dataset: Dataset,
    reason: Reason = "deleted by an operator",
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Remove spans for good; a version that is published later brings its own back.

    The ledger seals that they are wrong.
    """
    found = home_from(home)
    async with _search(found) as search:
        there = await search.GetSpans(
            pb.GetSpansRequest(dataset=dataset, span_ids=ids, skip_missing=True)
        )
        reply = await search.DeleteSpans(pb.DeleteSpansRequest(dataset=dataset, span_ids=ids))
    wrong = [span.id for span in there.spans]
    replies = await _supersede(found, wrong, reason)
    _say(reply, f"{reply.deleted} deleted, {reply.missing} not there", replies, as_json=as_json)


@app.command("quarantine")
@command
async def quarantine(
    ids: Ids,
    *,
    dataset: Dataset,
    release: Annotated[bool, typer.Option(help="Show them again.")] = False,
    reason: Reason = "quarantined by an operator",
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Hide spans from every answer, from newly published versions too, until released.

    The ledger seals that they are wrong, and releasing them does not unsay it.
    """
    found = home_from(home)
    async with _search(found) as search:
        request = pb.QuarantineSpansRequest(dataset=dataset, span_ids=ids, release=release)
        reply = await search.QuarantineSpans(request)
    replies = {} if release else await _supersede(found, ids, reason)
    done = "released" if release else "hidden"
    _say(reply, f"{reply.changed} {done}", replies, as_json=as_json)


@app.command("weigh")
@command
async def weigh(
    ids: Ids,
    *,
    weight: Annotated[float, typer.Option(help="In [0, 10]; 1 is the default.")],
    dataset: Dataset,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Set how much spans count where a search ranks by weight."""
    async with _search(home_from(home)) as search:
        weights = [pb.SpanWeight(span_id=span_id, weight=weight) for span_id in ids]
        reply = await search.ReweightSpans(
            pb.ReweightSpansRequest(dataset=dataset, weights=weights)
        )
    _say(reply, f"{reply.changed} changed", as_json=as_json)


@command
async def index(
    dataset: Annotated[str, typer.Argument(help="By default the one published last.")] = "",
    *,
    write: Annotated[
        bool, typer.Option(help="Merge what was added and removed, and write it to disk first.")
    ] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show the indexes that a dataset is searched with, and what they take."""
    async with _search(home_from(home)) as search:
        if write:
            # Only one that is named can be written. Where nothing is published, this says so.
            latest = await search.Stats(pb.StatsRequest(dataset=dataset))
            await search.Snapshot(pb.SnapshotRequest(dataset=latest.collection.dataset))
        stats = await search.Stats(pb.StatsRequest(dataset=dataset))
    if as_json:
        wanted = ("collection", "segments", "costModel", "quarantined", "storeBytes")
        data = json_format.MessageToDict(stats)
        out.print_json(data={name: data[name] for name in wanted if name in data})
        return
    _show_segments(stats)


def _show_segments(stats: pb.StatsResponse) -> None:
    table = Table(title=f"{stats.collection.dataset}, {stats.collection.spans:,} spans served")
    table.add_column("engine")
    for name in ("spans", "removed", "memory", "a span", "on disk", "built in"):
        table.add_column(name, justify="right")
    for segment in stats.segments:
        engine = plan_pb2.Engine.Name(segment.engine).removeprefix("ENGINE_").lower()
        table.add_row(
            f"{engine} ({segment.library})",
            f"{segment.spans:,}",
            f"{segment.removed:,}",
            f"{segment.memory_bytes / 1e6:,.1f} MB",
            f"{segment.memory_bytes / max(1, segment.spans):,.0f} B",
            f"{segment.disk_bytes / 1e6:,.1f} MB",
            f"{segment.build_seconds:,.1f} s",
        )
    out.print(table)
    out.print(
        f"{stats.quarantined:,} in quarantine; span store {stats.store_bytes / 1e6:,.1f} MB on disk"
    )


async def _supersede(
    home: Home, span_ids: Sequence[str], reason: str
) -> Mapping[str, ledger_pb.SupersedeSpanResponse]:
    """Seals that spans are wrong, each once.

    Raises:
        MeshError: The change itself is done; the message says what is left to do.
    """
    ids = list(dict.fromkeys(span_ids))
    try:
        return dict(zip(ids, await supersede_spans(home, ids, reason), strict=True))
    except MeshError as error:
        raise type(error)(
            f"the spans are changed, but not sealed as wrong ({error});"
            " for each: arenalab ledger supersede --span ID --reason TEXT",
            error.reason,
        ) from error


def _say(
    reply: Any,
    sentence: str,
    superseded: Mapping[str, ledger_pb.SupersedeSpanResponse] | None = None,
    *,
    as_json: bool,
) -> None:
    superseded = superseded or {}
    if as_json:
        data = json_format.MessageToDict(reply, always_print_fields_with_no_presence=True)
        if superseded:
            data["affected"] = {span: one.affected for span, one in superseded.items()}
        out.print_json(data=data)
        return
    out.print(sentence)
    say_affected(list(superseded), list(superseded.values()))


@asynccontextmanager
async def _search(home: Home) -> "AsyncGenerator[pb_grpc.SearchServiceAsyncStub]":
    async with (
        mesh_for(home) as running,
        connect(running.addresses["search"], Telemetry("cli")) as channel,
    ):
        yield pb_grpc.SearchServiceStub(channel)
