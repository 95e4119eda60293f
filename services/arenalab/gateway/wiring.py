"""Builds the gateway: the only module that knows every part."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import grpc

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as ensemble_pb
from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as ensemble_grpc
from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as ledger_grpc
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.api.predictor.v1 import predictor_service_pb2_grpc as predictor_grpc
from arenalab.gateway.access import opened_keys, opened_meter
from arenalab.gateway.account import Meter
from arenalab.gateway.annotations import Annotator
from arenalab.gateway.app import Access, Gateway, Route
from arenalab.gateway.asking import Asking, ChatLimits
from arenalab.gateway.chat import ChatEndpoint
from arenalab.gateway.config import GatewayConfig
from arenalab.gateway.embeddings import EmbeddingsEndpoint
from arenalab.gateway.feedback import FeedbackEndpoint, SubjectsEndpoint
from arenalab.gateway.health import MetricsEndpoint, Readiness, live
from arenalab.gateway.keys.watch import StaticKeys
from arenalab.gateway.ledger import CheckpointEndpoint, ReceiptsEndpoint
from arenalab.gateway.limits.admission import Admission
from arenalab.gateway.limits.usage import UsageBook
from arenalab.gateway.models import ModelsEndpoint
from arenalab.gateway.openapi.endpoints import description_routes
from arenalab.gateway.provider_keys import read_provider_keys
from arenalab.gateway.responses.endpoint import ResponsesEndpoint
from arenalab.gateway.responses.history import Histories
from arenalab.gateway.riskcoverage import RiskCoverageEndpoint
from arenalab.gateway.server import Bounds, Certificate, serving
from arenalab.mesh import Telemetry, connect
from arenalab.sharding import connect_search
from arenalab.tokens import Tokens

if TYPE_CHECKING:
    from arenalab.api.search.v1 import search_service_pb2_grpc as search_grpc

_ENSEMBLE: Final = ensemble_pb.DESCRIPTOR.services_by_name["EnsembleService"].full_name
_LEDGER: Final = ledger_pb.DESCRIPTOR.services_by_name["LedgerService"].full_name
_LEDGER_READS: Final = [
    f"{_LEDGER}/{name}" for name in ("Get", "GetReceipt", "GetCheckpoint", "ListLogs")
]
_PREDICTOR: Final = predictor_pb.DESCRIPTOR.services_by_name["PredictorService"].full_name
_MODELS: Final = "/v1/models"
_RECEIPTS: Final = "/v1/receipts/"
_SUBJECTS: Final = "/v1/subjects/"


@asynccontextmanager
async def running_gateway(
    config: GatewayConfig, telemetry: Telemetry, now: Callable[[], float] = time.time
) -> AsyncGenerator[int]:
    """Runs the gateway for the length of the block.

    Args:
        config: Its settings.
        telemetry: Where it reports to.
        now: Unix time in seconds: what keys end by, and windows of limits in process.

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
        opened_keys(config, usage, now) as keys,
        opened_meter(config, usage, now) as meter,
        connect(
            config.ensemble_address, telemetry, idempotent=[f"{_ENSEMBLE}/ListModels"]
        ) as ensemble,
        connect_search(config.search_address, telemetry) as search,
        connect(config.ledger_address, telemetry, idempotent=_LEDGER_READS) as ledger,
        connect(
            config.predictor_address, telemetry, idempotent=[f"{_PREDICTOR}/GetRiskCoverage"]
        ) as predictor,
    ):
        tokens = Tokens()
        await asyncio.to_thread(tokens.warm)
        peers = Peers(ensemble, search, ledger, predictor)
        app = _gateway(config, telemetry, keys, meter, tokens, peers)
        certificate = _certificate(config)
        async with serving(app, config.host, config.port, bounds, certificate) as port:
            yield port


def _certificate(config: GatewayConfig) -> Certificate | None:
    if config.tls_cert_path is None or config.tls_key_path is None:
        return None
    return Certificate(config.tls_cert_path, config.tls_key_path)


@dataclass(frozen=True, slots=True)
class Peers:
    """The services that the gateway calls."""

    ensemble: grpc.aio.Channel
    search: "search_grpc.SearchServiceAsyncStub"
    ledger: grpc.aio.Channel
    predictor: grpc.aio.Channel


def _gateway(
    config: GatewayConfig,
    telemetry: Telemetry,
    keys: StaticKeys,
    meter: Meter,
    tokens: Tokens,
    peers: Peers,
) -> Gateway:
    exact, by_prefix = routes_of(config, telemetry, tokens, peers)
    return Gateway(
        routes={route.name: route for route in exact},
        by_prefix=by_prefix,
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


def routes_of(
    config: GatewayConfig, telemetry: Telemetry, tokens: Tokens, peers: Peers
) -> tuple[list[Route], dict[str, Route]]:
    """Returns the routes of exact paths, and those of all paths that begin alike."""
    ensemble = ensemble_grpc.EnsembleServiceStub(peers.ensemble)
    ledger = ledger_grpc.LedgerServiceStub(peers.ledger)
    predictor = predictor_grpc.PredictorServiceStub(peers.predictor)
    limits = ChatLimits(
        max_body_bytes=config.max_body_bytes,
        body_timeout_s=config.body_timeout_s,
        answer_timeout_s=config.answer_timeout_s,
        keep_alive_s=config.keep_alive_s,
    )
    asking = Asking(ensemble, tokens, limits, Annotator(config.span_url))
    embeddings = EmbeddingsEndpoint(
        peers.search,
        tokens,
        max_body_bytes=config.max_body_bytes,
        body_timeout_s=config.body_timeout_s,
        embed_timeout_s=config.embed_timeout_s,
    )
    feedback = FeedbackEndpoint(
        ensemble, max_body_bytes=config.max_body_bytes, body_timeout_s=config.body_timeout_s
    )
    models = ModelsEndpoint(ensemble, _MODELS)
    ready = Readiness(
        {"ensemble": peers.ensemble, "ledger": peers.ledger}, ensemble, config.ready_timeout_s
    )
    exact = [
        Route(name="/v1/chat/completions", methods={"POST": ChatEndpoint(asking)}),
        Route(name="/v1/responses", methods={"POST": ResponsesEndpoint(asking, Histories(ledger))}),
        Route(name="/v1/embeddings", methods={"POST": embeddings}),
        Route(name=_MODELS, methods={"GET": models}),
        Route(name="/v1/feedback", methods={"POST": feedback}),
        Route(name="/v1/ledger/checkpoint", methods={"GET": CheckpointEndpoint(ledger)}),
        Route(name="/v1/risk-coverage", methods={"GET": RiskCoverageEndpoint(predictor)}),
        Route(name="/health", methods={"GET": live}, is_open=True),
        Route(name="/ready", methods={"GET": ready}, is_open=True),
        Route(name="/metrics", methods={"GET": MetricsEndpoint(telemetry.metrics)}, is_open=True),
        *description_routes(),
    ]
    receipts = ReceiptsEndpoint(ledger, _RECEIPTS)
    subjects = SubjectsEndpoint(ensemble, _SUBJECTS)
    by_prefix = {
        f"{_MODELS}/": Route(name=f"{_MODELS}/{{id}}", methods={"GET": models}),
        _RECEIPTS: Route(name=f"{_RECEIPTS}{{id}}", methods={"GET": receipts}),
        _SUBJECTS: Route(name=f"{_SUBJECTS}{{user}}", methods={"DELETE": subjects}),
    }
    return exact, by_prefix
