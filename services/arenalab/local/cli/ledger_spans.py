"""`arenalab ledger affected` and `supersede`: answers that leaned on a span, and its end."""

from collections.abc import Sequence
from typing import Annotated

import typer

from arenalab.api.ledger.v1 import ledger_service_pb2 as pb
from arenalab.local.cli.console import HomeOption, JsonOption, command, home_from, out
from arenalab.local.cli.ledger_client import (
    DEFAULT_SCOPE,
    LinesOption,
    ScopeOption,
    ledger_of,
    scope_of,
    show_entry,
)
from arenalab.local.cli.ledger_entries import STREAM_TIMEOUT_S
from arenalab.local.home import Home

SpanOption = Annotated[str, typer.Option("--span", help="Id of the span.")]


@command
async def affected(
    *,
    span: SpanOption,
    limit: Annotated[int, typer.Option(min=0, help="At most so many; 0: all.")] = 0,
    scope: ScopeOption = DEFAULT_SCOPE,
    as_json: LinesOption = False,
    home: HomeOption = None,
) -> None:
    """List every past answer that leaned on a span, oldest first."""
    request = pb.ListAffectedRequest(scope=scope_of(scope), span_id=span, limit=limit)
    count = 0
    async with ledger_of(home_from(home)) as ledger:
        async for response in ledger.ListAffected(request, timeout=STREAM_TIMEOUT_S):
            show_entry(response.entry, as_json=as_json, log=response.log)
            count += 1
    if not as_json:
        out.print(f"{count:,} answers leaned on it")


@command
async def supersede(
    *,
    span: SpanOption,
    reason: Annotated[str, typer.Option(help="Why it is wrong; it stays in the log for ever.")],
    replacement: Annotated[str, typer.Option(help="Id of the span to use instead.")] = "",
    scope: ScopeOption = DEFAULT_SCOPE,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Seal that a span is wrong; the receipt of each answer that leaned on it shows so."""
    [reply] = await supersede_spans(home_from(home), [span], reason, replacement, scope)
    leaf = reply.receipt.leaf_index
    if as_json:
        out.print_json(data={"leaf_index": leaf, "affected": reply.affected})
        return
    out.print(f"sealed as leaf {leaf}")
    say_affected([span], [reply])


async def supersede_spans(
    home: Home, spans: Sequence[str], reason: str, replacement: str = "", scope: str = DEFAULT_SCOPE
) -> list[pb.SupersedeSpanResponse]:
    """Seals of each span that it is wrong.

    Raises:
        MeshError: As LedgerService.SupersedeSpan; spans before it are sealed.
    """
    async with ledger_of(home) as ledger:
        return [
            await ledger.SupersedeSpan(
                pb.SupersedeSpanRequest(
                    scope=scope_of(scope), span_id=span, reason=reason, replacement_id=replacement
                )
            )
            for span in spans
        ]


def say_affected(spans: Sequence[str], replies: Sequence[pb.SupersedeSpanResponse]) -> None:
    """Prints how many answers leaned on each span, and how to list them."""
    for span, reply in zip(spans, replies, strict=True):
        out.print(f"{reply.affected:,} past answers leaned on {span}", markup=False)
        if reply.affected:
            out.print(f"  list them: arenalab ledger affected --span {span}", markup=False)
