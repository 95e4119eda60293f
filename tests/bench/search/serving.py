"""A Search process of its own, and what is asked of it."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from arenalab.api.common.v1 import filter_pb2, plan_pb2
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc
from arenalab.mesh import MeshError, Telemetry, connect
from arenalab.search.index import FloatArray
from tests.bench.search.corpus import DATASET
from tests.bench.search.memory import Memory, memory_of

K: Final = 10
_LONG_S: Final = 1800.0  # for a build of a million
_POLL_S: Final = 0.05


@dataclass(frozen=True, eq=False)
class Served:
    """A running process and a channel to it, as services of the mesh have one."""

    stub: "pb_grpc.SearchServiceAsyncStub"
    health: Any
    address: str
    pid: int
    start_s: float  # from the start of the process to SERVING

    async def search(
        self,
        vector: FloatArray,
        wanted: filter_pb2.SpanFilter | None = None,
        *,
        plan: plan_pb2.QueryPlan | None = None,
        explain: bool = False,
    ) -> pb.SearchResponse:
        return await self.stub.Search(request_of(vector, wanted, plan=plan, explain=explain))

    async def empty(self) -> None:
        """Asks an RPC that does nothing: the health check of the same process."""
        await self.health.Check(health_pb2.HealthCheckRequest())

    async def publish(self, version: str) -> float:
        """Makes a version live; returns the seconds."""
        began_s = time.perf_counter()
        request = pb.PublishRequest(dataset=DATASET, dataset_version=version)
        await self.stub.Publish(request, timeout=_LONG_S)
        return time.perf_counter() - began_s

    async def stats(self) -> pb.StatsResponse:
        return await self.stub.Stats(pb.StatsRequest(dataset=DATASET), timeout=60)

    async def until_settled(self) -> None:
        """Returns when the background work on what was changed so far is done."""
        before = None
        while True:
            stats = await self.stats()
            now = [(part.engine, part.spans) for part in stats.segments]
            if now == before and _is_idle(self.pid):
                return
            before = now
            await asyncio.sleep(_POLL_S)

    async def snapshot(self) -> float:
        """Has everything written to disk; returns the seconds."""
        began_s = time.perf_counter()
        await self.stub.Snapshot(pb.SnapshotRequest(dataset=DATASET), timeout=_LONG_S)
        return time.perf_counter() - began_s

    def memory(self) -> Memory:
        """Returns what is resident now."""
        return memory_of(self.pid)

    def cpu_s(self) -> float:
        """Returns the processor seconds that the process has used."""
        times = psutil.Process(self.pid).cpu_times()
        return times.user + times.system


def request_of(
    vector: FloatArray,
    wanted: filter_pb2.SpanFilter | None = None,
    *,
    plan: plan_pb2.QueryPlan | None = None,
    explain: bool = False,
) -> pb.SearchRequest:
    """Returns the request for the K nearest to a vector."""
    return pb.SearchRequest(
        dataset=DATASET,
        vector=vector.tobytes(),
        limit=K,
        filter=wanted,
        plan=plan,
        explain=explain,
    )


@asynccontextmanager
async def serving(root: Path) -> AsyncIterator[Served]:
    """Runs Search on a store below a folder for the length of the block."""
    environment = {
        **os.environ,
        "SEARCH_ADDRESS": "127.0.0.1:0",
        "SEARCH_STORE_PATH": str(root / "search" / "spans.sqlite"),
        "SEARCH_DATASETS_DIR": str(root / "datasets"),
    }
    (root / "search").mkdir(parents=True, exist_ok=True)
    began_s = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "arenalab.search", env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    reading: asyncio.Task[None] | None = None
    try:
        address = f"127.0.0.1:{await _port(process.stderr)}"
        reading = asyncio.create_task(_show_warnings(process.stderr))
        async with connect(address, Telemetry("bench")) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            await _until_serving(health)
            yield Served(
                pb_grpc.SearchServiceStub(channel),
                health,
                address,
                process.pid,
                time.perf_counter() - began_s,
            )
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        if reading is not None:
            await reading


@asynccontextmanager
async def bare_stub(address: str) -> "AsyncIterator[pb_grpc.SearchServiceAsyncStub]":
    """Opens a channel without tracing, deadline and error translation."""
    async with grpc.aio.insecure_channel(address) as channel:
        yield pb_grpc.SearchServiceStub(channel)


async def _port(stderr: asyncio.StreamReader) -> str:
    lines = []
    async for line in stderr:
        lines.append(line.decode())
        message = _message(line)
        if "listening on port" in message:
            return message.rpartition(" ")[2]
    raise RuntimeError(f"search did not start:\n{''.join(lines)}")


async def _show_warnings(stderr: asyncio.StreamReader) -> None:
    async for line in stderr:
        if b'"INFO"' not in line:
            print(line.decode().rstrip(), file=sys.stderr)


def _message(line: bytes) -> str:
    try:
        return str(json.loads(line)["message"])
    except (ValueError, KeyError, TypeError):
        return ""


async def _until_serving(health: Any) -> None:
    while True:
        with contextlib.suppress(MeshError):
            reply = await health.Check(health_pb2.HealthCheckRequest(), timeout=1)
            if reply.status == health_pb2.HealthCheckResponse.SERVING:
                return
        await asyncio.sleep(_POLL_S)


def _is_idle(pid: int) -> bool:
    return psutil.Process(pid).cpu_percent(interval=0.3) < 10


ENGINES: Final = {plan_pb2.ENGINE_EXACT: "exact", plan_pb2.ENGINE_HNSW: "hnsw",
                  plan_pb2.ENGINE_IVF: "ivf"}  # fmt: skip
