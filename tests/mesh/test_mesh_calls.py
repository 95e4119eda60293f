"""Serving and calling, over real gRPC on a free port."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from arenalab.api.fallback.v1 import fallback_service_pb2 as stream_pb
from arenalab.api.fallback.v1 import fallback_service_pb2_grpc as stream_grpc
from arenalab.api.planner.v1 import planner_service_pb2 as pb
from arenalab.api.planner.v1 import planner_service_pb2_grpc as pb_grpc
from arenalab.mesh import (
    BudgetSpentError,
    DeadlineError,
    MeshError,
    NotFoundError,
    NotReadyError,
    Reason,
    Telemetry,
    connect,
    running_server,
)
from arenalab.mesh.errors import error_from
from arenalab.mesh.probe import health
from arenalab.mesh.server import MAX_MESSAGE_BYTES

NAME = "arenalab.api.planner.v1.PlannerService"


class _Planner(pb_grpc.PlannerServiceServicer):
    """Behaves as `request.dataset` says."""

    async def Plan(self, request: pb.PlanRequest, context: object) -> pb.PlanResponse:
        if request.dataset == "missing":
            raise NotFoundError("no such dataset", Reason.UNKNOWN_DATASET, dataset="missing")
        if request.dataset == "bug":
            raise ZeroDivisionError
        if request.dataset == "slow":
            await asyncio.Event().wait()
        return pb.PlanResponse()


class _Fallback(stream_grpc.FallbackServiceServicer):
    """Streams as many events as `request.max_tokens`, then behaves as `model` says."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def Complete(
        self, request: stream_pb.CompleteRequest, context: object
    ) -> AsyncIterator[stream_pb.CompleteResponse]:
        try:
            for n in range(request.max_tokens):
                yield stream_pb.CompleteResponse(delta=stream_pb.CompletionDelta(text=str(n)))
            if request.model == "fails":
                raise NotReadyError("gone", Reason.PROVIDER_FAILED, provider="p")
            if request.model == "hangs":
                await asyncio.Event().wait()
        finally:
            self.ended.set()


@pytest.fixture
async def address() -> AsyncIterator[str]:
    def register(server: grpc.aio.Server) -> None:
        pb_grpc.add_PlannerServiceServicer_to_server(_Planner(), server)

    async with running_server(NAME, register, "127.0.0.1:0", Telemetry("planner")) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
async def planner(address: str) -> "AsyncIterator[pb_grpc.PlannerServiceAsyncStub]":
    async with connect(address, Telemetry("test")) as channel:
        yield pb_grpc.PlannerServiceStub(channel)


async def test_an_error_arrives_as_it_was_raised(
    planner: "pb_grpc.PlannerServiceAsyncStub",
) -> None:
    with pytest.raises(NotFoundError, match="no such dataset") as caught:
        await planner.Plan(pb.PlanRequest(dataset="missing"))
    assert caught.value.reason is Reason.UNKNOWN_DATASET
    assert caught.value.metadata == {"dataset": "missing"}


async def test_a_bug_shows_the_caller_nothing(planner: "pb_grpc.PlannerServiceAsyncStub") -> None:
    with pytest.raises(MeshError, match="internal error"):
        await planner.Plan(pb.PlanRequest(dataset="bug"))


async def test_a_call_ends_by_its_deadline(planner: "pb_grpc.PlannerServiceAsyncStub") -> None:
    with pytest.raises(DeadlineError):
        await planner.Plan(pb.PlanRequest(dataset="slow"), timeout=0.05)


async def test_a_service_that_is_down_is_not_ready() -> None:
    async with connect("127.0.0.1:1", Telemetry("test")) as channel:
        with pytest.raises(NotReadyError, match="planner") as caught:
            await pb_grpc.PlannerServiceStub(channel).Plan(pb.PlanRequest())
    assert caught.value.metadata == {"service": "planner"}


async def test_health_and_reflection_answer(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        reply = await check(health_pb2.HealthCheckRequest(service=NAME), timeout=2)
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
        info = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        async for answer in info(iter([asked]), timeout=2):
            assert NAME in {s.name for s in answer.list_services_response.service}
            break


async def test_a_taken_port_is_an_error(address: str) -> None:
    with pytest.raises(NotReadyError, match="taken"):
        async with running_server("x", lambda _: None, address, Telemetry("x")):
            pass


@pytest.fixture
async def fallback() -> "AsyncIterator[tuple[stream_grpc.FallbackServiceAsyncStub, _Fallback]]":
    servicer = _Fallback()  # type: ignore[abstract]  # ListProviders stays unimplemented

    def register(server: grpc.aio.Server) -> None:
        stream_grpc.add_FallbackServiceServicer_to_server(servicer, server)

    name = "arenalab.api.fallback.v1.FallbackService"
    async with (
        running_server(name, register, "127.0.0.1:0", Telemetry("fallback")) as port,
        connect(f"127.0.0.1:{port}", Telemetry("test")) as channel,
    ):
        yield stream_grpc.FallbackServiceStub(channel), servicer


async def test_a_stream_arrives_whole(
    fallback: "tuple[stream_grpc.FallbackServiceAsyncStub, _Fallback]",
) -> None:
    stub, _ = fallback
    request = stream_pb.CompleteRequest(max_tokens=3)
    assert [r.delta.text async for r in stub.Complete(request)] == ["0", "1", "2"]


async def test_an_error_in_a_stream_arrives_as_it_was_raised(
    fallback: "tuple[stream_grpc.FallbackServiceAsyncStub, _Fallback]",
) -> None:
    stub, _ = fallback
    stream = aiter(stub.Complete(stream_pb.CompleteRequest(max_tokens=2, model="fails")))
    assert [(await anext(stream)).delta.text, (await anext(stream)).delta.text] == ["0", "1"]
    with pytest.raises(NotReadyError) as caught:
        await anext(stream)
    assert caught.value.reason is Reason.PROVIDER_FAILED


async def test_a_reader_that_cancels_stops_the_server(
    fallback: "tuple[stream_grpc.FallbackServiceAsyncStub, _Fallback]",
) -> None:
    stub, servicer = fallback
    stream = stub.Complete(stream_pb.CompleteRequest(max_tokens=1, model="hangs"))
    async for _ in stream:
        stream.cancel()
        break
    await asyncio.wait_for(servicer.ended.wait(), 5)


async def test_a_hanging_stream_ends_by_its_deadline(
    fallback: "tuple[stream_grpc.FallbackServiceAsyncStub, _Fallback]",
) -> None:
    stub, _ = fallback
    request = stream_pb.CompleteRequest(max_tokens=1, model="hangs")
    with pytest.raises(DeadlineError):
        async for _ in stub.Complete(request, timeout=0.05):
            pass


async def test_bytes_that_are_no_message_are_refused(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        plan: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{NAME}/Plan")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            # Field 2 is a string; ff is not UTF-8.
            await plan(b"\x12\x01\xff", timeout=2)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "not a valid protobuf message" in str(caught.value.details())


async def test_a_proxy_of_the_environment_is_not_for_peers(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    async with connect(address, Telemetry("caller")) as channel:
        assert await pb_grpc.PlannerServiceStub(channel).Plan(pb.PlanRequest()) is not None
    assert await asyncio.to_thread(health, address) == "SERVING"


async def test_a_message_above_the_limit_is_too_large_and_not_an_overload(
    planner: "pb_grpc.PlannerServiceAsyncStub",
) -> None:
    with pytest.raises(BudgetSpentError, match="larger than max") as caught:
        await planner.Plan(pb.PlanRequest(dataset="x" * (MAX_MESSAGE_BYTES + 1)))
    assert caught.value.reason is Reason.TOO_LARGE


async def test_a_message_that_only_its_receiver_finds_too_large_is_too_large(
    address: str,
) -> None:
    unbounded = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(address, options=unbounded) as channel:
        request = pb.PlanRequest(dataset="x" * (MAX_MESSAGE_BYTES + 1))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pb_grpc.PlannerServiceStub(channel).Plan(request)
    assert error_from(caught.value, "planner").reason is Reason.TOO_LARGE
