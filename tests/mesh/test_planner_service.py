"""PlannerService over real gRPC, with a peer that plays search."""

from typing import TYPE_CHECKING

import grpc
import pytest

from arenalab.api.common.v1 import filter_pb2, plan_pb2, span_pb2
from arenalab.api.planner.v1 import planner_service_pb2 as pb
from arenalab.api.planner.v1 import planner_service_pb2_grpc as pb_grpc
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.api.search.v1 import search_service_pb2_grpc as search_grpc
from arenalab.mesh import (
    InvalidInputError,
    NotFoundError,
    NotReadyError,
    Reason,
    Telemetry,
    address_of,
    connect,
    running_server,
    scope_for,
)
from arenalab.planner.config import PlannerConfig
from arenalab.planner.wiring import running_planner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

VERSION = "ab" * 32


class _Search(search_grpc.SearchServiceServicer):
    """Serves the statistics of one large collection of the tenant "default"."""

    async def Stats(
        self, request: search_pb.StatsRequest, context: object
    ) -> search_pb.StatsResponse:
        if request.scope.tenant != "default" or request.dataset not in ("", "faq"):
            raise NotFoundError("unknown", Reason.UNKNOWN_DATASET, dataset=request.dataset)
        return search_pb.StatsResponse(
            collection=search_pb.Collection(
                dataset="faq", dataset_version=VERSION, spans=1_000_000
            ),
            domains=[
                search_pb.ValueCount(value="banking/cards", count=1000),
                search_pb.ValueCount(value="travel", count=999_000),
            ],
            engines=[plan_pb2.ENGINE_EXACT, plan_pb2.ENGINE_HNSW],
        )


@pytest.fixture
async def planner() -> "AsyncIterator[pb_grpc.PlannerServiceAsyncStub]":
    def register(server: grpc.aio.Server) -> None:
        search_grpc.add_SearchServiceServicer_to_server(_Search(), server)  # type: ignore[abstract]

    name = search_pb.DESCRIPTOR.services_by_name["SearchService"].full_name
    async with running_server(name, register, "127.0.0.1:0", Telemetry("search")) as search_port:
        config = PlannerConfig(address="127.0.0.1:0", search_address=address_of(search_port))
        async with (
            running_planner(config, Telemetry("planner")) as port,
            connect(address_of(port), Telemetry("test")) as channel,
        ):
            yield pb_grpc.PlannerServiceStub(channel)


async def test_the_plan_of_a_large_collection_walks_the_graph(
    planner: "pb_grpc.PlannerServiceAsyncStub",
) -> None:
    reply = await planner.Plan(pb.PlanRequest(limit=10))
    assert reply.plan.engine == plan_pb2.ENGINE_HNSW
    assert reply.plan.filter_strategy == plan_pb2.FILTER_STRATEGY_NONE
    assert reply.plan.ef_search == 64
    assert reply.plan.candidates == 20
    assert reply.plan.expected_matches == 1_000_000
    assert reply.plan.stats_version == VERSION
    assert "1,000,000" in reply.plan.explanation
    assert [other.engine for other in reply.rejected] == [plan_pb2.ENGINE_EXACT]
    assert reply.rejected[0].cost_us > reply.plan.cost_us > 0


async def test_the_plan_of_a_narrow_filter_scans(
    planner: "pb_grpc.PlannerServiceAsyncStub",
) -> None:
    wanted = filter_pb2.SpanFilter(domains=["banking"])
    reply = await planner.Plan(pb.PlanRequest(dataset="faq", limit=10, filter=wanted))
    assert reply.plan.engine == plan_pb2.ENGINE_EXACT
    assert reply.plan.filter_strategy == plan_pb2.FILTER_STRATEGY_SCAN
    assert reply.plan.expected_matches == 1000
    assert [(step.condition, step.selectivity) for step in reply.plan.filter_steps] == [
        ("domains", 0.001)
    ]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.PlanRequest(limit=0), "limit"),
        (pb.PlanRequest(limit=1001), "limit"),
        (pb.PlanRequest(limit=1, recall_target=1.5), "recall_target"),
        (pb.PlanRequest(limit=1, recall_target=float("nan")), "recall_target"),
        (
            pb.PlanRequest(limit=1, filter=filter_pb2.SpanFilter(domains=["a"] * 65)),
            "filter.domains",
        ),
        (
            pb.PlanRequest(limit=1, filter=filter_pb2.SpanFilter(min_quality=-1)),
            "filter.min_quality",
        ),
        (
            pb.PlanRequest(
                limit=1,
                filter=filter_pb2.SpanFilter(statuses=[span_pb2.SPAN_STATUS_UNSPECIFIED]),
            ),
            "filter.statuses",
        ),
    ],
)  # fmt: skip
async def test_a_request_outside_its_range_is_refused(
    planner: "pb_grpc.PlannerServiceAsyncStub", request_: pb.PlanRequest, field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await planner.Plan(request_)
    assert caught.value.metadata["field"] == field


async def test_an_unknown_dataset_and_another_tenant_are_unknown(
    planner: "pb_grpc.PlannerServiceAsyncStub",
) -> None:
    for request in (
        pb.PlanRequest(limit=1, dataset="nothing"),
        pb.PlanRequest(limit=1, dataset="faq", scope=scope_for("other")),
    ):
        with pytest.raises(NotFoundError) as caught:
            await planner.Plan(request)
        assert caught.value.reason is Reason.UNKNOWN_DATASET


async def test_without_search_there_is_no_plan() -> None:
    config = PlannerConfig(address="127.0.0.1:0", search_address="127.0.0.1:1")
    async with (
        running_planner(config, Telemetry("planner")) as port,
        connect(address_of(port), Telemetry("test")) as channel,
    ):
        with pytest.raises(NotReadyError) as caught:
            await pb_grpc.PlannerServiceStub(channel).Plan(pb.PlanRequest(limit=1))
    assert caught.value.reason is Reason.NOT_READY
    assert caught.value.metadata == {"service": "search"}
