"""The mesh's own cost of a call beside bare gRPC, in one run: `make bench-rpc`.

Every server and every client is a process of its own; the variants take turns in short
rounds, and a ratio is the median of the rounds' ratios, so that what else the machine
does in a round falls on all of them.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
from rich.console import Console
from rich.table import Table

from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc
from arenalab.mesh import Telemetry, connect, run, running_server
from arenalab.mesh import server as mesh_server

NAME: Final = pb.DESCRIPTOR.services_by_name["SearchService"].full_name
CLIENTS: Final = 16
_WARM: Final = 300
# As `run` has it; a checkout from before that has the default.
_LOOP: Final = getattr(mesh_server, "new_event_loop", None)
_THREADS: Final = 4

_EMPTY: Final = pb.SearchRequest()
# 384 floats, as a search by vector sends; the answer has ten ids and similarities.
_VECTOR: Final = pb.SearchRequest(vector=bytes(384 * 4))
_TEN: Final = pb.SearchResponse(
    span_ids=bytes(160), similarities=bytes(40), dataset="dataset", dataset_version="0" * 64
)
_NONE: Final = pb.SearchResponse()


@dataclass(frozen=True)
class Variant:
    """One way to serve and to call."""

    name: str
    server: str
    client: str
    channels: int = 1
    full: bool = False  # a vector in, ten hits out
    libs: Path | None = None  # of another checkout


VARIANTS: Final[tuple[Variant, ...]] = (
    Variant("bare gRPC", "bare", "bare"),
    Variant("mesh", "mesh", "mesh"),
    Variant("bare gRPC, vector in, ten hits out", "bare", "bare", full=True),
    Variant("mesh, vector in, ten hits out", "mesh", "mesh", full=True),
    Variant("mesh server, bare client", "mesh", "bare"),
    Variant("bare server of threads", "threads", "bare"),
    Variant("mesh, 4 channels", "mesh", "mesh", channels=4),
    Variant("mesh, 16 channels", "mesh", "mesh", channels=CLIENTS),
)


@dataclass
class Running:
    """A variant's two processes, and what was measured of it."""

    variant: Variant
    server: subprocess.Popen[str]
    client: subprocess.Popen[str]
    p50_us: list[float] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)
    client_cpu_us: list[float] = field(default_factory=list)
    server_cpu_us: list[float] = field(default_factory=list)

    def ask(self, clients: int, calls: int) -> dict[str, float]:
        assert self.client.stdin is not None
        assert self.client.stdout is not None
        self.client.stdin.write(f"{clients} {calls}\n")
        self.client.stdin.flush()
        measured: dict[str, float] = json.loads(self.client.stdout.readline())
        return measured

    def measure(self, calls: int) -> None:
        self.p50_us.append(self.ask(1, calls)["p50_us"])
        before_s = _cpu_s(self.server.pid)
        many = self.ask(CLIENTS, 4 * calls)
        self.server_cpu_us.append((_cpu_s(self.server.pid) - before_s) / (4 * calls) * 1e6)
        self.per_s.append(many["per_s"])
        self.client_cpu_us.append(many["cpu_us"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=150, help="of one client in a round")
    parser.add_argument("--before", type=Path, help="libs/ of another checkout, to compare with")
    args = parser.parse_args()
    variants = VARIANTS
    if args.before:
        variants += (Variant("mesh of --before", "mesh", "mesh", libs=args.before),)
    with _started(variants) as all_running:
        for each in all_running:
            each.ask(4, _WARM)
        for number in range(args.rounds):
            for each in all_running[:: 1 if number % 2 == 0 else -1]:
                each.measure(args.calls)
    _show(all_running)


@contextmanager
def _started(variants: Sequence[Variant]) -> Iterator[list[Running]]:
    started: list[Running] = []
    try:
        for variant in variants:
            server, port = _spawn("serve", variant)
            client, _ = _spawn("call", variant, port)
            started.append(Running(variant, server, client))
        yield started
    finally:
        for each in started:
            each.client.kill()
            each.server.kill()
            each.client.communicate()
            each.server.communicate()


def _spawn(role: str, variant: Variant, port: str = "") -> tuple[subprocess.Popen[str], str]:
    kind = variant.server if role == "serve" else variant.client
    libs = {} if variant.libs is None else {"PYTHONPATH": str(variant.libs.resolve())}
    process = subprocess.Popen(  # noqa: S603 - this file
        [sys.executable, __file__, role, kind, str(variant.channels), str(int(variant.full)), port],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | libs,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def _cpu_s(pid: int) -> float:
    """Returns the processor seconds of a process, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(each.read_text().split()[0]) for each in tasks) / 1e9


def _show(measured: Sequence[Running]) -> None:
    base = measured[0]
    median = statistics.median
    table = Table(
        "variant", "p50 µs", "ratio", f"{CLIENTS}: calls/s", "ratio", "CPU µs: client", "server"
    )
    figures: dict[str, dict[str, float]] = {}
    for each in measured:
        slower = median(a / b for a, b in zip(each.p50_us, base.p50_us, strict=True))
        faster = median(a / b for a, b in zip(each.per_s, base.per_s, strict=True))
        row: Mapping[str, float] = {
            "p50_us": median(each.p50_us),
            "p50_ratio": slower,
            "per_s": median(each.per_s),
            "per_s_ratio": faster,
            "client_cpu_us": median(each.client_cpu_us),
            "server_cpu_us": median(each.server_cpu_us),
        }
        figures[each.variant.name] = {key: round(value, 3) for key, value in row.items()}
        decimals = {"p50_ratio": 2, "per_s_ratio": 2}
        cells = (f"{value:,.{decimals.get(key, 0)}f}" for key, value in row.items())
        table.add_row(each.variant.name, *cells)
    Console().print(table)
    print(json.dumps(figures))


class _Search(pb_grpc.SearchServiceServicer):
    """Answers at once."""

    async def Search(  # noqa: N802
        self, request: pb.SearchRequest, context: grpc.ServicerContext
    ) -> pb.SearchResponse:
        del context
        return _TEN if request.vector else _NONE


class _ThreadedSearch(pb_grpc.SearchServiceServicer):
    """Answers at once, on one of the server's threads."""

    def Search(  # noqa: N802
        self, request: pb.SearchRequest, context: grpc.ServicerContext
    ) -> pb.SearchResponse:
        del context
        return _TEN if request.vector else _NONE


def _register(server: grpc.aio.Server) -> None:
    pb_grpc.add_SearchServiceServicer_to_server(_Search(), server)  # type: ignore[abstract]


@dataclass(frozen=True, kw_only=True)
class _Config:
    address: str = "127.0.0.1:0"


@asynccontextmanager
async def _running(config: _Config, telemetry: Telemetry) -> AsyncGenerator[int]:
    async with running_server(NAME, _register, config.address, telemetry) as port:
        print(port, flush=True)
        yield port


async def _serve_bare() -> None:
    server = grpc.aio.server()
    _register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


def _serve_by_threads() -> None:
    server = grpc.server(ThreadPoolExecutor(_THREADS))
    pb_grpc.add_SearchServiceServicer_to_server(_ThreadedSearch(), server)  # type: ignore[abstract]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


async def _call(kind: str, channels: int, request: pb.SearchRequest, address: str) -> None:
    """Measures what standard input asks for: the number of clients and of calls, a line each."""
    async with AsyncExitStack() as stack:
        searches: list[Callable[[pb.SearchRequest], Awaitable[Any]]] = []
        for _ in range(channels):
            # Channels of equal options share one connection unless told not to.
            bare = grpc.aio.insecure_channel(
                address, options=[("grpc.use_local_subchannel_pool", 1)]
            )
            opened = connect(address, Telemetry("bench")) if kind == "mesh" else bare
            channel = await stack.enter_async_context(opened)
            searches.append(pb_grpc.SearchServiceStub(channel).Search)
        await searches[0](request)
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            clients, calls = map(int, line.split())
            print(json.dumps(await _measure(searches, request, clients, calls)), flush=True)


async def _measure(
    searches: Sequence[Callable[[pb.SearchRequest], Awaitable[Any]]],
    request: pb.SearchRequest,
    clients: int,
    calls: int,
) -> dict[str, float]:
    waiting = iter(range(calls))
    took_s: list[float] = []

    async def client(number: int) -> None:
        search = searches[number % len(searches)]
        for _ in waiting:
            before_s = time.perf_counter()
            await search(request)
            took_s.append(time.perf_counter() - before_s)

    cpu_s, started_s = time.process_time(), time.perf_counter()
    await asyncio.gather(*map(client, range(clients)))
    return {
        "p50_us": statistics.median(took_s) * 1e6,
        "per_s": calls / (time.perf_counter() - started_s),
        "cpu_us": (time.process_time() - cpu_s) / calls * 1e6,
    }


def _role(role: str, kind: str, channels: str, full: str, port: str) -> None:
    if role == "call":
        request = _VECTOR if int(full) else _EMPTY
        with asyncio.Runner(loop_factory=_LOOP if kind == "mesh" else None) as runner:
            runner.run(_call(kind, int(channels), request, f"127.0.0.1:{port}"))
    elif kind == "mesh":
        run("bench", _Config, _running)
    elif kind == "threads":
        _serve_by_threads()
    else:
        asyncio.run(_serve_bare())


if __name__ == "__main__":
    if sys.argv[1:2] in (["serve"], ["call"]):
        _role(*sys.argv[1:])
    else:
        main()
