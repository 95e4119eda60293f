"""The whole mesh beside its raw parts, in one run: `make bench-mesh`.

Publishes CLINC150 (15,000 spans), or the built-in dataset where that is not found; runs
one process per service; asks questions that the dataset does not hold. Outputs are not kept.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from arenalab.api.common.v1 import message_pb2
from arenalab.api.curator.v1 import curator_service_pb2 as curator_pb
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as pb_grpc
from arenalab.local.cli.data import read_domains, run_ingest, run_publish
from arenalab.local.configs import GRPC_PORTS, Configs, Settings
from arenalab.local.home import Home, Running
from arenalab.local.processes import running_processes
from arenalab.mesh import Telemetry, connect
from arenalab.predictor.config import PredictorConfig
from arenalab.search.embedder.factory import open_embedder
from arenalab.search.index.exact import ExactIndex

WARM: Final = 50
DATA: Final = Path(os.environ.get("ARENALAB_DATA", "../shared/data"))


class _UncachedConfigs(Configs):
    """Settings of a mesh that computes every answer: what is kept has a benchmark of its own."""

    def predictor(self, at: Mapping[str, str]) -> PredictorConfig:
        return replace(super().predictor(at), cache_memory_mb=0)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--asks", type=int, default=1000, help="questions per measurement")
    asks = parser.parse_args().asks
    with tempfile.TemporaryDirectory(prefix="arenalab-bench-") as folder:
        home, _ = Home.create(Path(folder))
        figures = await _measure(home, asks)
    _show(figures)
    print(json.dumps(figures))


async def _measure(home: Home, asks: int) -> dict[str, Any]:
    questions, header, file = _dataset()
    configs = _UncachedConfigs(home, Settings.of(home))
    ports = _free_ports(len(GRPC_PORTS) + 1)
    addresses = {n: f"127.0.0.1:{p}" for n, p in zip(GRPC_PORTS, ports[1:], strict=True)}
    figures: dict[str, Any] = {"dataset": header.dataset, "cores": os.cpu_count()}
    async with AsyncExitStack() as stack:
        before_s = time.perf_counter()
        mesh, _ = await stack.enter_async_context(running_processes(configs, ports[0], addresses))
        figures["start_s"] = time.perf_counter() - before_s
        figures["rss_idle_mb"] = sum(_rss_mb().values())
        before_s = time.perf_counter()
        await run_ingest(mesh.addresses["curator"], header, file, quiet=True)
        figures["ingest_s"] = time.perf_counter() - before_s
        before_s = time.perf_counter()
        published = await run_publish(
            mesh.addresses["curator"], curator_pb.PublishRequest(dataset=header.dataset), quiet=True
        )
        figures["publish_s"] = time.perf_counter() - before_s
        figures["spans"] = published.spans
        await _ask_mesh(mesh, questions, asks, figures)
        rss = _rss_mb()
        figures["rss_mb"] = rss
        figures["rss_total_mb"] = sum(rss.values())
    _raw_parts(home, questions, asks, figures)
    figures["ask_over_parts"] = figures["ask_p50_ms_c1"] / (
        figures["embed_p50_ms"] + figures["index_p50_ms"]
    )
    return {k: _rounded(v) for k, v in figures.items()}


def _dataset() -> tuple[list[str], curator_pb.IngestHeader, Path]:
    clinc = DATA / "clinc150" / "data_full.json"
    if clinc.exists():
        texts = [text for text, _ in json.loads(clinc.read_text())["test"]]
        header = curator_pb.IngestHeader(
            dataset="clinc150",
            format=curator_pb.INGEST_FORMAT_CLINC150,
            file_name=clinc.name,
            splits=["train"],
            domains=read_domains(clinc, None),
        )
        return texts, header, clinc
    print("CLINC150 not found (github.com/clinc/oos-eval): the built-in dataset instead")
    builtin = Path(str(resources.files("arenalab.curator.builtin") / "arenalab.ndjson"))
    texts = [f"{json.loads(line)['this']} please" for line in builtin.read_text().splitlines()]
    header = curator_pb.IngestHeader(
        dataset="help", format=curator_pb.INGEST_FORMAT_SPANS, file_name=builtin.name
    )
    return texts, header, builtin


async def _ask_mesh(
    mesh: Running, questions: Sequence[str], asks: int, figures: dict[str, Any]
) -> None:
    async with httpx.AsyncClient(
        base_url=mesh.gateway, timeout=60, limits=httpx.Limits(max_connections=32)
    ) as client:

        async def over_http(question: str) -> None:
            body = {
                "model": "arenalab/memory-only",
                "messages": [{"role": "user", "content": question}],
            }
            response = await client.post("/v1/chat/completions", json=body)
            response.raise_for_status()

        await _run(over_http, questions, WARM, 4)
        for clients in (1, 16):
            took, seconds = await _run(over_http, questions, asks, clients)
            figures[f"ask_p50_ms_c{clients}"] = _percentile(took, 50)
            figures[f"ask_p99_ms_c{clients}"] = _percentile(took, 99)
            figures[f"asks_per_s_c{clients}"] = asks / seconds
    async with connect(mesh.addresses["ensemble"], Telemetry("bench")) as channel:
        stub = pb_grpc.EnsembleServiceStub(channel)

        async def over_stub(question: str) -> None:
            message = message_pb2.Message(role=message_pb2.ROLE_USER, content=question)
            request = pb.AnswerRequest(model="arenalab/memory-only", messages=[message])
            async for _ in stub.Answer(request):
                pass

        await _run(over_stub, questions, WARM, 4)
        for clients in (1, 16):
            took, seconds = await _run(over_stub, questions, asks, clients)
            figures[f"stub_p50_ms_c{clients}"] = _percentile(took, 50)
            figures[f"stub_asks_per_s_c{clients}"] = asks / seconds


async def _run(
    ask: Callable[[str], Awaitable[None]], questions: Sequence[str], asks: int, clients: int
) -> tuple[list[float], float]:
    """Returns each ask's seconds, and the seconds of all."""
    waiting = iter(questions[n % len(questions)] for n in range(asks))
    took: list[float] = []

    async def client() -> None:
        for question in waiting:
            before_s = time.perf_counter()
            await ask(question)
            took.append(time.perf_counter() - before_s)

    started_s = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return took, time.perf_counter() - started_s


def _raw_parts(home: Home, questions: Sequence[str], asks: int, figures: dict[str, Any]) -> None:
    """Times the embedder and the exact index alone, in this process."""
    embedder = open_embedder()
    vectors = np.load(next((home.path / "datasets").rglob("embeddings.npy")))
    index = ExactIndex(vectors)
    embed_s, index_s = [], []
    for n in range(asks):
        before_s = time.perf_counter()
        vector = embedder.embed(questions[n % len(questions)])
        between_s = time.perf_counter()
        index.search(vector, 50)
        embed_s.append(between_s - before_s)
        index_s.append(time.perf_counter() - between_s)
    figures["embed_p50_ms"] = statistics.median(embed_s) * 1e3
    figures["index_p50_ms"] = statistics.median(index_s) * 1e3


def _rss_mb() -> dict[str, float]:
    """Returns the resident memory of each service's process."""
    found = {}
    for child in psutil.Process().children(recursive=True):
        name = next((a for a in child.cmdline() if a.startswith("arenalab.")), None)
        if name:
            found[name.removeprefix("arenalab.")] = child.memory_info().rss / 2**20
    return found


def _percentile(seconds: Sequence[float], q: float) -> float:
    return float(np.percentile(seconds, q)) * 1e3


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    found = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return found


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return round(value, 3) if isinstance(value, float) else value


def _show(figures: dict[str, Any]) -> None:
    table = Table("figure", "value", title=f"{figures['spans']:,} spans of {figures['dataset']}")
    for name, value in figures.items():
        if isinstance(value, dict):
            for part, size in value.items():
                table.add_row(f"{name} {part}", f"{size:,}")
        else:
            table.add_row(name, f"{value:,}" if isinstance(value, int | float) else str(value))
    Console().print(table)


if __name__ == "__main__":
    asyncio.run(main())
