"""`arenalab prices …`: what providers' tokens cost, as the fallback reckons it."""

from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final

import httpx
import typer
from rich.table import Table

from arenalab.durable import replace
from arenalab.fallback.price_file import MAX_BYTES, read_file, shipped_table
from arenalab.fallback.price_lists import table_of
from arenalab.fallback.prices import MILLION, PriceError, PriceTable, write_table
from arenalab.local.cli.console import HomeOption, JsonOption, command, home_from, out
from arenalab.mesh import InvalidInputError, NotReadyError

# Its names are those that the providers' own APIs have, with their dates.
DEFAULT_URL: Final = (
    "https://raw.githubusercontent.com/BerriAI/litellm/main/model_prices_and_context_window.json"
)
_TIMEOUT_S: Final = 60.0
_MAX_SHOWN: Final = 60

app = typer.Typer(no_args_is_help=True)

TableOption = Annotated[
    Path | None, typer.Option("--table", help="The price table; by default that of the home.")
]


@app.callback()
def group() -> None:
    """What providers' tokens cost."""


@app.command("show")
@command
async def show(
    pattern: Annotated[str, typer.Argument(help='Models to show, e.g. "gpt-4o*".')] = "*",
    *,
    table: TableOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the prices that hold now: the home's, or those that came with the program."""
    path = table or home_from(home).prices
    found = _read(path) if table or path.exists() else shipped_table()
    entries = [e for e in found.entries if fnmatchcase(e.model, pattern) or e.model == pattern]
    shown = PriceTable(entries, found.as_of, found.source)
    if as_json:
        out.print_json(write_table(shown))
        return
    out.print(f"{len(entries)} prices as of {found.as_of}, from {found.source}")
    grid = Table("provider", "model", "input", "output", "cached input", box=None)
    for entry in entries[:_MAX_SHOWN]:
        price = entry.price
        cells = (price.input, price.output, price.cached_input)
        grid.add_row(entry.provider, entry.model, *map(_dollars, cells))
    out.print(grid)
    if len(entries) > _MAX_SHOWN:
        out.print(f"… and {len(entries) - _MAX_SHOWN} more; dollars for a million tokens")
    else:
        out.print("dollars for a million tokens")


@app.command("refresh")
@command
async def refresh(
    *,
    url: Annotated[
        str, typer.Option(help="Of LiteLLM's, OpenRouter's or genai-prices' list, or a table.")
    ] = DEFAULT_URL,
    file: Annotated[Path | None, typer.Option(help="Read this instead of fetching.")] = None,
    table: TableOption = None,
    home: HomeOption = None,
) -> None:
    """Fetch a list of prices, check it, and put it in the place of the table.

    A fallback that runs takes it up within a second.
    """
    path = table or home_from(home).prices
    text, source = (_text_of(file), str(file)) if file else (await _fetched(url), url)
    today = datetime.now(UTC).date().isoformat()
    try:
        found = table_of(text, as_of=today, source=source)
    except PriceError as error:
        raise InvalidInputError(f"{source}: {error}", field="url") from error
    replace(path, write_table(found).encode())
    out.print(f"{len(found.entries)} prices as of {found.as_of} are in {path}")


def _read(path: Path) -> PriceTable:
    try:
        return read_file(path)
    except PriceError as error:
        raise InvalidInputError(f"{path}: {error}", field="table") from error


def _text_of(path: Path) -> str:
    if path.stat().st_size > MAX_BYTES:
        raise InvalidInputError(f"{path} is larger than {MAX_BYTES} bytes", field="file")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{path} is not UTF-8 text", field="file") from error


async def _fetched(url: str) -> str:
    body = bytearray()
    try:
        async with (
            httpx.AsyncClient(timeout=_TIMEOUT_S) as client,
            client.stream("GET", url, headers={"user-agent": "arenalab"}) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise NotReadyError(f"{url} answered with status {response.status_code}")
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > MAX_BYTES:
                    raise InvalidInputError(f"{url} is larger than {MAX_BYTES} bytes", field="url")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotReadyError(f"{url} cannot be fetched: {error}") from error
    return body.decode(errors="replace")


def _dollars(micros: int | None) -> str:
    return "" if micros is None else f"{micros / MILLION:g}"
