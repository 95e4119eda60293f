"""`arenalab ledger replay`: an answer asked again of the data that it came from."""

import difflib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from arenalab.api.ledger.v1 import ledger_service_pb2 as pb
from arenalab.local.cli.console import HomeOption, JsonOption, command_failing_with, home_from, out
from arenalab.local.cli.ledger_client import (
    DEFAULT_SCOPE,
    ScopeOption,
    ledger_of,
    read_receipt,
    receipt_request,
    scope_of,
)
from arenalab.local.keys import log_public_keys
from arenalab.local.replay.comparison import Difference, differences, has_sealed_config
from arenalab.local.replay.mesh import replay as ask_again
from arenalab.local.replay.sealed import CannotReplayError, SealedAnswer
from arenalab.proof import (
    Receipt,
    ReceiptError,
    open_checkpoint,
    verify_receipt,
)
from arenalab.proof.note import VerifierKey
from arenalab.proof.proto_form import receipt_from_proto

if TYPE_CHECKING:
    from arenalab.local.cli.ledger_client import LedgerStub


@command_failing_with(2)
async def replay(
    answer: Annotated[
        str,
        typer.Argument(
            metavar="RECEIPT|ID", help="File of a receipt or a whole completion; or an entry id."
        ),
    ],
    *,
    scope: ScopeOption = DEFAULT_SCOPE,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Ask memory again on the dataset version and settings that a leaf names.

    Exit code 0: the answer is byte-identical. 1: it differs. 2: it cannot be replayed.
    """
    found = home_from(home)
    keys = log_public_keys(found)
    async with ledger_of(found) as ledger:
        receipt = _receipt_in(Path(answer))
        if receipt is None:
            reply = await ledger.GetReceipt(receipt_request(answer, scope, ""))
            receipt = receipt_from_proto(reply.receipt)
        verify_receipt(receipt, keys)
        entry = await _entry_of(ledger, receipt, keys)
    if entry.content_state == pb.CONTENT_STATE_ERASED:
        raise CannotReplayError("the content is ERASED: what was asked can no longer be read")
    sealed = SealedAnswer.of(entry.leaf, entry.content, entry.content_salt)
    if not has_sealed_config(sealed):
        raise CannotReplayError("the sealed settings do not have the digest in the leaf")
    replayed = await ask_again(found, sealed, datetime.now(UTC))
    differing = differences(sealed, replayed)
    is_same = not differing and sealed.words == replayed.words
    if as_json:
        out.print_json(data=_form(sealed, replayed, differing, is_same=is_same))
    else:
        _show(sealed, replayed, differing, is_same=is_same)
    if not is_same:
        raise typer.Exit(1)


def _receipt_in(path: Path) -> Receipt | None:
    """Returns the receipt in a file; None where there is no such file."""
    return read_receipt(path) if path.is_file() else None


async def _entry_of(ledger: "LedgerStub", receipt: Receipt, keys: list[str]) -> pb.GetResponse:
    """Returns the entry that a receipt proves, from the log that it is of."""
    log = open_checkpoint(receipt.checkpoint, [VerifierKey.parse(key) for key in keys]).origin
    scope = json.loads(receipt.leaf)["scope"]
    entry = await ledger.Get(
        pb.GetRequest(scope=scope_of(scope), leaf_index=receipt.leaf_index, log=log)
    )
    if entry.leaf != receipt.leaf:
        raise ReceiptError(
            f"the ledger has another leaf {receipt.leaf_index} than the receipt: it was forked"
        )
    return entry


def _show(
    sealed: SealedAnswer, replayed: SealedAnswer, differing: list[Difference], *, is_same: bool
) -> None:
    if is_same:
        versions = ", ".join(f"{one.dataset} {one.version[:12]}" for one in sealed.versions)
        out.print(f"[green]byte-identical[/green] on {versions or 'no dataset'}")
        if "memory" in sealed.content:
            out.print("compared are memory's own words; a provider had reworded them")
        return
    out.print("[bold red]it differs[/bold red]")
    if sealed.words == replayed.words:
        out.print("the answer is the same, word for word; what is known of it is not")
    else:
        lines = difflib.unified_diff(
            sealed.words.splitlines(),
            replayed.words.splitlines(),
            "sealed",
            "replayed",
            lineterm="",
        )
        for line in lines:
            out.print(line, markup=False)
    if differing:
        table = Table("fact", "sealed", "replayed")
        for one in differing:
            table.add_row(one.name, _text(one.sealed), _text(one.replayed))
        out.print(table)
    if any(one.name == "evidence_ids" for one in differing):
        out.print(
            "spans that were added, hidden or weighed by hand are in no dataset version, and so"
            " not in a replay"
        )


def _text(value: Any) -> str:
    if value is None:
        return "-"
    text = "\n".join(map(str, value)) if isinstance(value, list) else str(value)
    return text.replace("[", r"\[") or "-"


def _form(
    sealed: SealedAnswer, replayed: SealedAnswer, differing: list[Difference], *, is_same: bool
) -> dict[str, Any]:
    return {
        "identical": is_same,
        "answer": {"sealed": sealed.words, "replayed": replayed.words},
        "differences": {
            one.name: {"sealed": one.sealed, "replayed": one.replayed} for one in differing
        },
        "versions": {one.dataset: one.version for one in sealed.versions},
    }
