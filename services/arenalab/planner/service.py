"""PlannerService over search's counts: protobuf in, protobuf out."""

import asyncio

import grpc

from arenalab.api.planner.v1 import planner_service_pb2 as pb
from arenalab.api.planner.v1 import planner_service_pb2_grpc as pb_grpc
from arenalab.mesh import annotate, tenant_of
from arenalab.mesh import telemetry as names
from arenalab.planner.peers import Collection, Filtered
from arenalab.planner.requests import Counted, Known, facts_of, fetched_of, recall_of
from arenalab.planner.statistics import Remembered
from arenalab.planning import Plan, choose, explained
from arenalab.planning.proto_form import plan_to_proto

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["PlannerService"].full_name


class PlannerService(pb_grpc.PlannerServiceServicer):
    """Plans from what it knows of the collections."""

    def __init__(
        self, stats: Remembered[Collection, Known], counts: Remembered[Filtered, Counted]
    ) -> None:
        self._stats = stats
        self._counts = counts

    def register(self, server: grpc.aio.Server) -> None:
        """Adds this servicer to `server`."""
        pb_grpc.add_PlannerServiceServicer_to_server(self, server)

    async def Plan(self, request: pb.PlanRequest, context: grpc.ServicerContext) -> pb.PlanResponse:
        collection = Collection(tenant_of(request.scope), request.dataset)
        fetched, recall = fetched_of(request), recall_of(request)
        wanted = request.filter.SerializeToString(deterministic=True)
        known, counted = await asyncio.gather(
            self._stats.of(collection), self._counted(collection, wanted)
        )
        choice = explained(
            choose(facts_of(known, counted), limit=fetched, recall_target=recall, model=known.model)
        )
        _show(choice.plan, known.version)
        ranking = request.ranking if request.HasField("ranking") else None
        return pb.PlanResponse(
            plan=plan_to_proto(choice.plan, known.version, ranking),
            rejected=[plan_to_proto(one, known.version, ranking) for one in choice.rejected],
        )

    async def _counted(self, collection: Collection, wanted: bytes) -> Counted | None:
        return await self._counts.of(Filtered(collection, wanted)) if wanted else None


def _show(plan: Plan, version: str) -> None:
    annotate(
        {
            names.DATASET_VERSION: version,
            names.PLAN_ENGINE: plan.engine.value,
            names.PLAN_STRATEGY: plan.strategy.value,
            names.PLAN_EF_SEARCH: plan.ef_search,
            names.PLAN_CANDIDATES: plan.candidates,
            names.PLAN_COST_US: plan.cost_us,
            names.PLAN_EXPLANATION: plan.explanation,
        }
    )
