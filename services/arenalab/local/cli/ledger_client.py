"""What the `arenalab ledger` commands share: how they reach the ledger, and name an entry."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arenalab.api.common.v1 import scope_pb2
from arenalab.api.ledger.v1 import ledger_service_pb2 as pb
from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as pb_grpc
from arenalab.local.cli.console import out
from arenalab.local.home import Home
from arenalab.local.session import mesh_for
from arenalab.mesh import Telemetry, connect, scope_for
from arenalab.proof import Receipt, ReceiptError, receipt_from_json

if TYPE_CHECKING:
    LedgerStub = pb_grpc.LedgerServiceAsyncStub

ScopeOption = Annotated[str, typer.Option("--scope", help="Whose entries: the tenant.")]
LogOption = Annotated[
    str, typer.Option("--log", help="Origin of the log; by default the one that takes entries.")
]
LinesOption = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]
EntryArgument = Annotated[
    str, typer.Argument(metavar="ID|INDEX", help="Entry id (prediction id) or leaf index.")
]
DEFAULT_SCOPE = "default"


@asynccontextmanager
async def ledger_of(home: Home) -> "AsyncGenerator[LedgerStub]":
    """Yields the ledger of the mesh that a home means."""
    async with (
        mesh_for(home) as running,
        connect(running.addresses["ledger"], Telemetry("cli")) as channel,
    ):
        yield pb_grpc.LedgerServiceStub(channel)


def key_of(entry: str) -> dict[str, Any]:
    """Returns the fields of a request that name an entry: digits alone are a leaf index."""
    if entry.isascii() and entry.isdigit() and len(entry) <= len(str(2**63)):
        return {"leaf_index": int(entry)}
    return {"entry_id": entry}


def get_request(entry: str, scope: str, log: str) -> pb.GetRequest:
    """Returns the request for an entry with its content."""
    return pb.GetRequest(scope=scope_for(scope), log=log, **key_of(entry))


def receipt_request(entry: str, scope: str, log: str) -> pb.GetReceiptRequest:
    """Returns the request for the receipt of an entry."""
    return pb.GetReceiptRequest(scope=scope_for(scope), log=log, **key_of(entry))


def read_receipt(path: Path) -> Receipt:
    """Returns the receipt in a file, which may be a whole completion.

    Raises:
        ReceiptError: There is none in it.
    """
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise ReceiptError(f"{path} is not JSON: {error}") from error
    for key in ("arenalab", "receipt"):
        if isinstance(value, dict) and key in value:
            value = value[key]
    return receipt_from_json(value)


def scope_of(name: str) -> scope_pb2.Scope:
    """Returns the scope of a tenant's name."""
    return scope_for(name)


def entry_form(entry: pb.LeafEntry, log: str = "") -> dict[str, Any]:
    """Returns a leaf in a list as JSON."""
    form = {"leaf_index": entry.leaf_index, "leaf": json.loads(entry.leaf)}
    return form | {"log": log} if log else form


def show_entry(entry: pb.LeafEntry, *, as_json: bool, log: str = "") -> None:
    """Prints one leaf of a list, on one line."""
    form = entry_form(entry, log)
    if as_json:
        typer.echo(json.dumps(form, ensure_ascii=False))
    else:
        out.print(summary(entry.leaf_index, form["leaf"]), markup=False)


def summary(index: int, leaf: Mapping[str, Any]) -> str:
    """Returns a leaf in one line, for people."""
    facts = leaf["facts"]
    told = [f"{name} {facts[name]}" for name in ("route", "verdict", "dataset") if facts.get(name)]
    if facts.get("confidence"):
        told.append(f"confidence {facts['confidence']:.3f}")
    if leaf["evidence_ids"]:
        told.append(f"{len(leaf['evidence_ids'])} spans")
    if leaf["parent_id"]:
        told.append(f"of {leaf['parent_id']}")
    if facts.get("superseded_span"):
        told.append(f"span {facts['superseded_span']} is wrong: {facts.get('reason', '')}")
    head = f"{index:>8}  {leaf['time'][:19]}Z  {leaf['kind']:<11}  {leaf['entry_id']}"
    return f"{head}  {', '.join(told)}".rstrip()
