"""`arenalab ledger checkpoint`, `logs` and `export`: whole logs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.table import Table

from arenalab.api.ledger.v1 import ledger_service_pb2 as pb
from arenalab.local.cli.console import HomeOption, JsonOption, command, home_from, out
from arenalab.local.cli.ledger_client import (
    DEFAULT_SCOPE,
    LogOption,
    ScopeOption,
    ledger_of,
    scope_of,
)
from arenalab.local.cli.ledger_entries import STREAM_TIMEOUT_S
from arenalab.local.keys import log_public_keys
from arenalab.local.mirror import Mirror
from arenalab.mesh import NotReadyError

if TYPE_CHECKING:
    from arenalab.local.cli.ledger_client import LedgerStub

WATCH_S: Final = 30 * 86_400.0


@command
async def checkpoint(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Print each newer one, too.")] = False,
    scope: ScopeOption = DEFAULT_SCOPE,
    log: LogOption = "",
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Print the newest signed checkpoint of a log. Exit code 1: the log is damaged."""
    async with ledger_of(home_from(home)) as ledger:
        if watch:
            await _watch(ledger, scope, log, as_json=as_json)
            return
        found = await ledger.GetCheckpoint(pb.GetCheckpointRequest(scope=scope_of(scope), log=log))
    if as_json:
        out.print_json(data=_form(found))
    else:
        out.print(found.checkpoint or "the log is empty", markup=False, end="")
        for key in found.public_keys:
            out.print(f"key {key}", markup=False)
        if found.damage:
            out.print(f"DAMAGED: {found.damage}", markup=False)
    if found.damage:
        raise typer.Exit(1)


async def _watch(ledger: "LedgerStub", scope: str, log: str, *, as_json: bool) -> None:
    request = pb.WatchCheckpointsRequest(scope=scope_of(scope), log=log)
    async for one in ledger.WatchCheckpoints(request, timeout=WATCH_S):
        form = {"tree_size": one.tree_size, "checkpoint": one.checkpoint}
        typer.echo(json.dumps(form, ensure_ascii=False) if as_json else one.checkpoint)


@command
async def logs(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """List the logs that the ledger keeps, oldest period first."""
    async with ledger_of(home_from(home)) as ledger:
        found = await ledger.ListLogs(pb.ListLogsRequest())
    if as_json:
        forms = [
            {
                "log": one.log,
                "is_open": one.is_open,
                "tree_size": one.tree_size,
                "public_keys": list(one.public_keys),
            }
            for one in found.logs
        ]
        out.print_json(data={"logs": forms})
        return
    table = Table("log", "entries", "takes entries", "key")
    for one in found.logs:
        keys = "\n".join(one.public_keys)
        table.add_row(one.log, f"{one.tree_size:,}", "yes" if one.is_open else "no", keys)
    out.print(table)


@command
async def export(
    directory: Annotated[Path, typer.Argument(help="Where to; made if it is not there.")],
    *,
    scope: ScopeOption = DEFAULT_SCOPE,
    log: LogOption = "",
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Write a log as static files (C2SP tlog-tiles), of which any web server can prove entries.

    A directory that holds an older export is brought up to date.
    """
    found = home_from(home)
    async with ledger_of(found) as ledger:
        newest = await ledger.GetCheckpoint(pb.GetCheckpointRequest(scope=scope_of(scope), log=log))
        if not newest.checkpoint:
            raise NotReadyError("the log is empty: there is nothing to export")
        mirror = Mirror.open(directory, _trusted(found_keys=log_public_keys(found), told=newest))
        before = mirror.size
        request = pb.ExportRequest(scope=scope_of(scope), log=log, first_size=before)
        async for file in ledger.Export(request, timeout=STREAM_TIMEOUT_S):
            mirror.take(file.path, file.data)
        path: list[bytes] = []
        if 0 < before < mirror.new_size:
            proof = await ledger.GetConsistency(
                pb.GetConsistencyRequest(
                    scope=scope_of(scope), log=log, first_size=before, second_size=mirror.new_size
                )
            )
            path = list(proof.path)
    files = mirror.finish(path)
    form = {"tree_size": mirror.size, "entries": mirror.size - before, "files": files}
    if as_json:
        out.print_json(data=form)
        return
    out.print(
        f"{mirror.size:,} entries, {form['entries']:,} of them new; {files:,} files written to"
        f" {directory}",
        markup=False,
    )


def _trusted(*, found_keys: list[str], told: pb.GetCheckpointResponse) -> list[str]:
    """Returns the keys to check an export with: the home's; the ledger's own for its other logs.

    A log of a shard has a key of its own, that lies with the ledger alone.
    """
    name = told.log_public_key.split("+")[0]
    return [key for key in found_keys if key.split("+")[0] == name] or list(told.public_keys)


def _form(found: pb.GetCheckpointResponse) -> dict[str, Any]:
    return {
        "checkpoint": found.checkpoint,
        "tree_size": found.tree_size,
        "log_public_key": found.log_public_key,
        "public_keys": list(found.public_keys),
        "segment_bytes": found.segment_bytes,
        "cosigned_checkpoint": found.cosigned_checkpoint or None,
        "damage": found.damage or None,
    }
