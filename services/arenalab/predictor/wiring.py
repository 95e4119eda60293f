"""Builds Predictor from its settings: the one place that knows every concrete class."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import numpy as np

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
from arenalab.predictor.prediction import Predictor
from arenalab.predictor.risk_call import RiskCoverage
from arenalab.predictor.sentiment import valence_of
from arenalab.predictor.service import SERVICE_NAME, PredictorService
from arenalab.predictor.versions import Versions
from arenalab.sharding import connect_search


@asynccontextmanager
async def running_predictor(config: PredictorConfig, telemetry: Telemetry) -> AsyncGenerator[int]:
    """Serves Predictor for the length of the block; yields its port."""
    named = read_creatures(config.creatures_path)
    labels = LabelStore(config.home, time.time)
    versions = Versions(DatasetStore(config.datasets_dir), Overrides(config.home), labels)
    async with (
        connect_search(config.search_address, telemetry, partial_counts=True) as search,
        connect(config.planner_address, telemetry, idempotent=IDEMPOTENT_PLANNER) as planner,
    ):
        peers = Peers(config, search, planner)
        predictor = Predictor(peers, versions, named)
        calibrator = Calibrator(predictor, versions, config.max_calibrating)
        guard = Guard(versions, peers, named, telemetry.metrics)
        upkeep = Upkeep(guard, calibrator, labels, time.time, config.recalibrate_every_s)
        service = PredictorService(
            predictor=predictor,
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


def _warm_up() -> None:
    # What is loaded on first use would make the first questions wait for half a second.
    valence_of("fine")
    same_by_meaning(np.zeros((2, 2)))
