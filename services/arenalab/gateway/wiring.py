"""Builds the gateway: the only module that knows every part."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import grpc

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as ensemble_pb
from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as ensemble_grpc
from arenalab.gateway.access import opened_keys, opened_meter
from arenalab.gateway.account import Meter
from arenalab.gateway.app import Access, Gateway, Route
from arenalab.gateway.chat import ChatEndpoint, ChatLimits
from arenalab.gateway.config import GatewayConfig
from arenalab.gateway.embeddings import EmbeddingsEndpoint
from arenalab.gateway.health import MetricsEndpoint, Readiness, live
from arenalab.gateway.keys.watch import StaticKeys
from arenalab.gateway.limits.admission import Admission
from arenalab.gateway.limits.usage import UsageBook
from arenalab.gateway.models import ModelsEndpoint
from arenalab.gateway.provider_keys import read_provider_keys
from arenalab.gateway.server import Bounds, Certificate, serving
from arenalab.mesh import Telemetry, connect
from arenalab.sharding import connect_search
from arenalab.tokens import Tokens

if TYPE_CHECKING:
    from arenalab.api.search.v1 import search_service_pb2_grpc as search_grpc

_ENSEMBLE: Final = ensemble_pb.DESCRIPTOR.services_by_name["EnsembleService"].full_name
_MODELS: Final = "/v1/models"


@asynccontextmanager
async def running_gateway(
    config: GatewayConfig, telemetry: Telemetry, now: Callable[[], float] = time.time
) -> AsyncGenerator[int]:
    """Runs the gateway for the length of the block.

    Args:
        config: Its settings.
        telemetry: Where it reports to.
        now: Unix time in seconds: what the windows of limits in process go by.

    Yields:
        The port it listens on.

    Raises:
        PreconditionError: MISSING_KEY; keys are needed and none is configured, or the
            pepper is missing.
        NotReadyError: The key store does not answer, the port is taken, or the
            certificate cannot be used.
        ConfigError: A setting is malformed.
    """
    usage = UsageBook()
    bounds = Bounds(
        head_timeout_s=config.head_timeout_s,
        max_connections=config.max_connections,
        drain_s=config.drain_s,
    )
    async with (
        # The first to open is the last to close: it writes what the last answers used.
        opened_keys(config, usage) as keys,
        opened_meter(config, usage, now) as meter,
        connect(
            config.ensemble_address, telemetry, idempotent=[f"{_ENSEMBLE}/ListModels"]
        ) as ensemble,
        connect_search(config.search_address, telemetry) as search,
        connect(config.ledger_address, telemetry) as ledger,
    ):
        tokens = Tokens()
        await asyncio.to_thread(tokens.warm)
        app = _gateway(config, telemetry, keys, meter, tokens, ensemble, search, ledger)
        certificate = _certificate(config)
        async with serving(app, config.host, config.port, bounds, certificate) as port:
            yield port


def _certificate(config: GatewayConfig) -> Certificate | None:
    if config.tls_cert_path is None or config.tls_key_path is None:
        return None
    return Certificate(config.tls_cert_path, config.tls_key_path)


def _gateway(
    config: GatewayConfig,
    telemetry: Telemetry,
    keys: StaticKeys,
    meter: Meter,
    tokens: Tokens,
    ensemble: grpc.aio.Channel,
    search: "search_grpc.SearchServiceAsyncStub",
    ledger: grpc.aio.Channel,
) -> Gateway:
    asking = ensemble_grpc.EnsembleServiceStub(ensemble)
    chat = ChatEndpoint(
        asking,
        tokens,
        ChatLimits(
            max_body_bytes=config.max_body_bytes,
            body_timeout_s=config.body_timeout_s,
            answer_timeout_s=config.answer_timeout_s,
            keep_alive_s=config.keep_alive_s,
        ),
    )
    embeddings = EmbeddingsEndpoint(
        search,
        tokens,
        max_body_bytes=config.max_body_bytes,
        body_timeout_s=config.body_timeout_s,
        embed_timeout_s=config.embed_timeout_s,
    )
    models = ModelsEndpoint(asking, _MODELS)
    ready = Readiness({"ensemble": ensemble, "ledger": ledger}, asking, config.ready_timeout_s)
    routes = (
        Route(name="/v1/chat/completions", methods={"POST": chat}),
        Route(name="/v1/embeddings", methods={"POST": embeddings}),
        Route(name=_MODELS, methods={"GET": models}),
        Route(name="/health", methods={"GET": live}, is_open=True),
        Route(name="/ready", methods={"GET": ready}, is_open=True),
        Route(name="/metrics", methods={"GET": MetricsEndpoint(telemetry.metrics)}, is_open=True),
    )
    return Gateway(
        routes={route.name: route for route in routes},
        by_prefix={f"{_MODELS}/": Route(name=f"{_MODELS}/{{id}}", methods={"GET": models})},
        access=Access(
            keys=keys,
            needs_keys=config.needs_keys,
            cors_origins=config.cors_origins,
            provider_keys=read_provider_keys(config.provider_keys_path),
        ),
        admission=Admission(config.max_in_flight),
        meter=meter,
        telemetry=telemetry,
        write_timeout_s=config.write_timeout_s,
    )
