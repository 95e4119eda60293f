"""PlannerService over real gRPC, with a peer that plays search."""

from typing import TYPE_CHECKING

import grpc
import pytest

from arenalab.api.common.v1 import filter_pb2, plan_pb2
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
from arenalab.planning import DEFAULT_MODEL, UNREACHABLE
from arenalab.planning.proto_form import cost_model_to_proto

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

VERSION = "ab" * 32


class _Search(search_grpc.SearchServiceServicer):
    """Serves the counts of one large collection of the tenant "default"."""

    def __init__(self) -> None:
        self.counted = 0
        self.effort = 0.0  # as of a search that does not say

    async def Stats(
        self, request: search_pb.StatsRequest, context: object
    ) -> search_pb.StatsResponse:
        return search_pb.StatsResponse(
            collection=_collection(request.scope.tenant, request.dataset),
            engines=[plan_pb2.ENGINE_EXACT, plan_pb2.ENGINE_HNSW],
            cost_model=cost_model_to_proto(DEFAULT_MODEL),
            segments=[
                search_pb.SegmentStats(engine=plan_pb2.ENGINE_HNSW, effort=self.effort),
                search_pb.SegmentStats(engine=plan_pb2.ENGINE_EXACT, effort=1.0),
            ],
        )

    async def Count(
        self, request: search_pb.CountRequest, context: object
    ) -> search_pb.CountResponse:
        self.counted += 1
        if request.filter.HasField("min_quality") and request.filter.min_quality < 0:
            raise InvalidInputError("too low", field="filter.min_quality")
        matches = 1000 if request.filter.domains else 500_000
        conditions = {"domains": 1000} if request.filter.domains else {}
        if request.filter.tags:
            conditions["tags"] = 500_000
        return search_pb.CountResponse(
            matches=matches,
            conditions=[
                search_pb.ConditionCount(condition=name, matches=count)
                for name, count in conditions.items()
            ],
            collection=_collection(request.scope.tenant, request.dataset),
        )


def _collection(tenant: str, dataset: str) -> search_pb.Collection:
    if tenant != "default" or dataset not in ("", "faq"):
        raise NotFoundError("unknown", Reason.UNKNOWN_DATASET, dataset=dataset)
    return search_pb.Collection(dataset="faq", dataset_version=VERSION, spans=1_000_000)


@pytest.fixture
def search() -> _Search:
    return _Search()  # type: ignore[abstract]


@pytest.fixture
async def planner(search: _Search) -> "AsyncIterator[pb_grpc.PlannerServiceAsyncStub]":
    def register(server: grpc.aio.Server) -> None:
        search_grpc.add_SearchServiceServicer_to_server(search, server)

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
    assert reply.plan.ef_search >= 64
    assert reply.plan.candidates == 20
    assert reply.plan.recall_target == 0.99
    assert reply.plan.expected_matches == 1_000_000
    assert reply.plan.stats_version == VERSION
    assert "1,000,000" in reply.plan.explanation
    assert [other.engine for other in reply.rejected] == [plan_pb2.ENGINE_EXACT]
    assert reply.rejected[0].cost_us > reply.plan.cost_us > 0


async def test_an_index_that_was_measured_to_need_more_is_searched_harder(
    planner: "pb_grpc.PlannerServiceAsyncStub", search: _Search
) -> None:
    search.effort = 4.0
    plan = (await planner.Plan(pb.PlanRequest(limit=10))).plan
    assert plan.engine == plan_pb2.ENGINE_HNSW
    assert plan.ef_search > 1000
    assert "4 times as hard as most" in plan.explanation


async def test_an_index_that_finds_too_little_is_scanned(
    planner: "pb_grpc.PlannerServiceAsyncStub", search: _Search
) -> None:
    search.effort = UNREACHABLE
    reply = await planner.Plan(pb.PlanRequest(limit=10))
    assert reply.plan.engine == plan_pb2.ENGINE_EXACT
    assert not reply.rejected


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
    assert "1,000 of 1,000,000 spans pass" in reply.plan.explanation


async def test_conditions_come_most_selective_first(
    planner: "pb_grpc.PlannerServiceAsyncStub",
) -> None:
    wanted = filter_pb2.SpanFilter(tags=["checked"], domains=["banking"])
    reply = await planner.Plan(pb.PlanRequest(limit=10, filter=wanted))
    assert [step.condition for step in reply.plan.filter_steps] == ["domains", "tags"]
    assert [step.matches for step in reply.plan.filter_steps] == [1000, 500_000]


async def test_a_filter_is_counted_once_a_second_and_no_filter_never(
    planner: "pb_grpc.PlannerServiceAsyncStub", search: _Search
) -> None:
    for _ in range(3):
        await planner.Plan(pb.PlanRequest(limit=10, filter=filter_pb2.SpanFilter(tags=["a"])))
        await planner.Plan(pb.PlanRequest(limit=10, filter=filter_pb2.SpanFilter()))
        await planner.Plan(pb.PlanRequest(limit=10))
    assert search.counted == 1


async def test_a_perfect_recall_is_scanned(planner: "pb_grpc.PlannerServiceAsyncStub") -> None:
    reply = await planner.Plan(pb.PlanRequest(limit=10, recall_target=1.0))
    assert reply.plan.engine == plan_pb2.ENGINE_EXACT
    assert not reply.rejected


async def test_the_ranking_is_carried_in_the_plan(
    planner: "pb_grpc.PlannerServiceAsyncStub",
) -> None:
    ranking = plan_pb2.Ranking(lexical_weight=0.3, half_life_s=86_400)
    reply = await planner.Plan(pb.PlanRequest(limit=10, ranking=ranking))
    assert reply.plan.ranking == ranking
    assert not (await planner.Plan(pb.PlanRequest(limit=10))).plan.HasField("ranking")


async def test_what_will_be_ranked_is_planned_for_as_many_hits_as_search_fetches(
    planner: "pb_grpc.PlannerServiceAsyncStub",
) -> None:
    def plan(limit: int, ranking: plan_pb2.Ranking | None = None) -> pb.PlanRequest:
        return pb.PlanRequest(limit=limit, ranking=ranking)

    for limit, fetched in [(1, 100), (10, 100), (200, 800)]:
        ranked = (await planner.Plan(plan(limit, plan_pb2.Ranking(diversity=0.5)))).plan
        plain = (await planner.Plan(plan(fetched))).plan
        assert (ranked.ef_search, ranked.candidates) == (plain.ef_search, plain.candidates)
        # A ranking that changes nothing fetches nothing more.
        same = (await planner.Plan(plan(limit, plan_pb2.Ranking(rrf_constant=60)))).plan
        assert same.candidates == (await planner.Plan(plan(limit))).plan.candidates


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.PlanRequest(limit=0), "limit"),
        (pb.PlanRequest(limit=1001), "limit"),
        (pb.PlanRequest(limit=1, recall_target=1.5), "recall_target"),
        (pb.PlanRequest(limit=1, recall_target=float("nan")), "recall_target"),
        (
            pb.PlanRequest(limit=1, ranking=plan_pb2.Ranking(lexical_weight=1.5)),
            "ranking.lexical_weight",
        ),
        (
            pb.PlanRequest(limit=1, ranking=plan_pb2.Ranking(half_life_s=float("nan"))),
            "ranking.half_life_s",
        ),
        (
            pb.PlanRequest(limit=1, filter=filter_pb2.SpanFilter(min_quality=-1)),
            "filter.min_quality",
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
