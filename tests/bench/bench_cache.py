"""What a repeated question costs beside a new one, in one run: `make bench-cache`.

Publishes CLINC150, or the built-in dataset where that is not found; runs one process per service;
asks the predictor alone, the ensemble over gRPC and the gateway over HTTP. "computed" bypasses the
cache of outputs; the vectors of the questions are kept in both cases once they were asked. The
hop to search that every look into the cache makes is timed by itself.
"""

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Table

from arenalab.api.common.v1 import answer_pb2, message_pb2
from arenalab.api.curator.v1 import curator_service_pb2 as curator_pb
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as pb_grpc
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.api.predictor.v1 import predictor_service_pb2_grpc as predictor_grpc
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.api.search.v1 import search_service_pb2_grpc as search_grpc
from arenalab.local.cli.data import run_ingest, run_publish
from arenalab.local.configs import GRPC_PORTS, Configs, Settings
from arenalab.local.home import Home, Running
from arenalab.local.processes import running_processes
from arenalab.mesh import Telemetry, connect
from tests.bench.bench_mesh import _dataset, _free_ports, _percentile, _run

CLIENTS: Final = (1, 16)
MODEL: Final = "arenalab/memory-only"

Ask = Callable[[str], Awaitable[None]]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--asks", type=int, default=400, help="questions per measurement")
    asks = parser.parse_args().asks
    with tempfile.TemporaryDirectory(prefix="arenalab-bench-") as folder:
        home, _ = Home.create(Path(folder))
        figures = await _measure(home, asks)
    _show(figures)
    print(json.dumps(figures))


async def _measure(home: Home, asks: int) -> dict[str, Any]:
    questions, header, file = _dataset()
    ports = _free_ports(len(GRPC_PORTS) + 1)
    addresses = {n: f"127.0.0.1:{p}" for n, p in zip(GRPC_PORTS, ports[1:], strict=True)}
    configs = Configs(home, Settings.of(home))
    figures: dict[str, Any] = {"dataset": header.dataset, "cores": os.cpu_count()}
    async with AsyncExitStack() as stack:
        mesh, _ = await stack.enter_async_context(running_processes(configs, ports[0], addresses))
        await run_ingest(mesh.addresses["curator"], header, file, quiet=True)
        published = await run_publish(
            mesh.addresses["curator"], curator_pb.PublishRequest(dataset=header.dataset), quiet=True
        )
        figures["spans"] = published.spans
        asked = questions[:asks]
        await _ask_predictor(mesh, asked, figures)
        await _ask_ensemble(mesh, asked, figures)
        await _ask_gateway(mesh, asked, figures)
    for name in ("predict", "ensemble"):
        for clients in CLIENTS:
            computed = figures[f"{name}_computed_per_s_c{clients}"]
            figures[f"{name}_speedup_c{clients}"] = (
                figures[f"{name}_kept_per_s_c{clients}"] / computed
            )
    figures["hop_share_of_computed"] = figures["hop_p50_ms"] / figures["predict_computed_p50_ms_c1"]
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()}


async def _timed(name: str, ask: Ask, questions: Sequence[str], figures: dict[str, Any]) -> None:
    await _run(ask, questions, len(questions), 4)  # what is kept is there, what is warm is warm
    for clients in CLIENTS:
        took, seconds = await _run(ask, questions, len(questions), clients)
        figures[f"{name}_p50_ms_c{clients}"] = _percentile(took, 50)
        figures[f"{name}_per_s_c{clients}"] = len(questions) / seconds


async def _ask_predictor(mesh: Running, questions: Sequence[str], figures: dict[str, Any]) -> None:
    async with (
        connect(mesh.addresses["predictor"], Telemetry("bench")) as to_predictor,
        connect(mesh.addresses["search"], Telemetry("bench")) as to_search,
    ):
        predictor = predictor_grpc.PredictorServiceStub(to_predictor)
        search = search_grpc.SearchServiceStub(to_search)
        layers: list[int] = []

        async def ask(question: str, *, bypass: bool) -> None:
            request = predictor_pb.PredictRequest(messages=[_turn(question)], bypass_cache=bypass)
            layers.append((await predictor.Predict(request)).cache_layer)

        async def hop(_: str) -> None:
            await search.GetRevision(search_pb.GetRevisionRequest())

        await _timed("predict_computed", lambda q: ask(q, bypass=True), questions, figures)
        await _timed("predict_kept", lambda q: ask(q, bypass=False), questions, figures)
        assert layers[-1] == answer_pb2.CACHE_LAYER_MEMORY
        await _run(hop, questions, 50, 1)
        took, _ = await _run(hop, questions, len(questions), 1)
        figures["hop_p50_ms"] = _percentile(took, 50)


async def _ask_ensemble(mesh: Running, questions: Sequence[str], figures: dict[str, Any]) -> None:
    async with connect(mesh.addresses["ensemble"], Telemetry("bench")) as channel:
        stub = pb_grpc.EnsembleServiceStub(channel)

        async def ask(question: str, cache: pb.CachePolicy.ValueType) -> None:
            request = pb.AnswerRequest(
                model=MODEL, messages=[_turn(question)], policy=pb.AnswerPolicy(cache=cache)
            )
            async for _ in stub.Answer(request):
                pass

        for name, policy in (
            ("ensemble_computed", pb.CACHE_POLICY_BYPASS),
            ("ensemble_kept", pb.CACHE_POLICY_USE),
        ):
            await _timed(name, lambda q, policy=policy: ask(q, policy), questions, figures)  # type: ignore[misc]


async def _ask_gateway(mesh: Running, questions: Sequence[str], figures: dict[str, Any]) -> None:
    async with httpx.AsyncClient(
        base_url=mesh.gateway, timeout=60, limits=httpx.Limits(max_connections=32)
    ) as client:

        async def ask(question: str) -> None:
            body = {"model": MODEL, "messages": [{"role": "user", "content": question}]}
            response = await client.post("/v1/chat/completions", json=body)
            response.raise_for_status()

        await _timed("gateway_kept", ask, questions, figures)


def _turn(text: str) -> message_pb2.Message:
    return message_pb2.Message(role=message_pb2.ROLE_USER, content=text)


def _show(figures: dict[str, Any]) -> None:
    table = Table("figure", "value", title=f"{figures['spans']:,} spans of {figures['dataset']}")
    for name, value in figures.items():
        table.add_row(name, f"{value:,}" if isinstance(value, int | float) else str(value))
    Console().print(table)


if __name__ == "__main__":
    asyncio.run(main())
