"""`arenalab demo`: the whole path on the built-in dataset, five questions, every receipt."""

import json
import os
import time
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from arenalab.api.curator.v1 import curator_service_pb2 as curator_pb
from arenalab.local.cli.answers import show_answer
from arenalab.local.cli.asking import complete, gateway_client
from arenalab.local.cli.console import HomeOption, command, out
from arenalab.local.cli.data import run_ingest, run_publish, show_published
from arenalab.local.cli.serving import show_clients
from arenalab.local.configs import DEFAULT_ADDRESSES, FREE_ADDRESSES, Configs, Settings
from arenalab.local.home import HIDDEN, Home, Running, remember_home
from arenalab.local.keys import log_public_keys
from arenalab.local.onehost import Ports, running_mesh
from arenalab.mesh import stop_signal

DATASET: Final = "arenalab-help"
_TITLES: Final = {
    "known": "known, in other words",
    "ambiguous": "ambiguous",
    "outside": "outside its knowledge",
    "negation": "a negation that flips the answer",
}


@command
async def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="Do not stay up.")] = False,
    port: Annotated[int | None, typer.Option(help="The gateway's port.")] = None,
    home: HomeOption = None,
) -> None:
    """Curate, publish, start the mesh and ask five questions."""
    made, _ = Home.create(home or Path(HIDDEN))
    remember_home(made, os.environ)
    configs = Configs(made, Settings.of(made))
    # A run that does not stay needs no port that anybody knows.
    listening = Ports(
        FREE_ADDRESSES if once else DEFAULT_ADDRESSES,
        gateway=port if port is not None else (0 if once else configs.settings.port),
    )
    async with stop_signal() as stop:
        with made.locked():
            async with running_mesh(configs, listening) as running:
                with made.announced(running):
                    await _curate(running, configs.settings)
                    wrong = await _ask_five(running, log_public_keys(made))
                    if wrong:
                        out.print(f"[bold red]{wrong} of the answers did not verify[/bold red]")
                        raise typer.Exit(1)
                    if once:
                        return
                    show_clients(running)
                    out.print("It stays up until Ctrl-C.")
                    await stop.wait()


async def _curate(running: Running, settings: Settings) -> None:
    out.rule("Curate")
    builtin = resources.files("arenalab.curator.builtin")
    with resources.as_file(builtin / "arenalab.ndjson") as file:
        header = curator_pb.IngestHeader(
            dataset=DATASET,
            format=curator_pb.INGEST_FORMAT_SPANS,
            file_name=file.name,
            size_bytes=file.stat().st_size,
        )
        result = await run_ingest(running.addresses["curator"], header, file, quiet=False)
    out.print(f"{result.accepted} spans read, {result.rejected} rejected")
    request = curator_pb.PublishRequest(dataset=DATASET, alpha=settings.alpha, delta=settings.delta)
    show_published(await run_publish(running.addresses["curator"], request, quiet=False))


def questions() -> list[dict[str, Any]]:
    """Returns the five questions of the demonstration."""
    text = (resources.files("arenalab.curator.builtin") / "demo_questions.json").read_text()
    found: list[dict[str, Any]] = json.loads(text)
    return found


async def _ask_five(running: Running, public_keys: list[str]) -> int:
    """Asks, shows, and returns how many answers did not verify or did not come."""
    wrong = 0
    async with gateway_client(running.gateway) as client:
        for question in questions():
            out.rule(f"{_TITLES.get(question['kind'], question['kind'])}")
            out.print(f"[cyan]Q  {question['question']}[/cyan]")
            before_s = time.perf_counter()
            completion = await complete(client, question["question"])
            elapsed_ms = (time.perf_counter() - before_s) * 1e3
            wrong += show_answer(completion, public_keys, elapsed_ms=elapsed_ms) is not None
    return wrong
