"""PlannerService over search's statistics: protobuf in, protobuf out."""

import grpc

from arenalab.api.planner.v1 import planner_service_pb2 as pb
from arenalab.api.planner.v1 import planner_service_pb2_grpc as pb_grpc
from arenalab.mesh import annotate, tenant_of
from arenalab.mesh import telemetry as names
from arenalab.planner.plan import Plan, plan
from arenalab.planner.requests import limit_of, plan_message, recall_of, wanted_of
from arenalab.planner.statistics import Statistics

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["PlannerService"].full_name


class PlannerService(pb_grpc.PlannerServiceServicer):
    """Plans from what it knows of the collections."""

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics

    def register(self, server: grpc.aio.Server) -> None:
        """Adds this servicer to `server`."""
        pb_grpc.add_PlannerServiceServicer_to_server(self, server)

    async def Plan(self, request: pb.PlanRequest, context: grpc.ServicerContext) -> pb.PlanResponse:
        tenant = tenant_of(request.scope)
        limit, recall = limit_of(request), recall_of(request)
        wanted = wanted_of(request.filter)
        facts = await self._statistics.of(tenant, request.dataset)
        chosen, rejected = plan(facts, wanted, limit=limit, recall_target=recall)
        _show(chosen, facts.version)
        return pb.PlanResponse(
            plan=plan_message(chosen, facts.version),
            rejected=[plan_message(other, facts.version) for other in rejected],
        )


def _show(chosen: Plan, version: str) -> None:
    annotate(
        {
            names.DATASET_VERSION: version,
            names.PLAN_ENGINE: chosen.engine.value,
            names.PLAN_STRATEGY: chosen.strategy.value,
            names.PLAN_EF_SEARCH: chosen.ef_search,
            names.PLAN_CANDIDATES: chosen.candidates,
            names.PLAN_COST_US: chosen.cost_us,
            names.PLAN_EXPLANATION: chosen.explanation,
        }
    )
