"""Builds Ledger from its settings: the one place that knows every concrete class."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from arenalab.ledger.committer import Committer
from arenalab.ledger.config import LedgerConfig
from arenalab.ledger.keys import create_signing_key, load_signer
from arenalab.ledger.log import Log
from arenalab.ledger.service import SERVICE_NAME, LedgerService
from arenalab.mesh import Telemetry, running_server


@asynccontextmanager
async def running_ledger(config: LedgerConfig, telemetry: Telemetry) -> AsyncGenerator[int]:
    """Serves Ledger for the length of the block; yields its port."""
    log = await asyncio.to_thread(open_log, config)
    metrics = telemetry.metrics
    metrics.ledger_size.set(log.head.size)

    def on_batch(entries: int) -> None:
        metrics.ledger_batch.observe(entries)
        metrics.ledger_size.set(log.head.size)

    committer = Committer(log.commit, config.max_queued, on_batch)
    service = LedgerService(log, committer)
    try:
        async with running_server(
            SERVICE_NAME, service.register, config.address, telemetry
        ) as port:
            yield port
    finally:
        await asyncio.to_thread(committer.close)
        log.close()


def open_log(config: LedgerConfig) -> Log:
    """Opens the log that the settings name.

    Raises:
        PreconditionError: MISSING_KEY.
        BusyError: Another process has the log open.
        DataLossError: CORRUPT_LEDGER; the subjects' keys are damaged.
    """
    if config.create_key and not config.key_path.exists():
        create_signing_key(config.key_path)
    return Log(
        config.directory,
        load_signer(config.key_path, config.origin),
        now_ns=time.time_ns,
        random=os.urandom,
        segment_bytes=config.segment_bytes,
    )
