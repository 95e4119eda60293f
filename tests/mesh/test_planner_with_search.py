"""The planner beside a real search: what it counts is what is found, and its plans run."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from arenalab.api.common.v1 import filter_pb2, plan_pb2
from arenalab.api.planner.v1 import planner_service_pb2 as planner_pb
from arenalab.api.planner.v1 import planner_service_pb2_grpc as planner_grpc
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc
from arenalab.mesh import InvalidInputError, Telemetry, address_of, connect
from arenalab.planner.config import PlannerConfig
from arenalab.planner.wiring import running_planner
from arenalab.search.embedder.protocol import Embedder
from arenalab.testing.datasets import write_version
from arenalab.testing.spans import make_span
from tests.mesh.search_desk import Desk

SPANS = 1500
RARE = filter_pb2.SpanFilter(domains=["rare"])
COMMON = filter_pb2.SpanFilter(domains=["common"], tags=["even"])


class Both(NamedTuple):
    planner: "planner_grpc.PlannerServiceAsyncStub"
    search: "pb_grpc.SearchServiceAsyncStub"
    vector: bytes


@pytest.fixture
async def both(tmp_path: Path, embedder: Embedder) -> AsyncIterator[Both]:
    """A collection with a graph: 15 rare spans, the others common, half of all even."""
    desk = Desk(tmp_path, embedder)
    desk.config = replace(desk.config, exact_limit=1000)
    spans = [
        make_span(
            f"question {n}",
            "an outcome",
            domain="rare" if n % 100 == 0 else "common",
            tags=("even",) if n % 2 == 0 else (),
        )
        for n in range(SPANS)
    ]
    vectors = np.random.default_rng(1).standard_normal((SPANS, embedder.dimension), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    version = write_version(
        desk.datasets,
        spans,
        vectors,
        embedder_id=embedder.id,
        embedder_digest=embedder.digest,
        dataset="faq",
        tenant="default",
    )
    async with AsyncExitStack() as stack:
        search = await stack.enter_async_context(desk.serving())
        await search.Publish(pb.PublishRequest(dataset="faq", dataset_version=version))
        await search.Snapshot(pb.SnapshotRequest(dataset="faq"))  # returns when it is indexed
        config = PlannerConfig(address="127.0.0.1:0", search_address=desk.address)
        port = await stack.enter_async_context(running_planner(config, Telemetry("planner")))
        channel = await stack.enter_async_context(connect(address_of(port), Telemetry("test")))
        yield Both(planner_grpc.PlannerServiceStub(channel), search, vectors[7].tobytes())


@pytest.mark.slow
async def test_what_is_planned_is_counted_by_search_and_found(both: Both) -> None:
    for wanted, matches in [(RARE, 15), (COMMON, 735), (None, SPANS)]:
        reply = await both.planner.Plan(planner_pb.PlanRequest(limit=10, filter=wanted))
        assert reply.plan.expected_matches == matches
        for plan in (reply.plan, *reply.rejected):
            found = await both.search.Search(
                pb.SearchRequest(vector=both.vector, limit=10, filter=wanted, plan=plan)
            )
            assert found.matches == matches
            assert len(found.span_ids) == 160  # ten ids, whatever the plan


@pytest.mark.slow
async def test_a_search_by_a_ranked_plan_walks_as_one_that_planned_for_itself(both: Both) -> None:
    ranking = plan_pb2.Ranking(diversity=0.5)
    reply = await both.planner.Plan(planner_pb.PlanRequest(limit=10, ranking=ranking))
    request = pb.SearchRequest(vector=both.vector, limit=10, ranking=ranking, explain=True)
    own = (await both.search.Search(request)).plan
    planned = {plan.engine: plan for plan in (reply.plan, *reply.rejected)}[own.engine]
    assert (own.ef_search, own.candidates) == (planned.ef_search, planned.candidates)


@pytest.mark.slow
async def test_the_graph_that_search_has_is_planned_for(both: Both) -> None:
    reply = await both.planner.Plan(planner_pb.PlanRequest(limit=10, filter=COMMON))
    engines = {plan.engine for plan in (reply.plan, *reply.rejected)}
    assert engines == {plan_pb2.ENGINE_EXACT, plan_pb2.ENGINE_HNSW}
    steps = [(step.condition, step.matches) for step in reply.plan.filter_steps]
    assert steps == [("tags", 750), ("domains", 1485)]


@pytest.mark.slow
async def test_what_search_refuses_is_refused(both: Both) -> None:
    wanted = filter_pb2.SpanFilter(min_quality=101)
    with pytest.raises(InvalidInputError) as caught:
        await both.planner.Plan(planner_pb.PlanRequest(limit=10, filter=wanted))
    assert caught.value.metadata["field"] == "filter.min_quality"
