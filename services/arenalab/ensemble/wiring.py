"""Builds Ensemble from its settings: the one place that knows every concrete class."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from arenalab.atomic import uuid7
from arenalab.ensemble.answering import Answering
from arenalab.ensemble.auditing import Draw, read_key
from arenalab.ensemble.config import EnsembleConfig
from arenalab.ensemble.erasure import Erasure
from arenalab.ensemble.feedback import Feedbacks
from arenalab.ensemble.guardrails.loading import load_guardrails
from arenalab.ensemble.journal import Journal
from arenalab.ensemble.memory import Memory
from arenalab.ensemble.peers import IDEMPOTENT_LEDGER, IDEMPOTENT_PREDICTOR, Peers
from arenalab.ensemble.predictions import Predictions
from arenalab.ensemble.recording import Recorder
from arenalab.ensemble.registry import Remembered
from arenalab.ensemble.sealing import Sealer
from arenalab.ensemble.service import SERVICE_NAME, EnsembleService
from arenalab.mesh import Telemetry, connect, running_server


@asynccontextmanager
async def running_ensemble(config: EnsembleConfig, telemetry: Telemetry) -> AsyncGenerator[int]:
    """Serves Ensemble for the length of the block; yields its port."""
    guardrails = load_guardrails(config.guardrails_path)
    async with (
        connect(config.predictor_address, telemetry, idempotent=IDEMPOTENT_PREDICTOR) as predictor,
        connect(config.fallback_address, telemetry) as fallback,
        connect(config.ledger_address, telemetry, idempotent=IDEMPOTENT_LEDGER) as ledger,
    ):
        peers = Peers(config, predictor, fallback, ledger)
        sealer = Sealer(peers, Journal(config.journal_path, config.max_unsealed))
        folder = config.predictions_dir
        recent = Predictions(folder, "recent", config.max_predictions)
        audits = Predictions(folder, "audits", config.max_audits)
        draw = Draw(read_key(folder / "audit.key"), config.audit_rate)
        recorder = Recorder(draw, recent, audits)
        memory = Memory(peers, config.max_creatures_at_once, time.time)
        answering = Answering(
            peers,
            memory,
            sealer,
            recorder,
            telemetry,
            _new_id,
            os.urandom,
            guardrails,
            config.rag_evidence,
        )
        feedbacks = Feedbacks(peers, sealer, recent, audits)
        service = EnsembleService(
            answering,
            Remembered(peers.creatures),
            # A model that names one which is not there yet has the list asked for anew.
            Remembered(peers.providers, keeps_empty=True),
            feedbacks,
            Erasure(peers, sealer, feedbacks),
            peers.guarantees,
        )
        draining = asyncio.create_task(sealer.drain_for_ever())
        try:
            async with running_server(
                SERVICE_NAME, service.register, config.address, telemetry
            ) as port:
                yield port
            await answering.drain()
        finally:
            draining.cancel()
            with suppress(asyncio.CancelledError):
                await draining


def _new_id() -> str:
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))
