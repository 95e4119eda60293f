"""GET /health, /ready and /metrics: for whoever runs the gateway."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import grpc
from grpc_health.v1 import health_pb2
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as ensemble_pb
from arenalab.gateway.errors import ApiError
from arenalab.gateway.exchange import Exchange
from arenalab.gateway.extension import STATUSES, name_of
from arenalab.mesh import MeshError, Metrics

if TYPE_CHECKING:
    from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as ensemble_grpc

_CHECK: Final = "/grpc.health.v1.Health/Check"


async def live(exchange: Exchange) -> None:
    """Says that this process answers, whatever the others do."""
    await exchange.respond_json(200, {"status": "ok"})


class Readiness:
    """Says whether a question would be answered now, and which service is missing.

    It names the running status of each dataset's guarantee too, of the default tenant: who asks has
    shown no key. A void guarantee is no reason not to be ready: the fallback answers.
    """

    def __init__(
        self,
        channels: Mapping[str, grpc.aio.Channel],
        ensemble: "ensemble_grpc.EnsembleServiceAsyncStub",
        timeout_s: float,
    ) -> None:
        """`channels` lead to the services without which nothing is answered, by name."""
        self._ensemble = ensemble
        # Not HealthStub: its published type stubs miss the methods.
        self._checks = {
            name: channel.unary_unary(
                _CHECK,
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            for name, channel in channels.items()
        }
        self._timeout_s = timeout_s

    async def __call__(self, exchange: Exchange) -> None:
        *found, guarantees = await asyncio.gather(
            *map(self._status, self._checks), self._guarantees()
        )
        services = dict(zip(self._checks, found, strict=True))
        seen = {"services": services, "guarantees": guarantees}
        missing = [name for name, status in services.items() if status != "serving"]
        if not missing:
            await exchange.respond_json(200, {"status": "ready"} | seen)
            return
        error = ApiError(
            503, "not_ready", f"not ready: {', '.join(missing)} cannot be reached", retry_after_s=1
        )
        await exchange.respond_json(503, error.body() | seen, error.headers)

    async def _guarantees(self) -> dict[str, str] | None:
        """Returns the status of each dataset; None where it cannot be had now."""
        try:
            reply = await self._ensemble.GetGuaranteeStatus(
                ensemble_pb.GetGuaranteeStatusRequest(), timeout=self._timeout_s
            )
        except MeshError:
            return None
        return {one.dataset: name_of(STATUSES, one.status) for one in reply.datasets}

    async def _status(self, name: str) -> str:
        try:
            reply = await self._checks[name](
                health_pb2.HealthCheckRequest(), timeout=self._timeout_s
            )
        except MeshError:
            return "unreachable"
        return health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status).lower()


class MetricsEndpoint:
    """The metrics of this process, for Prometheus."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.respond(200, generate_latest(self._metrics.registry), CONTENT_TYPE_LATEST)
