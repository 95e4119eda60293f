"""`arenalab keys`: who may call the gateway, and how much."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.table import Table

from arenalab.gateway.access import pepper_of
from arenalab.gateway.config import GatewayConfig
from arenalab.gateway.keys.key import ID_CHARS, NewKey, masked
from arenalab.gateway.keys.record import KeyRecord, KeyTerms
from arenalab.gateway.limits.caps import DAY_MS, Caps
from arenalab.gateway.limits.usage import NOTHING, Spent
from arenalab.local.cli.console import HomeOption, JsonOption, command, home_from, out
from arenalab.mesh import InvalidInputError, read_config

if TYPE_CHECKING:
    from arenalab.gateway.keys.store import KeyStore

_MICROS: Final = 1_000_000
_DURATION: Final = re.compile(r"(\d{1,6})([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
_COUNT: Final = "{:,}"

KeyArgument = Annotated[str, typer.Argument(help="The key's id, as `keys list` shows it.")]
CountOption = Annotated[int | None, typer.Option(min=1)]

app = typer.Typer(no_args_is_help=True)


@app.command("create")
@command
async def create(
    *,
    name: Annotated[str, typer.Option(help="Whose it is, or what for.")],
    tenant: Annotated[str, typer.Option(help="Whose data it may see.")] = "default",
    model: Annotated[
        list[str] | None,
        typer.Option(help="A model it may name, or 'openai/*'. Repeat it; by default all."),
    ] = None,
    budget_usd_day: Annotated[
        float | None, typer.Option(min=0.000001, help="What its calls may cost a day (UTC).")
    ] = None,
    budget_usd_total: Annotated[
        float | None, typer.Option(min=0.000001, help="What its calls may cost in all.")
    ] = None,
    requests_per_minute: CountOption = None,
    requests_per_day: CountOption = None,
    tokens_per_minute: CountOption = None,
    tokens_per_day: CountOption = None,
    expires: Annotated[
        str | None, typer.Option(help="It works for so long: 90m, 12h or 30d.")
    ] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Make an API key and show it, once. A running gateway takes it within a second."""
    now = datetime.now(UTC)
    terms = KeyTerms(
        name=name,
        tenant=tenant,
        models=tuple(model or ()),
        caps=Caps(
            requests_per_minute=requests_per_minute,
            requests_per_day=requests_per_day,
            tokens_per_minute=tokens_per_minute,
            tokens_per_day=tokens_per_day,
            usd_micros_per_day=_micros(budget_usd_day),
            usd_micros_total=_micros(budget_usd_total),
        ),
        expires=None if expires is None else now + parse_duration("expires", expires),
    )
    with _store(home) as store:
        key = store.create(terms, now)
    _show_once(key, as_json=as_json)


@app.command("list")
@command
async def list_keys(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """List every key, what it allows and what it has used. Secrets are never shown."""
    now = datetime.now(UTC)
    with _store(home) as store:
        records = store.records()
        spent = store.spent(int(now.timestamp() * 1000) // DAY_MS)
    if as_json:
        listed = [_as_json(r, spent.get(r.key_id, NOTHING), now) for r in records]
        out.print_json(data={"keys": listed})
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("id", no_wrap=True, min_width=ID_CHARS)  # the other commands want it whole
    for name in ("name", "tenant", "state", "models", "limits", "used today"):
        table.add_column(name, overflow="fold")
    for record in records:
        table.add_row(*_row(record, spent.get(record.key_id, NOTHING), now))
    out.print(table)


@app.command("revoke")
@command
async def revoke(key: KeyArgument, *, home: HomeOption = None) -> None:
    """End a key for good. Running gateways refuse it within a second."""
    with _store(home) as store:
        store.revoke(_id(key), datetime.now(UTC))
    out.print(f"revoked {masked(_id(key))}", markup=False)


@app.command("rotate")
@command
async def rotate(
    key: KeyArgument,
    *,
    overlap: Annotated[
        str, typer.Option(help="So long the secret before works too: 0m, 12h, 7d.")
    ] = "24h",
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Give a key a new secret and show it, once. Its id, limits and usage stay."""
    now = datetime.now(UTC)
    with _store(home) as store:
        fresh = store.rotate(_id(key), parse_duration("overlap", overlap), now)
    _show_once(fresh, as_json=as_json)


def parse_duration(field: str, text: str) -> timedelta:
    """Returns a duration like "90m", "12h" or "30d".

    Raises:
        InvalidInputError: It is not one.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise InvalidInputError(
            f"--{field} must be like 90m, 12h or 30d, got {text[:40]!r}", field=field
        )
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


@contextmanager
def _store(home: Path | None) -> Iterator["KeyStore"]:
    """Opens the store that the environment names as the gateway's, or the home's."""
    # Imported here: a database's library, which no other command needs.
    from arenalab.gateway.keys.store import KeyStore

    config = read_config(GatewayConfig, "gateway", os.environ)
    if config.keys_url is None or home is not None:
        found = home_from(home)
        config = replace(
            config,
            keys_url=found.api_keys_url,
            key_pepper=None,
            key_pepper_path=found.api_key_pepper,
        )
    store = KeyStore.open(config.keys_url or "", pepper_of(config))
    try:
        yield store
    finally:
        store.close()


def _id(text: str) -> str:
    # A whole key, pasted, is taken too; of that only the id goes on.
    parts = text.split("_")
    return parts[1] if len(parts) > 1 else text


def _micros(usd: float | None) -> int | None:
    return None if usd is None else round(usd * _MICROS)


def _show_once(key: NewKey, *, as_json: bool) -> None:
    if as_json:
        out.print_json(data={"id": key.key_id, "key": key.text})
        return
    out.print(f"key  {key.text}", markup=False)
    out.print(f"id   {key.key_id}", markup=False)
    out.print("It is stored as a hash only: this is the one time to see it.")


def _row(record: KeyRecord, spent: Spent, now: datetime) -> list[str]:
    terms = record.terms
    used = f"{spent.requests:,} req, {spent.tokens:,} tok, {spent.usd_micros / _MICROS:g} $"
    state = str(record.state(now))
    if terms.expires is not None and record.revoked is None:
        state += f" until {terms.expires:%Y-%m-%d}"
    # Names come from people: as plain text, without markup of the console.
    plain = [record.key_id, terms.name, terms.tenant, state, ", ".join(terms.models) or "all"]
    return [text.replace("[", r"\[") for text in (*plain, _limits(terms.caps), used)]


def _limits(caps: Caps) -> str:
    counts = (
        (caps.requests_per_minute, "req/min"),
        (caps.requests_per_day, "req/day"),
        (caps.tokens_per_minute, "tok/min"),
        (caps.tokens_per_day, "tok/day"),
    )
    money = ((caps.usd_micros_per_day, "$/day"), (caps.usd_micros_total, "$ in all"))
    shown = [f"{_COUNT.format(cap)} {unit}" for cap, unit in counts if cap is not None]
    shown += [f"{cap / _MICROS:g} {unit}" for cap, unit in money if cap is not None]
    return ", ".join(shown) or "none"


def _as_json(record: KeyRecord, spent: Spent, now: datetime) -> dict[str, Any]:
    terms = record.terms
    return {
        "id": record.key_id,
        "name": terms.name,
        "tenant": terms.tenant,
        "state": str(record.state(now)),
        "models": list(terms.models),
        "limits": asdict(terms.caps),
        "created": _rfc3339(record.created),
        "expires": _rfc3339(terms.expires),
        "revoked": _rfc3339(record.revoked),
        "previous_secret_until": _rfc3339(record.previous_until),
        "used": {
            "requests_today": spent.requests,
            "tokens_today": spent.tokens,
            "usd_micros_today": spent.usd_micros,
            "usd_micros_total": spent.usd_micros_total,
        },
    }


def _rfc3339(time: datetime | None) -> str | None:
    return None if time is None else time.strftime("%Y-%m-%dT%H:%M:%SZ")
