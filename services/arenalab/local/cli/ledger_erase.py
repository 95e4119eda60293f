"""`arenalab ledger erase`: what one subject said and was told, erased everywhere."""

from typing import Annotated, Any

import typer
from google.protobuf import json_format

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as pb_grpc
from arenalab.local.cli.console import HomeOption, JsonOption, command, err, home_from, out
from arenalab.local.cli.ledger_client import DEFAULT_SCOPE, ScopeOption, scope_of
from arenalab.local.session import mesh_for
from arenalab.mesh import Telemetry, connect

TIMEOUT_S = 180.0


@command
async def erase(
    *,
    subject: Annotated[str, typer.Option(help="Whose content: `user` of their requests.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    scope: ScopeOption = DEFAULT_SCOPE,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Destroy the key of a subject's content, and remove their words from every journal."""
    found = home_from(home)
    if not yes:
        err.print(
            f"All that {subject!r} said and was told can then never be read again."
            " The leaves and their proofs stay.",
            markup=False,
        )
        typer.confirm("Erase it?", abort=True, err=True)
    async with (
        mesh_for(found) as running,
        connect(running.addresses["ensemble"], Telemetry("cli")) as channel,
    ):
        reply = await pb_grpc.EnsembleServiceStub(channel).EraseSubject(
            pb.EraseSubjectRequest(scope=scope_of(scope), subject=subject), timeout=TIMEOUT_S
        )
    if as_json:
        out.print_json(data=_form(reply))
        return
    out.print(f"{reply.entries:,} entries of the ledger can no longer be read")
    if reply.HasField("receipt"):
        out.print(f"the erasure is sealed as leaf {reply.receipt.leaf_index}")
    out.print(
        f"also gone: {reply.predictions:,} predictions kept for feedback, the words of "
        f"{reply.labels:,} labels and of {reply.queued:,} entries that waited to be sealed"
    )


def _form(reply: pb.EraseSubjectResponse) -> dict[str, Any]:
    bare = pb.EraseSubjectResponse()
    bare.CopyFrom(reply)
    bare.ClearField("receipt")
    form: dict[str, Any] = {
        name: int(value)
        for name, value in json_format.MessageToDict(
            bare, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        ).items()
    }
    form["leaf_index"] = reply.receipt.leaf_index if reply.HasField("receipt") else None
    return form
