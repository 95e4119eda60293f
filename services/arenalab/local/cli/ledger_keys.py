"""`arenalab ledger keys` and `rotate-key`: what signs the log, and its replacement."""

import os
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from arenalab.ledger.config import LedgerConfig
from arenalab.ledger.key_files import rfc3339
from arenalab.ledger.keys import SEED_VARIABLE, KnownKey, known_keys, rotate_signing_key
from arenalab.local.cli.console import HomeOption, JsonOption, command, home_from, out
from arenalab.mesh import PreconditionError


@command
async def keys(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """List every key that ever signed the log. Only public keys are shown."""
    known = known_keys(
        home_from(home).ledger_key,
        LedgerConfig.origin,
        seed_hex=os.environ.get(SEED_VARIABLE, ""),
        now=datetime.now(UTC),
    )
    if as_json:
        out.print_json(data={"keys": [_as_json(key) for key in known]})
        return
    for key in known:  # a line each, for whoever copies one; its name and hash come first
        out.print(f"{key.verifier_key}  {key}", markup=False)


@command
async def rotate_key(
    *,
    overlap_days: Annotated[
        float, typer.Option(min=0.0, max=3650.0, help="So long the old key signs beside the new.")
    ] = 30.0,
    force: Annotated[
        bool, typer.Option("--force", help="Retire at once a key that still overlaps.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Replace the key that signs the log. A running ledger takes it at its next start."""
    if os.environ.get(SEED_VARIABLE):
        raise PreconditionError(
            f"the signing key comes from {SEED_VARIABLE}: change it there, a file would not count"
        )
    overlap, now = timedelta(days=overlap_days), datetime.now(UTC)
    path = home_from(home).ledger_key
    fresh = rotate_signing_key(path, LedgerConfig.origin, overlap, now, force=force)
    out.print(f"new key: {fresh}")
    signs = f"signs too until {rfc3339(now + overlap)}" if overlap else "signs no more"
    out.print(f"the key before it {signs}")
    out.print("a running ledger takes the new key at its next start")


def _as_json(key: KnownKey) -> dict[str, object]:
    return {
        "name": key.verifier_key.name,
        "hash": key.verifier_key.key_hash.hex(),
        "state": str(key.state),
        "until": None if key.until is None else rfc3339(key.until),
        "verifier_key": str(key.verifier_key),
    }
