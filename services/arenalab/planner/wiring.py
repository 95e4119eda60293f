"""Builds Planner from its settings: the one place that knows every concrete class."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.api.search.v1 import search_service_pb2_grpc as search_grpc
from arenalab.mesh import Telemetry, connect, running_server, scope_for
from arenalab.planner.config import PlannerConfig
from arenalab.planner.facts import Facts
from arenalab.planner.requests import facts_of
from arenalab.planner.service import SERVICE_NAME, PlannerService
from arenalab.planner.statistics import Statistics

_IDEMPOTENT: Final = ("arenalab.api.search.v1.SearchService/Stats",)


@asynccontextmanager
async def running_planner(config: PlannerConfig, telemetry: Telemetry) -> AsyncGenerator[int]:
    """Serves Planner for the length of the `async with` block; yields its port."""
    async with connect(config.search_address, telemetry, idempotent=_IDEMPOTENT) as channel:
        search: search_grpc.SearchServiceAsyncStub = search_grpc.SearchServiceStub(channel)

        async def fetch(tenant: str, dataset: str) -> Facts:
            request = search_pb.StatsRequest(scope=scope_for(tenant), dataset=dataset)
            return facts_of(await search.Stats(request, timeout=config.stats_timeout_s))

        service = PlannerService(Statistics(fetch, time.monotonic))
        async with running_server(
            SERVICE_NAME, service.register, config.address, telemetry
        ) as port:
            yield port
