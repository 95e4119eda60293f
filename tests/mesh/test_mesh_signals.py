"""What a server records of its calls, and how traces and deadlines pass through it."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.context import attach, detach

from arenalab.api.planner.v1 import planner_service_pb2 as pb
from arenalab.api.planner.v1 import planner_service_pb2_grpc as pb_grpc
from arenalab.mesh import (
    DeadlineError,
    MeshError,
    NotFoundError,
    Reason,
    Telemetry,
    connect,
    running_server,
)
from arenalab.mesh.telemetry import inject

NAME = "arenalab.api.planner.v1.PlannerService"


class _Planner(pb_grpc.PlannerServiceServicer):
    """Behaves as `request.dataset` says; keeps the trace headers it would hand on."""

    def __init__(self) -> None:
        self.handed_on: list[list[tuple[str, str]]] = []
        self.began = asyncio.Event()
        self.ended = asyncio.Event()

    async def Plan(self, request: pb.PlanRequest, context: object) -> pb.PlanResponse:
        self.handed_on.append(inject())
        if request.dataset == "missing":
            raise NotFoundError("no such dataset", Reason.UNKNOWN_DATASET, dataset="missing")
        if request.dataset == "times out by itself":
            raise TimeoutError
        if request.dataset == "slow":
            self.began.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.ended.set()
        return pb.PlanResponse()


@pytest.fixture
def servicer() -> _Planner:
    return _Planner()


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry("planner")


@pytest.fixture
async def address(servicer: _Planner, telemetry: Telemetry) -> AsyncIterator[str]:
    def register(server: grpc.aio.Server) -> None:
        pb_grpc.add_PlannerServiceServicer_to_server(servicer, server)

    async with running_server(NAME, register, "127.0.0.1:0", telemetry) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
async def planner(address: str) -> "AsyncIterator[pb_grpc.PlannerServiceAsyncStub]":
    async with connect(address, Telemetry("test")) as channel:
        yield pb_grpc.PlannerServiceStub(channel)


def _calls(telemetry: Telemetry, status: str) -> float | None:
    return telemetry.metrics.registry.get_sample_value(
        "rpc_server_call_duration_seconds_count",
        {"service": "planner", "rpc_method": f"{NAME}/Plan", "rpc_response_status_code": status},
    )


async def test_calls_are_counted_by_their_status(
    planner: "pb_grpc.PlannerServiceAsyncStub", servicer: _Planner, telemetry: Telemetry
) -> None:
    for _ in range(2):
        await planner.Plan(pb.PlanRequest())
    with pytest.raises(NotFoundError):
        await planner.Plan(pb.PlanRequest(dataset="missing"))
    given_up = asyncio.ensure_future(planner.Plan(pb.PlanRequest(dataset="slow")))
    await servicer.began.wait()
    given_up.cancel()
    await asyncio.wait_for(servicer.ended.wait(), 5)
    counted = [_calls(telemetry, status) for status in ("OK", "NOT_FOUND", "CANCELLED")]
    assert counted == [2, 1, 1]


async def test_a_call_that_outlives_its_deadline_is_told_to_stop(
    planner: "pb_grpc.PlannerServiceAsyncStub", servicer: _Planner
) -> None:
    with pytest.raises(DeadlineError):
        await planner.Plan(pb.PlanRequest(dataset="slow"), timeout=0.05)
    await asyncio.wait_for(servicer.ended.wait(), 5)


async def test_a_timeout_of_the_handlers_own_is_not_the_deadline(
    planner: "pb_grpc.PlannerServiceAsyncStub",
) -> None:
    with pytest.raises(MeshError, match="internal error") as caught:
        await planner.Plan(pb.PlanRequest(dataset="times out by itself"))
    assert not isinstance(caught.value, DeadlineError)


async def test_a_callers_trace_travels_on_where_nothing_is_recorded(
    planner: "pb_grpc.PlannerServiceAsyncStub", servicer: _Planner
) -> None:
    span = trace.NonRecordingSpan(trace.SpanContext(0xA1, 0xB2, is_remote=False))
    token = attach(trace.set_span_in_context(span))
    try:
        await planner.Plan(pb.PlanRequest())
    finally:
        detach(token)
    assert servicer.handed_on == [[("traceparent", f"00-{0xA1:032x}-{0xB2:016x}-00")]]


async def test_a_trace_ends_with_its_call(
    planner: "pb_grpc.PlannerServiceAsyncStub", servicer: _Planner
) -> None:
    span = trace.NonRecordingSpan(trace.SpanContext(0xA1, 0xB2, is_remote=False))
    token = attach(trace.set_span_in_context(span))
    try:
        await planner.Plan(pb.PlanRequest())
    finally:
        detach(token)
    await planner.Plan(pb.PlanRequest())
    assert servicer.handed_on[1] == []


async def test_an_unknown_method_is_unimplemented(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{NAME}/Guess")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", timeout=2)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
