"""Builds Predictor from its settings: the one place that knows every concrete class."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

import numpy as np

from arenalab.caching import Cache, open_cache
from arenalab.dataset import DatasetStore
from arenalab.mesh import Telemetry, connect, running_server
from arenalab.predictor.calibrating import Calibrator
from arenalab.predictor.config import PredictorConfig
from arenalab.predictor.creatures import read_creatures
from arenalab.predictor.meaning import same_by_meaning
from arenalab.predictor.monitoring.guard import Guard
from arenalab.predictor.monitoring.label_log import LabelStore
from arenalab.predictor.monitoring.upkeep import Upkeep
from arenalab.predictor.overrides import Overrides
from arenalab.predictor.peers import IDEMPOTENT_PLANNER, Peers
from arenalab.predictor.predicting import Predicting
from arenalab.predictor.prediction import Predictor
from arenalab.predictor.revisions import Revisions
from arenalab.predictor.risk_call import RiskCoverage
from arenalab.predictor.sentiment import valence_of
from arenalab.predictor.service import SERVICE_NAME, PredictorService
from arenalab.predictor.versions import Versions
from arenalab.sharding import connect_search

_TRAJECTORY_MB: Final = 4


@asynccontextmanager
async def running_predictor(config: PredictorConfig, telemetry: Telemetry) -> AsyncGenerator[int]:
    """Serves Predictor for the length of the block; yields its port."""
    named = read_creatures(config.creatures_path)
    labels = LabelStore(config.home, time.time)
    versions = Versions(DatasetStore(config.datasets_dir), Overrides(config.home), labels)
    async with (
        connect_search(config.search_address, telemetry, partial_counts=True) as search,
        connect(config.planner_address, telemetry, idempotent=IDEMPOTENT_PLANNER) as planner,
        _caches(config, telemetry) as caches,
    ):
        peers = Peers(config, search, planner, *caches[1:])
        predictor = Predictor(peers, versions, named)
        calibrator = Calibrator(predictor, versions, config.max_calibrating)
        guard = Guard(versions, peers, named, telemetry.metrics)
        upkeep = Upkeep(guard, calibrator, labels, time.time, config.recalibrate_every_s)
        service = PredictorService(
            predicting=Predicting(predictor, versions, peers, Revisions(peers.revision), caches),
            calibrator=calibrator,
            risk_coverage=RiskCoverage(predictor, versions, peers, config.fallback_cost_usd_micros),
            versions=versions,
            peers=peers,
            guard=guard,
            named=named,
            datasets_dir=config.datasets_dir,
            telemetry=telemetry,
        )
        await asyncio.to_thread(_warm_up)
        keeping = asyncio.create_task(upkeep.run_for_ever())
        try:
            async with running_server(
                SERVICE_NAME, service.register, config.address, telemetry
            ) as port:
                yield port
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping
            await guard.write_served()


@asynccontextmanager
async def _caches(config: PredictorConfig, telemetry: Telemetry) -> AsyncGenerator[list[Cache]]:
    """Opens the caches of outputs and of trajectories; none where the settings have no layer."""
    outputs = config.cache_settings(config.cache_memory_mb)
    trajectories = config.cache_settings(min(config.cache_memory_mb, _TRAJECTORY_MB))
    async with AsyncExitStack() as stack:
        caches = []
        if outputs.is_on:
            for name, settings, ttl_s in (
                ("prediction", outputs, config.cache_ttl_s),
                ("trajectory", trajectories, config.cache_trajectory_ttl_s),
            ):
                opening = open_cache(name, settings, telemetry.metrics, ttl_s=ttl_s)
                caches.append(await stack.enter_async_context(opening))
            await caches[0].warm_up(config.cache_warm_up)
        yield caches


def _warm_up() -> None:
    # What is loaded on first use would make the first questions wait for half a second.
    valence_of("fine")
    same_by_meaning(np.zeros((2, 2)))
