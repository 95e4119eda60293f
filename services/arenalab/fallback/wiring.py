"""Builds Fallback from its settings: the one place that knows every concrete class."""

import random
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx

from arenalab.fallback.attempt import Watch
from arenalab.fallback.breaker import Breaker
from arenalab.fallback.completing import Bounds, Completing, Means
from arenalab.fallback.config import FallbackConfig, ProviderConfig
from arenalab.fallback.endpoint import Endpoint
from arenalab.fallback.latency import Latencies
from arenalab.fallback.metering import Meter
from arenalab.fallback.opening import Retrying
from arenalab.fallback.price_file import PriceFile
from arenalab.fallback.provider import Patience, Provider, http_client
from arenalab.fallback.purse import Purse
from arenalab.fallback.routing import Strategy
from arenalab.fallback.service import SERVICE_NAME, FallbackService
from arenalab.fallback.wire.choosing import adapter_of
from arenalab.mesh import Telemetry, running_server
from arenalab.tokens import Tokens


@asynccontextmanager
async def running_fallback(config: FallbackConfig, telemetry: Telemetry) -> AsyncGenerator[int]:
    """Serves Fallback for the length of the block; yields its port."""
    patience = Patience(
        connect_s=config.connect_timeout_s,
        first_byte_s=config.first_token_timeout_s,
        idle_s=config.idle_timeout_s,
    )
    means = _means(config, telemetry)
    # A hedge is a second connection of one completion.
    connections = config.max_concurrent * (2 if config.hedge_after_s else 1)
    async with http_client(patience, connections) as client, means.purse.kept():
        endpoints = [_endpoint(provider, config, client, patience) for provider in config.providers]
        service = FallbackService(
            Completing(
                endpoints, Strategy(config.routing), _bounds(config), _retrying(config), means
            )
        )
        async with running_server(
            SERVICE_NAME, service.register, config.address, telemetry
        ) as port:
            yield port


def _means(config: FallbackConfig, telemetry: Telemetry) -> Means:
    latencies = Latencies(failure_s=config.first_token_timeout_s, now=time.monotonic)
    return Means(
        prices=PriceFile(config.prices_path),
        purse=Purse(config.caps(), config.spending_path, lambda: datetime.now(UTC)),
        watch=Watch(telemetry, Meter(telemetry.metrics), latencies, time.monotonic),
        rng=random.Random(),  # noqa: S311 - orders and pauses are no secrets
        nonce=lambda: secrets.token_hex(8),
        tokens_of=Tokens().count,
    )


def _bounds(config: FallbackConfig) -> Bounds:
    return Bounds(
        max_concurrent=config.max_concurrent,
        total_s=config.total_timeout_s,
        max_evidence_tokens=config.max_evidence_tokens,
        expected_output_tokens=config.expected_output_tokens,
    )


def _retrying(config: FallbackConfig) -> Retrying:
    return Retrying(
        first_token_s=config.first_token_timeout_s,
        max_retries=config.max_retries,
        retry_pause_s=config.retry_pause_s,
        hedge_after_s=config.hedge_after_s,
    )


def _endpoint(
    provider: ProviderConfig, config: FallbackConfig, client: httpx.AsyncClient, patience: Patience
) -> Endpoint:
    def new_breaker() -> Breaker:
        return Breaker(
            failures=config.breaker_failures,
            pause_s=config.breaker_pause_s,
            max_pause_s=config.breaker_max_pause_s,
            now=time.monotonic,
        )

    return Endpoint(Provider(provider, client, patience, adapter_of(provider)), new_breaker)
