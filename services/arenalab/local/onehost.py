"""The whole mesh in one process: every service on one event loop, talking real gRPC."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from arenalab.curator.wiring import running_curator
from arenalab.ensemble.wiring import running_ensemble
from arenalab.fallback.wiring import running_fallback
from arenalab.gateway.wiring import running_gateway
from arenalab.ledger.wiring import running_ledger
from arenalab.local.configs import LOOPBACK, Configs
from arenalab.local.home import Running
from arenalab.mesh import Metrics, Telemetry
from arenalab.planner.wiring import running_planner
from arenalab.predictor.wiring import running_predictor
from arenalab.search.wiring import running_search

# In the order in which they need each other.
_RUNNING: Final[Mapping[str, Callable[[Any, Telemetry], AbstractAsyncContextManager[int]]]] = {
    "ledger": running_ledger,
    "search": running_search,
    "planner": running_planner,
    "predictor": running_predictor,
    "fallback": running_fallback,
    "ensemble": running_ensemble,
    "curator": running_curator,
}


@dataclass(frozen=True, slots=True)
class Ports:
    """Where to listen: gRPC addresses by service, and the gateway's port (None: no gateway)."""

    addresses: Mapping[str, str]
    gateway: int | None


@asynccontextmanager
async def running_mesh(configs: Configs, ports: Ports) -> AsyncGenerator[Running]:
    """Runs every service for the length of the block; yields where they listen.

    Raises:
        MeshError: A service cannot start: a taken port, a missing key, damaged data.
    """
    metrics = Metrics()
    metrics.watch(asyncio.get_running_loop())
    at = dict(ports.addresses)
    async with AsyncExitStack() as stack:

        def telemetry(service: str) -> Telemetry:
            observed = Telemetry(
                service, otlp_endpoint=configs.settings.otlp_endpoint, metrics=metrics
            )
            stack.callback(observed.shutdown)
            return observed

        for name, running in _RUNNING.items():
            config = getattr(configs, name)(at)
            port = await stack.enter_async_context(running(config, telemetry(name)))
            at[name] = f"{LOOPBACK}:{port}"
        url = ""
        if ports.gateway is not None:
            config = configs.gateway(at, ports.gateway)
            port = await stack.enter_async_context(running_gateway(config, telemetry("gateway")))
            url = f"http://{config.host}:{port}"
        yield Running(pid=os.getpid(), gateway=url, addresses=at, version=version("arenalab"))
