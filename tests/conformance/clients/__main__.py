"""Real clients against the whole mesh: `make conformance`.

Each client that nobody here wrote runs in an environment of its own below build/, which the
first run makes, and asks for memory's answers and for the provider's. The table says which
feature works with which client by which route. It ends with 1 when one does not.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from arenalab.fallback.config import ProviderConfig
from arenalab.local.home import Home
from tests.conformance.clients.running import (
    CLIENTS,
    Client,
    limited_key_of,
    run_client,
    told,
    vocabulary,
)
from tests.stub_provider import MODEL, running_stub
from tests.whole_mesh import ClosedConfigs, builtin, whole_mesh


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], help="names of client scripts")
    parser.add_argument("--json", type=Path, help="also write the lines to this file")
    options = parser.parse_args()
    chosen = [client for client in CLIENTS if not options.only or client.module in options.only]
    for client in chosen:
        client.python()
    began_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="arenalab-conformance-") as folder:
        os.environ["TIKTOKEN_CACHE_DIR"] = str(vocabulary(Path(folder) / "vocabularies"))
        home, key = Home.create(Path(folder) / "home")
        lines = asyncio.run(_ask(chosen, home, key or "", limited_key_of(home, 1)))
    if options.json:
        options.json.write_text("".join(json.dumps(line) + "\n" for line in lines))
    _show(lines)
    failed = [line for line in lines if not line["ok"]]
    for line in failed:
        print(f"{line['client']}, {line['feature']}, {line['route']}: {line['detail']}")
    took_s = time.perf_counter() - began_s
    print(f"{len(lines) - len(failed)} of {len(lines)} passed in {took_s:.0f} s")
    raise SystemExit(1 if failed or not lines else 0)


async def _ask(
    chosen: Sequence[Client], home: Home, key: str, limited_key: str
) -> list[dict[str, Any]]:
    with ExitStack() as stack:
        stub = stack.enter_context(running_stub())
        provider = ProviderConfig(name="stub", base_url=stub, default_model=MODEL)
        async with whole_mesh(home, builtin(), (provider,), ClosedConfigs) as running:
            words = told(f"{running.gateway}/v1", key, limited_key)
            lines: list[dict[str, Any]] = []
            for client in chosen:
                lines += await asyncio.to_thread(run_client, client, words)
    return lines


def _show(lines: Sequence[dict[str, Any]]) -> None:
    clients = list(dict.fromkeys(line["client"] for line in lines))
    places = sorted({(line["feature"], line["route"]) for line in lines})
    by_place = {(line["client"], line["feature"], line["route"]): line["ok"] for line in lines}
    table = Table("feature", "route", *clients, title="Real clients against the whole mesh")
    words = {True: "[green]yes[/green]", False: "[red]NO[/red]", None: ""}
    for place in places:
        table.add_row(*place, *(words[by_place.get((client, *place))] for client in clients))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
