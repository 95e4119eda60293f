"""The mesh as processes: ready, answering, observed one by one, and stopped."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from arenalab.api.curator.v1 import curator_service_pb2 as curator_pb
from arenalab.local.cli.asking import complete
from arenalab.local.cli.data import run_ingest, run_publish
from arenalab.local.configs import GRPC_PORTS, Configs, Settings, environment_of
from arenalab.local.home import Home
from arenalab.local.keys import log_public_key
from arenalab.local.processes import running_processes
from arenalab.mesh import NotReadyError, read_config
from arenalab.mesh.probe import health
from arenalab.proof import receipt_from_json, verify_receipt


def _span(n: int, question: str, outcome: str) -> str:
    return json.dumps(
        {
            "id": f"01980000-0000-7000-8000-{n:012x}",
            "source": "user_upload",
            "who": "tester",
            "did": "ask_question",
            "this": question,
            "when": "2026-01-05T10:00:00Z",
            "status": "completed",
            "if_ok": outcome,
            "confirmed_by": "tester",
            "context": {"environment": "kitchen", "stakes": "low"},
            "metadata": {},
        }
    )


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_one_process_per_service_answers_and_seals(
    tmp_path: Path, find_ports: Callable[[int], list[int]]
) -> None:
    home, _ = Home.create(tmp_path / "home")
    ports = find_ports(len(GRPC_PORTS) + 1)
    addresses = {n: f"127.0.0.1:{p}" for n, p in zip(GRPC_PORTS, ports[1:], strict=True)}
    file = tmp_path / "spans.ndjson"
    file.write_text(
        "\n".join(_span(n, f"How long do I boil {n} eggs?", "Seven minutes.") for n in range(8))
    )
    header = curator_pb.IngestHeader(dataset="eggs", format=curator_pb.INGEST_FORMAT_SPANS)
    configs = Configs(home, Settings.of(home, {}))
    async with running_processes(configs, ports[0], addresses) as (running, gone):
        assert {health(address) for address in addresses.values()} == {"SERVING"}
        counts = await run_ingest(addresses["curator"], header, file, quiet=True)
        assert counts.accepted == 8
        published = await run_publish(
            addresses["curator"], curator_pb.PublishRequest(dataset="eggs"), quiet=True
        )
        assert published.spans > 0
        async with httpx.AsyncClient(base_url=running.gateway, timeout=30) as client:
            completion = await complete(client, "How long do I boil three eggs?")
        receipt = receipt_from_json(completion["arenalab"]["receipt"])
        verify_receipt(receipt, log_public_key(home))
        # Eight spans prove nothing at 5 %: memory must not answer, and says so.
        assert completion["arenalab"]["abstain"]["reason"] == "guarantee_void"
        assert not gone.done()
    assert {health(address) for address in addresses.values()} == {"UNAVAILABLE"}


@pytest.mark.slow
async def test_a_service_that_cannot_start_stops_the_others(
    tmp_path: Path, find_ports: Callable[[int], list[int]]
) -> None:
    home, _ = Home.create(tmp_path / "home")
    home.ledger_key.unlink()
    ports = find_ports(len(GRPC_PORTS) + 1)
    addresses = {n: f"127.0.0.1:{p}" for n, p in zip(GRPC_PORTS, ports[1:], strict=True)}
    with pytest.raises(NotReadyError, match="ledger could not start"):
        async with running_processes(Configs(home, Settings.of(home, {})), ports[0], addresses):
            pass


def test_a_config_survives_the_environment(tmp_path: Path) -> None:
    home, _ = Home.create(tmp_path / "home")
    configs = Configs(home, Settings.of(home, {}))
    addresses = {name: f"127.0.0.1:{port}" for name, port in GRPC_PORTS.items()}
    for name in set(GRPC_PORTS) - {"fallback"}:
        config = getattr(configs, name)(addresses)
        assert read_config(type(config), name, environment_of(name, config)) == config


def test_the_graph_library_of_the_settings_reaches_search(tmp_path: Path) -> None:
    home, _ = Home.create(tmp_path / "home")
    addresses = {name: f"127.0.0.1:{port}" for name, port in GRPC_PORTS.items()}
    assert Configs(home, Settings.of(home, {})).search(addresses).graph == "faiss"
    home.settings_path.write_text('[search]\ngraph = "hnswlib"\n')
    assert Configs(home, Settings.of(home, {})).search(addresses).graph == "hnswlib"
