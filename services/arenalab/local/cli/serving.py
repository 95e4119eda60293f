"""`arenalab up`, `status` and `local-llm`: what runs."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer
from rich.table import Table

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.curator.v1 import curator_service_pb2 as curator_pb
from arenalab.api.curator.v1 import curator_service_pb2_grpc as curator_grpc
from arenalab.api.fallback.v1 import fallback_service_pb2 as fallback_pb
from arenalab.api.fallback.v1 import fallback_service_pb2_grpc as fallback_grpc
from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as ledger_grpc
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.api.predictor.v1 import predictor_service_pb2_grpc as predictor_grpc
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.api.search.v1 import search_service_pb2_grpc as search_grpc
from arenalab.local.cli.console import HomeOption, JsonOption, command, err, home_from, out
from arenalab.local.configs import DEFAULT_ADDRESSES, Configs, Settings, free_addresses
from arenalab.local.home import HIDDEN, Home, NoHomeError, Running, remember_home
from arenalab.local.session import find_running
from arenalab.mesh import MeshError, Telemetry, connect, ports, stop_signal
from arenalab.mesh.logs import configure_logs
from arenalab.mesh.probe import health


@command
async def up(
    *,
    processes: Annotated[bool, typer.Option(help="One process per service.")] = False,
    port: Annotated[int | None, typer.Option(help="The gateway's port.")] = None,
    free_ports: Annotated[
        bool, typer.Option("--free-ports", help="Any free gRPC ports; `status` shows them.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Run the whole mesh on loopback, until Ctrl-C."""
    configure_logs("arenalab", sys.stderr, os.environ.get("ARENALAB_LOG_LEVEL", "WARNING"))
    found = _home_or_new(home)
    configs = Configs(found, Settings.of(found))
    gateway_port = configs.settings.port if port is None else port
    async with stop_signal() as stop:
        starting = _processes if processes else _one_process
        addresses = free_addresses() if free_ports else DEFAULT_ADDRESSES
        async with starting(configs, gateway_port, addresses) as (running, gone):
            show_clients(running)
            out.print("Ctrl-C stops it.")
            waiting = asyncio.create_task(stop.wait())
            ends: set[asyncio.Future[Any]] = {waiting, gone}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if gone.done() and not stop.is_set():
                raise MeshError(f"{gone.result()} stopped by itself; the mesh is stopped too")
            out.print("stopping …")


def _home_or_new(given: Path | None) -> Home:
    try:
        return home_from(given)
    except NoHomeError:
        if given is not None:
            raise
    home, api_key = Home.create(Path(HIDDEN))
    remember_home(home, os.environ)
    err.print(f"made a home in {home.path}; API key, shown once: {api_key}")
    return home


@asynccontextmanager
async def _one_process(
    configs: Configs, port: int, addresses: Mapping[str, str]
) -> AsyncGenerator[tuple[Running, "asyncio.Future[str]"]]:
    from arenalab.local.onehost import Ports, running_mesh

    never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    with configs.home.locked():
        async with running_mesh(configs, Ports(addresses, gateway=port)) as running:
            with configs.home.announced(running):
                yield running, never


@asynccontextmanager
async def _processes(
    configs: Configs, port: int, addresses: Mapping[str, str]
) -> AsyncGenerator[tuple[Running, "asyncio.Future[str]"]]:
    from arenalab.local.processes import running_processes

    with configs.home.locked():
        async with running_processes(configs, port, addresses) as (running, gone):
            with configs.home.announced(running):
                yield running, gone


_EXAMPLE: Final = "Where do I see the path of one request?"

_CURL: Final = """\
  curl -s {url}/v1/chat/completions -H 'content-type: application/json' \\
    -d '{{"model": "arenalab", "messages": [{{"role": "user", "content": "{question}"}}]}}'"""

_SDK: Final = """\
  import openai
  client = openai.OpenAI(base_url="{url}/v1", api_key="any")
  question = {{"role": "user", "content": "{question}"}}
  print(client.chat.completions.create(model="arenalab", messages=[question]))"""

_STUB: Final = """\
  import grpc
  from arenalab.api.common.v1 import message_pb2
  from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
  from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as pb_grpc
  stub = pb_grpc.EnsembleServiceStub(grpc.insecure_channel("{ensemble}"))
  question = message_pb2.Message(role=message_pb2.ROLE_USER, content="{question}")
  for event in stub.Answer(pb.AnswerRequest(messages=[question]), timeout=10):
      print(event)
"""


def show_clients(running: Running) -> None:
    """Prints how to ask, to be copied as it stands: curl, the OpenAI SDK, a stub."""
    known = {
        "url": running.gateway,
        "ensemble": running.addresses["ensemble"],
        "question": _EXAMPLE,
    }
    out.print(f"\n[bold green]The mesh is up.[/bold green] OpenAI endpoint: {running.gateway}/v1\n")
    for title, text in (("curl", _CURL), ("OpenAI SDK", _SDK), ("gRPC stub", _STUB)):
        out.print(f"[bold]{title}[/bold]")
        out.print(text.format(**known), markup=False)


@command
async def status(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """Show every service's health, versions and sizes."""
    found = home_from(home)
    running = find_running(found)
    if running is None:
        if as_json:
            out.print_json(data={"home": str(found.path), "running": False})
        else:
            out.print(f"home {found.path}: no mesh is running")
        raise typer.Exit(3)
    seen = await _look(running)
    if as_json:
        out.print_json(data={"home": str(found.path), "running": True} | seen)
    else:
        _show(found, seen)
    if any(s["health"] != "SERVING" for s in seen["services"].values()):
        raise typer.Exit(1)


async def _look(running: Running) -> dict[str, Any]:
    services = {
        name: {"address": address, "health": await asyncio.to_thread(health, address)}
        for name, address in running.addresses.items()
    }
    services["gateway"] = {
        "address": running.gateway,
        "health": await _gateway_health(running.gateway),
    }
    seen: dict[str, Any] = {
        "version": running.version,
        "services": services,
        "datasets": [],
        "ledger": {},
        "providers": [],
    }
    # A service that is down must not hide what the others say.
    for look in (_look_at_datasets, _look_at_ledger, _look_at_providers):
        with contextlib.suppress(MeshError):
            await look(running.addresses, seen)
    return seen


async def _gateway_health(url: str) -> str:
    try:
        async with httpx.AsyncClient(timeout=3.0, trust_env=False) as client:
            response = await client.get(f"{url}/ready")
    except httpx.HTTPError as error:
        return type(error).__name__
    return "SERVING" if response.is_success else f"HTTP {response.status_code}"


async def _look_at_datasets(at: Mapping[str, str], seen: dict[str, Any]) -> None:
    telemetry = Telemetry("cli")
    async with (
        connect(at["search"], telemetry) as search,
        connect(at["predictor"], telemetry) as predictor,
        connect(at["curator"], telemetry) as curator,
    ):
        collections = await search_grpc.SearchServiceStub(search).ListCollections(
            search_pb.ListCollectionsRequest()
        )
        creatures = await predictor_grpc.PredictorServiceStub(predictor).ListCreatures(
            predictor_pb.ListCreaturesRequest()
        )
        datasets = await curator_grpc.CuratorServiceStub(curator).ListDatasets(
            curator_pb.ListDatasetsRequest()
        )
    guarantees = {c.name: c.guarantee for c in creatures.creatures}
    working = {d.name: d for d in datasets.datasets}
    for collection in collections.collections:
        guarantee = guarantees.get(collection.dataset, answer_pb2.Guarantee())
        known = working.pop(collection.dataset, curator_pb.Dataset())
        seen["datasets"].append(
            {
                "name": collection.dataset,
                "version": collection.dataset_version,
                "spans": collection.spans,
                "added_spans": collection.added_spans,
                "working_spans": known.working_spans,
                "versions": len(known.versions),
                "embedder": collection.embedder_id,
                "guarantee": _guarantee_word(guarantee),
                "threshold": guarantee.threshold if guarantee.HasField("threshold") else None,
            }
        )
    seen["datasets"] += [
        {"name": d.name, "version": None, "spans": 0, "working_spans": d.working_spans}
        for d in working.values()
    ]


def _guarantee_word(guarantee: answer_pb2.Guarantee) -> str:
    name = answer_pb2.GuaranteeStatus.Name(guarantee.status)
    return name.removeprefix("GUARANTEE_STATUS_").lower()


async def _look_at_ledger(at: Mapping[str, str], seen: dict[str, Any]) -> None:
    async with connect(at["ledger"], Telemetry("cli")) as channel:
        checkpoint = await ledger_grpc.LedgerServiceStub(channel).GetCheckpoint(
            ledger_pb.GetCheckpointRequest()
        )
    seen["ledger"] = {
        "entries": checkpoint.tree_size,
        "bytes": checkpoint.segment_bytes,
        "public_key": checkpoint.log_public_key,
    }


async def _look_at_providers(at: Mapping[str, str], seen: dict[str, Any]) -> None:
    async with connect(at["fallback"], Telemetry("cli")) as channel:
        listed = await fallback_grpc.FallbackServiceStub(channel).ListProviders(
            fallback_pb.ListProvidersRequest()
        )
    seen["providers"] = [
        {
            "name": p.name,
            "base_url": p.base_url,
            "model": p.default_model,
            "has_key": p.has_key,
            "breaker": fallback_pb.BreakerState.Name(p.breaker)
            .removeprefix("BREAKER_STATE_")
            .lower(),
            "spent_usd_micros": p.spent_usd_micros,
            "cap_usd_micros": p.cap_usd_micros,
        }
        for p in listed.providers
    ]


def _show(home: Home, seen: dict[str, Any]) -> None:
    out.print(f"home {home.path}   arenalab {seen['version'] or 'of unknown version'}")
    services = Table("service", "address", "health", box=None, padding=(0, 2))
    for name, service in seen["services"].items():
        colour = "green" if service["health"] == "SERVING" else "bold red"
        services.add_row(name, service["address"], f"[{colour}]{service['health']}[/{colour}]")
    out.print(services)
    datasets = Table(
        "dataset", "version", "spans", "added", "guarantee", "embedder", box=None, padding=(0, 2)
    )
    for dataset in seen["datasets"]:
        datasets.add_row(
            dataset["name"],
            (dataset["version"] or "not published")[:16],
            f"{dataset['spans']:,}",
            f"{dataset.get('added_spans', 0):,}",
            dataset.get("guarantee", ""),
            dataset.get("embedder", ""),
        )
    out.print(datasets)
    ledger = seen["ledger"]
    if ledger:
        out.print(f"ledger    {ledger['entries']:,} entries, {ledger['bytes']:,} bytes")
    providers = ", ".join(map(_provider, seen["providers"]))
    out.print(f"fallback  {providers or 'no provider configured: memory abstains honestly'}")


def _provider(seen: Mapping[str, Any]) -> str:
    spent, cap = (f"${seen[name] / 1e6:.2f}" for name in ("spent_usd_micros", "cap_usd_micros"))
    of_cap = f" of {cap}" if seen["cap_usd_micros"] else ""
    return f"{seen['name']} ({seen['breaker']}, {spent}{of_cap} today)"


@command
async def local_llm(
    *,
    port: Annotated[int, typer.Option(help="Where to listen.")] = ports.LOCAL_LLM,
    model: Annotated[Path | None, typer.Option(help="A GGUF file instead of SmolLM2.")] = None,
) -> None:
    """Run a small real LLM on loopback, as a fallback provider to try things with."""
    from arenalab.local.local_llm import serve_local_llm

    await serve_local_llm(port, model)
