"""Builds Fallback from its settings: the one place that knows every concrete class."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx

from arenalab.fallback.breaker import Breaker
from arenalab.fallback.completing import Bounds, Completing, Endpoint
from arenalab.fallback.config import FallbackConfig, ProviderConfig
from arenalab.fallback.provider import Patience, Provider, http_client
from arenalab.fallback.retries import RetryBudget
from arenalab.fallback.service import SERVICE_NAME, FallbackService
from arenalab.fallback.wire.choosing import adapter_of
from arenalab.mesh import Telemetry, running_server


@asynccontextmanager
async def running_fallback(config: FallbackConfig, telemetry: Telemetry) -> AsyncGenerator[int]:
    """Serves Fallback for the length of the block; yields its port."""
    patience = Patience(
        connect_s=config.connect_timeout_s,
        first_byte_s=config.first_byte_timeout_s,
        idle_s=config.idle_timeout_s,
    )
    bounds = Bounds(
        max_concurrent=config.max_concurrent,
        retry_pause_s=config.retry_pause_s,
        max_evidence_chars=config.max_evidence_chars,
    )
    async with http_client(patience, config.max_concurrent) as client:
        endpoints = [_endpoint(provider, config, client, patience) for provider in config.providers]
        service = FallbackService(Completing(endpoints, bounds, telemetry, time.monotonic))
        async with running_server(
            SERVICE_NAME, service.register, config.address, telemetry
        ) as port:
            yield port


def _endpoint(
    provider: ProviderConfig, config: FallbackConfig, client: httpx.AsyncClient, patience: Patience
) -> Endpoint:
    return Endpoint(
        provider=Provider(provider, client, patience, adapter_of(provider)),
        breaker=Breaker(
            failures=config.breaker_failures,
            pause_s=config.breaker_pause_s,
            max_pause_s=config.breaker_max_pause_s,
            now=time.monotonic,
        ),
        retries=RetryBudget(),
    )
