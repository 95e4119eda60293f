"""The whole mesh as `arenalab up --processes` runs it, on free ports, with a served dataset."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Final

from arenalab.api.curator.v1 import curator_service_pb2 as curator_pb
from arenalab.fallback.config import ProviderConfig
from arenalab.gateway.config import GatewayConfig
from arenalab.local.cli.data import read_domains, run_ingest, run_publish
from arenalab.local.configs import GRPC_PORTS, Configs, Settings
from arenalab.local.home import Home, Running
from arenalab.local.processes import running_processes
from arenalab.mesh import ports

DATA: Final = Path(os.environ.get("ARENALAB_DATA", "../shared/data"))
BUILTIN: Final = Path(str(resources.files("arenalab.curator.builtin") / "arenalab.ndjson"))


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A dataset to ingest, and what to ask of it."""

    header: curator_pb.IngestHeader
    file: Path
    known: Sequence[str]  # questions like those of the dataset, but not in it
    unknown: Sequence[str]  # questions that it cannot answer


class ClosedConfigs(Configs):
    """Configs of a mesh that wants keys on loopback, too."""

    def gateway(self, at: Mapping[str, str], port: int) -> GatewayConfig:
        return replace(super().gateway(at, port), dev=False)


@asynccontextmanager
async def whole_mesh(
    home: Home,
    corpus: Corpus,
    providers: tuple[ProviderConfig, ...] = (),
    kind: type[Configs] = Configs,
) -> AsyncGenerator[Running]:
    """Runs one process per service for the length of the block; the corpus is published."""
    os.environ.setdefault("ARENALAB_LOG_LEVEL", "WARNING")  # what it says is the table
    settings = replace(Settings.of(home, {}), otlp_endpoint=None, providers=providers)
    configs = kind(home, settings)
    gateway, *others = free_ports(len(GRPC_PORTS) + 1)
    addresses = {n: f"127.0.0.1:{p}" for n, p in zip(GRPC_PORTS, others, strict=True)}
    task = asyncio.current_task()
    assert task is not None
    # Told to stop, a program must stop its services, which no terminal's signal reaches.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with home.locked():
        async with running_processes(configs, gateway, addresses) as (running, _):
            curator = running.addresses["curator"]
            await run_ingest(curator, corpus.header, corpus.file, quiet=True)
            request = curator_pb.PublishRequest(dataset=corpus.header.dataset)
            await run_publish(curator, request, quiet=True)
            with home.announced(running):
                yield running


def builtin() -> Corpus:
    """Returns the dataset that comes with ArenaLab: small, and answers about ArenaLab."""
    texts = [f"{json.loads(line)['this']} please" for line in BUILTIN.read_text().splitlines()]
    header = curator_pb.IngestHeader(
        dataset="help", format=curator_pb.INGEST_FORMAT_SPANS, file_name=BUILTIN.name
    )
    unknown = [f"Which wine goes with {dish}?" for dish in ("salmon", "beef", "tofu", "cheese")]
    return Corpus(header=header, file=BUILTIN, known=texts, unknown=unknown)


def clinc150() -> Corpus:
    """Returns CLINC150, 15,000 spans; the built-in dataset where it is not found."""
    file = DATA / "clinc150" / "data_full.json"
    if not file.exists():
        print("CLINC150 not found (github.com/clinc/oos-eval): the built-in dataset instead")  # noqa: T201
        return builtin()
    splits = json.loads(file.read_text())
    header = curator_pb.IngestHeader(
        dataset="clinc150",
        format=curator_pb.INGEST_FORMAT_CLINC150,
        file_name=file.name,
        splits=["train"],
        domains=read_domains(file, None),
    )
    return Corpus(
        header=header,
        file=file,
        known=[text for name in ("test", "val") for text, _ in splits[name]],
        unknown=[
            text
            for name in ("oos_test", "oos_val", "oos_train")
            for text, _ in splits.get(name, ())
        ],
    )


def free_ports(count: int) -> list[int]:
    """Returns ports that were free a moment ago, and whose metrics ports were, too."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as probe, socket.socket() as metrics:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            try:
                metrics.bind(("127.0.0.1", port + ports.METRICS_OFFSET))
            except (OSError, OverflowError):
                continue
        if port not in found:
            found.append(port)
    return found
