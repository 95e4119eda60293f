"""What sealing adds to an answer, in one run: `make bench-sealing`.

One process runs the whole mesh as `arenalab up` does, on the built-in dataset, with a
second gateway and ensemble beside its own that differ in one thing: the second ensemble
seals nothing. No policy of a request turns sealing off, and stopping the ledger would
measure failed calls instead. Predictor and search are shared. One client, in a process of
its own, asks both in turn, so that what else the machine does falls on both alike.

Beside it stands what the disk takes for a write and fsync of the size of one entry: the
least that any durable seal costs.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from arenalab.api.curator.v1 import curator_service_pb2 as curator_pb
from arenalab.atomic import uuid7
from arenalab.ensemble.answering import Answering
from arenalab.ensemble.auditing import Draw, read_key
from arenalab.ensemble.draft import Draft
from arenalab.ensemble.erasure import Erasure
from arenalab.ensemble.feedback import Feedbacks
from arenalab.ensemble.journal import Journal
from arenalab.ensemble.memory import Memory
from arenalab.ensemble.peers import IDEMPOTENT_LEDGER, IDEMPOTENT_PREDICTOR, Peers
from arenalab.ensemble.predictions import Predictions
from arenalab.ensemble.recording import Recorder
from arenalab.ensemble.registry import Remembered
from arenalab.ensemble.sealing import Sealer
from arenalab.ensemble.service import SERVICE_NAME, EnsembleService
from arenalab.gateway.wiring import running_gateway
from arenalab.local.cli.data import run_ingest, run_publish
from arenalab.local.configs import FREE_ADDRESSES, Configs, Settings
from arenalab.local.home import Home, Running
from arenalab.local.onehost import Ports, running_mesh
from arenalab.mesh import Telemetry, connect, running_server

TARGET_MS: Final = 3.0
WARM: Final = 100
BUILTIN: Final = Path(str(resources.files("arenalab.curator.builtin") / "arenalab.ndjson"))


class _Unsealed(Answering):
    """Answers as the ensemble does, but for the ledger."""

    async def _seal(self, answer: Draft) -> None:
        answer.sealed = True
        await self._record(answer)


@asynccontextmanager
async def _unsealed_ensemble(
    configs: Configs, running: Running, telemetry: Telemetry
) -> AsyncGenerator[str]:
    """Runs an ensemble as `running_ensemble` does, with answers that are not sealed."""
    config = configs.ensemble({**running.addresses, "ensemble": FREE_ADDRESSES["ensemble"]})
    folder = config.predictions_dir.with_name("unsealed-predictions")
    async with (
        connect(config.predictor_address, telemetry, idempotent=IDEMPOTENT_PREDICTOR) as predictor,
        connect(config.fallback_address, telemetry) as fallback,
        connect(config.ledger_address, telemetry, idempotent=IDEMPOTENT_LEDGER) as ledger,
    ):
        peers = Peers(config, predictor, fallback, ledger)
        sealer = Sealer(peers, Journal(folder / "unsealed.ndjson", config.max_unsealed))
        recent = Predictions(folder, "recent", config.max_predictions)
        audits = Predictions(folder, "audits", config.max_audits)
        draw = Draw(read_key(folder / "audit.key"), config.audit_rate)
        feedbacks = Feedbacks(peers, sealer, recent, audits)
        service = EnsembleService(
            _Unsealed(
                peers,
                Memory(peers, config.max_creatures_at_once, time.time),
                sealer,
                Recorder(draw, recent, audits),
                telemetry,
                lambda: uuid7(time.time_ns() // 1_000_000, os.urandom(10)),
                os.urandom,
            ),
            Remembered(peers.creatures),
            Remembered(peers.providers),
            feedbacks,
            Erasure(peers, sealer, feedbacks),
            peers.guarantees,
        )
        async with running_server(
            SERVICE_NAME, service.register, config.address, telemetry
        ) as port:
            yield f"127.0.0.1:{port}"


async def _serve(folder: Path) -> None:
    """Runs the mesh and its unsealed twin until standard input ends."""
    home, _ = Home.create(folder)
    configs = Configs(home, Settings.of(home, {}))
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(
            running_mesh(configs, Ports(FREE_ADDRESSES, gateway=0))
        )
        header = curator_pb.IngestHeader(
            dataset="help", format=curator_pb.INGEST_FORMAT_SPANS, file_name=BUILTIN.name
        )
        await run_ingest(running.addresses["curator"], header, BUILTIN, quiet=True)
        await run_publish(
            running.addresses["curator"], curator_pb.PublishRequest(dataset="help"), quiet=True
        )
        address = await stack.enter_async_context(
            _unsealed_ensemble(configs, running, Telemetry("ensemble"))
        )
        gateway = configs.gateway({**running.addresses, "ensemble": address}, 0)
        port = await stack.enter_async_context(running_gateway(gateway, Telemetry("gateway")))
        urls = {"sealed": running.gateway, "unsealed": f"http://{gateway.host}:{port}"}
        print(json.dumps(urls), flush=True)
        await asyncio.to_thread(sys.stdin.read)


def _measure(
    urls: dict[str, str], asks: int, pid: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Returns the seconds of each ask, and the processor seconds of the mesh, in pairs."""
    questions = [f"{json.loads(line)['this']} please" for line in BUILTIN.read_text().splitlines()]
    took: dict[str, list[float]] = {name: [] for name in urls}
    used: dict[str, list[float]] = {name: [] for name in urls}
    with httpx.Client(timeout=60, trust_env=False) as client:
        for n in range(WARM + asks):
            question = questions[n % len(questions)]
            # Who goes first changes: the second finds some of the work done.
            for name in sorted(urls, reverse=bool(n % 2)):
                before_s = _processor_s(pid)
                seconds = _ask(client, urls[name], question, is_sealed=name == "sealed")
                if n >= WARM:
                    took[name].append(seconds)
                    used[name].append(_processor_s(pid) - before_s)
    return took, used


def _processor_s(pid: int) -> float:
    """Returns the processor time that a process has had, to the nanosecond; 0 where unknown."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def _ask(client: httpx.Client, url: str, question: str, *, is_sealed: bool) -> float:
    body = {
        "model": "arenalab/memory-only",
        "messages": [{"role": "user", "content": question}],
    }
    before_s = time.perf_counter()
    response = client.post(f"{url}/v1/chat/completions", json=body)
    seconds = time.perf_counter() - before_s
    response.raise_for_status()
    assert (response.json()["arenalab"]["receipt"] is not None) == is_sealed
    return seconds


def _sync_ms(folder: Path, size_bytes: int, count: int) -> float:
    """Returns the median of a write and fsync."""
    took = []
    with (folder / "raw").open("ab", buffering=0) as file:
        for _ in range(count):
            before_s = time.perf_counter()
            file.write(os.urandom(size_bytes))
            os.fsync(file.fileno())
            took.append(time.perf_counter() - before_s)
    return statistics.median(took) * 1e3


def _figures(
    took: dict[str, list[float]], used: dict[str, list[float]], sync_ms: float
) -> dict[str, Any]:
    sealed, unsealed = took["sealed"], took["unsealed"]
    medians = {name: statistics.median(seconds) * 1e3 for name, seconds in took.items()}
    pairs = [a - b for a, b in zip(sealed, unsealed, strict=True)]
    return {
        "asks": len(sealed),
        "sealed_p50_ms": round(medians["sealed"], 3),
        "unsealed_p50_ms": round(medians["unsealed"], 3),
        "sealed_added_p50_ms": round(medians["sealed"] - medians["unsealed"], 3),
        # Of the fastest tenth, which other work on the machine disturbed least.
        "sealed_added_p10_ms": round(_percentile(sealed, 10) - _percentile(unsealed, 10), 3),
        "pair_difference_p50_ms": round(statistics.median(pairs) * 1e3, 3),
        # What the mesh computes more, however many others share the machine.
        "sealed_added_cpu_p50_ms": round(
            _percentile(used["sealed"], 50) - _percentile(used["unsealed"], 50), 3
        ),
        "sealed_p99_ms": _percentile(sealed, 99),
        "unsealed_p99_ms": _percentile(unsealed, 99),
        "write_fsync_p50_ms": round(sync_ms, 3),
        "target_ms": TARGET_MS,
        "cores": os.cpu_count(),
    }


def _percentile(seconds: Sequence[float], q: float) -> float:
    return round(float(np.percentile(seconds, q)) * 1e3, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--asks", type=int, default=1000, help="of each kind")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(_serve(options.serve))
        return
    with tempfile.TemporaryDirectory(prefix="arenalab-bench-") as folder:
        command = [sys.executable, __file__, "--serve", str(Path(folder) / "home")]
        with subprocess.Popen(  # noqa: S603 - this program
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout is not None
            urls = json.loads(server.stdout.readline())
            took, used = _measure(urls, options.asks, server.pid)
            server.communicate()
        # An entry with its content and the checkpoint of its batch.
        figures = _figures(took, used, _sync_ms(Path(folder), 4096, 300))
    table = Table("figure", "value", title="one client, memory answers")
    for name, value in figures.items():
        table.add_row(name, f"{value:,}")
    Console().print(table)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
