"""Builds Curator from its settings: the one place that knows every concrete class."""

import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from arenalab.curator.catalogue import Catalogue
from arenalab.curator.config import CuratorConfig
from arenalab.curator.jobs import Jobs
from arenalab.curator.peers import IDEMPOTENT_LEDGER, Peers
from arenalab.curator.service import SERVICE_NAME, CuratorService
from arenalab.curator.workshop import Workshop
from arenalab.dataset import DatasetStore
from arenalab.mesh import Telemetry, connect, running_server
from arenalab.sharding import connect_search


@asynccontextmanager
async def running_curator(config: CuratorConfig, telemetry: Telemetry) -> AsyncGenerator[int]:
    """Serves Curator for the length of the block; yields its port."""
    async with (
        connect_search(config.search_address, telemetry) as search,
        connect(config.predictor_address, telemetry) as predictor,
        connect(config.ledger_address, telemetry, idempotent=IDEMPOTENT_LEDGER) as ledger,
    ):
        store = DatasetStore(config.datasets_dir)
        workshop = Workshop(
            Jobs(config.home),
            Catalogue(config.home, store),
            store,
            Peers(config, search, predictor, ledger),
            key_path=config.key_path,
            patience_s=config.overload_patience_s,
            now_ns=time.time_ns,
            random=os.urandom,
        )
        async with running_server(
            SERVICE_NAME, CuratorService(workshop).register, config.address, telemetry
        ) as port:
            yield port
