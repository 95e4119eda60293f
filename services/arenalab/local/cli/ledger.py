"""`arenalab ledger verify`: the log, or one receipt, checked offline."""

import json
from pathlib import Path
from typing import Annotated

import typer

from arenalab.ledger.verify import verify_directory
from arenalab.local.cli.console import HomeOption, JsonOption, command, home_from, out
from arenalab.local.keys import log_public_key, log_public_keys
from arenalab.proof import ReceiptError, receipt_from_json, verify_receipt

app = typer.Typer(no_args_is_help=True)


@app.callback()
def group() -> None:
    """What was said, and its proof."""


@app.command("verify")
@command
async def verify(
    *,
    receipt: Annotated[
        Path | None, typer.Option(help="Check this receipt instead of the whole log.")
    ] = None,
    public_key: Annotated[
        str | None, typer.Option(help="The log's verifier key; by default the home's.")
    ] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Check every line, hash and signature. No service is needed."""
    if receipt is not None:
        keys = [public_key] if public_key else log_public_keys(home_from(home))
        _verify_receipt(receipt, keys, as_json=as_json)
        return
    found = home_from(home)
    report = verify_directory(found.path / "ledger", public_key or log_public_key(found))
    if as_json:
        problems = [
            {"file": p.file, "offset": p.offset, "leaf_index": p.leaf_index, "message": p.message}
            for p in report.problems
        ]
        out.print_json(
            data={
                "valid": report.valid,
                "entries": report.entries,
                "checkpoints": report.checkpoints,
                "problems": problems,
            }
        )
    else:
        for problem in report.problems:
            where = f"{problem.file} at byte {problem.offset}"
            out.print(f"[red]{where}[/red]: {problem.message}")
        verdict = "[green]valid[/green]" if report.valid else "[bold red]NOT valid[/bold red]"
        out.print(f"{verdict}: {report.entries:,} entries, {report.checkpoints:,} checkpoints")
    if not report.valid:
        raise typer.Exit(1)


def _verify_receipt(path: Path, public_keys: list[str], *, as_json: bool) -> None:
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise ReceiptError(f"{path} is not JSON: {error}") from error
    # A whole completion, as `arenalab ask --json` prints it, is welcome too.
    for key in ("arenalab", "receipt"):
        if isinstance(value, dict) and key in value:
            value = value[key]
    receipt = receipt_from_json(value)
    verify_receipt(receipt, public_keys)
    if as_json:
        out.print_json(data={"valid": True, "leaf_index": receipt.leaf_index})
        return
    out.print(f"[green]valid[/green]: leaf {receipt.leaf_index} is in the log")
    out.print_json(receipt.leaf.decode())
