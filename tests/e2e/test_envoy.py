"""Through the real Envoy, with the configuration that the compose file mounts."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import openai
import pytest
import yaml

from arenalab.api.common.v1 import message_pb2
from arenalab.api.curator.v1 import curator_service_pb2 as curator_pb
from arenalab.api.curator.v1 import curator_service_pb2_grpc as curator_grpc
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as pb_grpc
from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as ledger_grpc
from arenalab.proof import receipt_from_json, verify_receipt
from arenalab.proof.proto_form import receipt_from_proto

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
ENVOY = Path(sys.executable).parent / "envoy"
QUESTION = "In Jaeger, how do I see the path that one request took through the services?"


def _on_loopback(config: dict[str, Any], mesh: Any, ports: list[int]) -> dict[str, Any]:
    """Returns the configuration with this mesh's addresses; nothing else is changed."""
    config["admin"]["address"]["socket_address"]["port_value"] = ports[2]
    resources = config["static_resources"]
    for listener, port in zip(resources["listeners"], ports, strict=False):
        listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": port}
    places = mesh.running.addresses | {"gateway": mesh.url.removeprefix("http://")}
    for cluster in resources["clusters"]:
        host, _, port_text = places[cluster["name"]].rpartition(":")
        [endpoint] = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        endpoint["endpoint"]["address"]["socket_address"] = {
            "address": host,
            "port_value": int(port_text),
        }
    return config


@pytest.fixture(scope="module")
def envoy(
    mesh: Any, find_ports: Callable[[int], list[int]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """Yields the HTTP base URL and the gRPC address."""
    ports = find_ports(3)
    config = yaml.safe_load((ROOT / "deploy/envoy/envoy.yaml").read_text())
    folder = tmp_path_factory.mktemp("envoy")
    (folder / "envoy.yaml").write_text(yaml.safe_dump(_on_loopback(config, mesh, ports)))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - the binary of a pinned package
            [str(ENVOY), "-c", str(folder / "envoy.yaml"), "--concurrency", "1",
             "--use-dynamic-base-id", "--log-level", "warning"],
            stdout=log,
            stderr=log,
        )  # fmt: skip
    transport = httpx.HTTPTransport(retries=20)  # with back-off, until Envoy listens
    try:
        with httpx.Client(transport=transport, timeout=30) as client:
            client.get(f"http://127.0.0.1:{ports[2]}/ready")
            client.get(f"http://127.0.0.1:{ports[0]}/health")
        yield f"http://127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[1]}"
    finally:
        process.terminate()
        process.wait(20)


def test_the_openai_sdk_asks_through_envoy(mesh: Any, envoy: tuple[str, str]) -> None:
    with openai.OpenAI(base_url=f"{envoy[0]}/v1", api_key="any", max_retries=5) as client:
        completion = client.chat.completions.create(
            model="arenalab", messages=[{"role": "user", "content": QUESTION}]
        )
    assert completion.model_extra is not None
    answer = completion.model_extra["arenalab"]
    assert answer["route"] == "memory"
    verify_receipt(receipt_from_json(answer["receipt"]), mesh.public_key)


def test_a_stream_passes_through_envoy(envoy: tuple[str, str]) -> None:
    with openai.OpenAI(base_url=f"{envoy[0]}/v1", api_key="any", max_retries=5) as client:
        chunks = list(
            client.chat.completions.create(
                model="arenalab", messages=[{"role": "user", "content": QUESTION}], stream=True
            )
        )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def test_a_stub_asks_through_envoy(mesh: Any, envoy: tuple[str, str]) -> None:
    message = message_pb2.Message(role=message_pb2.ROLE_USER, content=QUESTION)
    with grpc.insecure_channel(envoy[1]) as channel:
        stub = pb_grpc.EnsembleServiceStub(channel)
        events = list(
            stub.Answer(pb.AnswerRequest(messages=[message]), timeout=20, wait_for_ready=True)
        )
    verify_receipt(receipt_from_proto(events[-1].finished.receipt), mesh.public_key)


def test_what_changes_the_ledger_is_not_reachable_from_outside(envoy: tuple[str, str]) -> None:
    with grpc.insecure_channel(envoy[1]) as channel:
        stub = ledger_grpc.LedgerServiceStub(channel)
        assert stub.GetCheckpoint(
            ledger_pb.GetCheckpointRequest(), timeout=20, wait_for_ready=True
        ).checkpoint
        with pytest.raises(grpc.RpcError) as caught:
            stub.Erase(ledger_pb.EraseRequest(subject="u1"), timeout=10)
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_the_curator_is_not_reachable_from_outside(envoy: tuple[str, str]) -> None:
    with (
        grpc.insecure_channel(envoy[1]) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        curator_grpc.CuratorServiceStub(channel).ListDatasets(
            curator_pb.ListDatasetsRequest(), timeout=10
        )
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
