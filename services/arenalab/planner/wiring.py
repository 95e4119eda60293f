"""Builds Planner from its settings: the one place that knows every concrete class."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from arenalab.mesh import Telemetry, running_server
from arenalab.planner.config import PlannerConfig
from arenalab.planner.peers import Search
from arenalab.planner.service import SERVICE_NAME, PlannerService
from arenalab.planner.statistics import Remembered
from arenalab.sharding import connect_search


@asynccontextmanager
async def running_planner(config: PlannerConfig, telemetry: Telemetry) -> AsyncGenerator[int]:
    """Serves Planner for the length of the `async with` block; yields its port."""
    async with connect_search(config.search_address, telemetry, partial_counts=True) as stub:
        search = Search(stub, config.stats_timeout_s)
        service = PlannerService(
            Remembered(search.stats, time.monotonic), Remembered(search.count, time.monotonic)
        )
        async with running_server(
            SERVICE_NAME, service.register, config.address, telemetry
        ) as port:
            yield port
