"""`arenalab ledger show`, `receipt`, `scan` and `trace`: entries, and their proofs."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from google.protobuf.timestamp_pb2 import Timestamp

from arenalab.api.ledger.v1 import ledger_service_pb2 as pb
from arenalab.durable import replace
from arenalab.local.cli.console import HomeOption, JsonOption, command, home_from, out
from arenalab.local.cli.ledger_client import (
    DEFAULT_SCOPE,
    EntryArgument,
    LinesOption,
    LogOption,
    ScopeOption,
    entry_form,
    get_request,
    ledger_of,
    receipt_request,
    scope_of,
    show_entry,
    summary,
)
from arenalab.local.keys import log_public_keys
from arenalab.mesh import InvalidInputError
from arenalab.proof import receipt_to_json, verify_receipt
from arenalab.proof.proto_form import receipt_from_proto

STREAM_TIMEOUT_S: Final = 3600.0
_PREFIX: Final = "ENTRY_KIND_"
_KINDS: Final = {
    name.removeprefix(_PREFIX).lower(): number for name, number in pb.EntryKind.items() if number
}
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


@command
async def show(
    entry: EntryArgument,
    *,
    scope: ScopeOption = DEFAULT_SCOPE,
    log: LogOption = "",
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show a leaf and its content, or that the content was erased."""
    async with ledger_of(home_from(home)) as ledger:
        found = await ledger.Get(get_request(entry, scope, log))
    erased = found.content_state == pb.CONTENT_STATE_ERASED
    leaf = json.loads(found.leaf)
    if as_json:
        form = {
            "leaf_index": found.leaf_index,
            "leaf": leaf,
            "content_state": "erased" if erased else "present",
            "content": None if erased else dict(found.content),
            "subject": found.subject,
        }
        out.print_json(data=form)
        return
    out.print(summary(found.leaf_index, leaf), markup=False)
    out.print_json(found.leaf.decode())
    if erased:
        out.print("content: [bold red]ERASED[/bold red]")
    for name, text in sorted(found.content.items()):
        out.print(f"[bold]{name}[/bold]")
        out.print(text, markup=False)


@command
async def receipt(
    entry: EntryArgument,
    *,
    to: Annotated[Path | None, typer.Option("--out", help="Write the receipt here.")] = None,
    scope: ScopeOption = DEFAULT_SCOPE,
    log: LogOption = "",
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Fetch the receipt of an entry, verify it, and show what was said of its spans since."""
    found = home_from(home)
    async with ledger_of(found) as ledger:
        reply = await ledger.GetReceipt(receipt_request(entry, scope, log))
    proof = receipt_from_proto(reply.receipt)
    verify_receipt(proof, log_public_keys(found))
    form = receipt_to_json(proof)
    if to is not None:
        replace(to, f"{json.dumps(form, indent=2)}\n".encode())
    said = [_supersession(each) for each in reply.supersessions]
    if as_json:
        out.print_json(data={"receipt": form, "supersessions": said})
        return
    out.print(f"leaf {proof.leaf_index}, [green]verified offline[/green]")
    if to is not None:
        out.print(f"receipt written to {to}", markup=False)
    for each in said:
        replaced = f"; instead: {each['replacement_id']}" if each["replacement_id"] else ""
        out.print(
            f"superseded since {each['time']}, leaf {each['leaf_index']}: span {each['span_id']}:"
            f" {each['reason']}{replaced}",
            markup=False,
        )
    if not said:
        out.print("none of its evidence was superseded")


@command
async def scan(
    *,
    kind: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(_KINDS)}; may be repeated.")
    ] = None,
    since: Annotated[
        str, typer.Option(help="From this time on: RFC 3339, a date, or 90m, 24h, 7d ago.")
    ] = "",
    until: Annotated[str, typer.Option(help="Before this time.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="At most so many; 0: all.")] = 100,
    scope: ScopeOption = DEFAULT_SCOPE,
    log: LogOption = "",
    as_json: LinesOption = False,
    home: HomeOption = None,
) -> None:
    """List entries in log order."""
    now = datetime.now(UTC)
    request = pb.ScanRequest(
        scope=scope_of(scope), kinds=[_kind(one) for one in kind or ()], limit=limit, log=log
    )
    if since:
        request.start_time.CopyFrom(_time("since", since, now))
    if until:
        request.end_time.CopyFrom(_time("until", until, now))
    async with ledger_of(home_from(home)) as ledger:
        async for response in ledger.Scan(request, timeout=STREAM_TIMEOUT_S):
            show_entry(response.entry, as_json=as_json)


@command
async def trace(
    trace_id: Annotated[str, typer.Argument(help="32 hexadecimal digits.")],
    *,
    scope: ScopeOption = DEFAULT_SCOPE,
    log: LogOption = "",
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """List what was sealed under one trace."""
    request = pb.GetByTraceRequest(scope=scope_of(scope), trace_id=trace_id.lower(), log=log)
    async with ledger_of(home_from(home)) as ledger:
        found = await ledger.GetByTrace(request)
    if as_json:
        out.print_json(data={"entries": [entry_form(one) for one in found.entries]})
        return
    for one in found.entries:
        show_entry(one, as_json=False)
    if not found.entries:
        out.print("nothing was sealed under this trace")


def _supersession(said: pb.Supersession) -> dict[str, Any]:
    return {
        "span_id": said.span_id,
        "reason": said.reason,
        "replacement_id": said.replacement_id,
        "leaf_index": said.leaf_index,
        "time": said.append_time.ToJsonString(),
    }


def _kind(name: str) -> pb.EntryKind.ValueType:
    number = _KINDS.get(name.lower())
    if number is None:
        raise InvalidInputError(
            f"kind must be one of {', '.join(_KINDS)}, got {name!r}", field="kind"
        )
    return pb.EntryKind.ValueType(number)


def _time(field: str, text: str, now: datetime) -> Timestamp:
    """Returns a moment as people write it; without a zone it is in UTC."""
    try:
        if text[-1] in _UNITS:
            moment = now - timedelta(**{_UNITS[text[-1]]: float(text[:-1])})
        else:
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        found = Timestamp()
        found.FromDatetime(moment)
    except (ValueError, OverflowError) as error:
        raise InvalidInputError(
            f"{field} must be a time such as 2026-01-31T12:00:00Z, 2026-01-31 or 24h, got {text!r}",
            field=field,
        ) from error
    return found
