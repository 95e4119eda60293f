"""Builds Ledger from its settings: the one place that knows every concrete class."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from arenalab.ledger.committer import Committer
from arenalab.ledger.config import LedgerConfig
from arenalab.ledger.division import LogName
from arenalab.ledger.entry import Randomness
from arenalab.ledger.keys import create_signing_key, load_key_ring
from arenalab.ledger.ledger import Ledger
from arenalab.ledger.local_storage import LocalStorage
from arenalab.ledger.log import Log, Rolling
from arenalab.ledger.replication import open_jetstream_logs
from arenalab.ledger.service import SERVICE_NAME, LedgerService
from arenalab.ledger.subjects import SubjectKeys
from arenalab.ledger.watching import Watchers
from arenalab.ledger.witness import read_witnesses
from arenalab.ledger.witnessing import witnessing
from arenalab.mesh import Telemetry, running_server

if TYPE_CHECKING:
    from arenalab.ledger.jetstream import JetStreamLogs


@asynccontextmanager
async def running_ledger(config: LedgerConfig, telemetry: Telemetry) -> AsyncGenerator[int]:
    """Serves Ledger for the length of the block; yields its port."""
    watchers = Watchers(config.max_watchers)
    metrics = telemetry.metrics
    sizes: dict[str, int] = {}  # of each log, by origin

    def on_batch(log: Log, entries: int) -> None:
        metrics.ledger_batch.observe(entries)
        sizes[log.origin] = log.head.size
        metrics.ledger_size.set(sum(sizes.values()))
        watchers.tell()

    ledger = await asyncio.to_thread(open_ledger, config, on_batch)
    sizes |= {opened.log.origin: opened.log.head.size for opened in ledger.all()}
    metrics.ledger_size.set(sum(sizes.values()))
    service = LedgerService(ledger, watchers)
    try:
        async with (
            witnessing(
                lambda: (opened.log for opened in ledger.all()),
                read_witnesses(config.witnesses),
                config.witness_every_s,
            ),
            running_server(SERVICE_NAME, service.register, config.address, telemetry) as port,
        ):
            yield port
    finally:
        await asyncio.to_thread(ledger.close)


class _LocalLogs:
    """Logs that are kept in their directories, and nowhere else."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[LogName]:
        return []

    def storage(self, name: LogName) -> LocalStorage:
        del name
        return LocalStorage()

    def subjects(self, shard: str, random: Randomness) -> SubjectKeys:
        directory = LogName(shard, "").shard_directory(self._root)
        return LocalStorage().open_keys(directory, random)

    def close(self) -> None:
        """Does nothing: there is no connection."""


def open_ledger(
    config: LedgerConfig, on_batch: Callable[[Log, int], None] = lambda _log, _entries: None
) -> Ledger:
    """Opens every log that the settings name, and the one that takes entries now.

    Raises:
        PreconditionError: MISSING_KEY.
        BusyError: Another process has a log open.
        DataLossError: CORRUPT_LEDGER; the subjects' keys are damaged.
        NotReadyError: The cluster that keeps the logs cannot be reached.
        ConfigError: Its settings, credentials or package are not right.
    """
    logs = _replicated_logs(config) if config.nats_servers else _LocalLogs(config.directory)

    def open_log(name: LogName, subjects: SubjectKeys) -> Log:
        path = config.key_path_of(name.shard)
        if config.create_key or name.shard:
            _create_missing_key(config, path)
        origin = name.origin(config.origin)
        return Log(
            name.directory(config.directory),
            load_key_ring(path, origin, seed_hex=config.signing_key, now=datetime.now(UTC)),
            now_ns=time.time_ns,
            random=os.urandom,
            subjects=subjects,
            rolling=Rolling(config.segment_bytes, config.segment_age_s, config.compress),
            storage=logs.storage(name),
        )

    def start_committer(log: Log) -> Committer:
        return Committer(
            log.commit,
            config.max_queued,
            lambda entries: on_batch(log, entries),
            batch_entries=config.batch_entries,
            batch_wait_s=config.batch_wait_ms / 1000,
        )

    with ExitStack() as undo:
        undo.callback(logs.close)
        kept_elsewhere = logs.names()
        ledger = Ledger(
            config.directory,
            config.origin,
            config.division(),
            open_log=open_log,
            open_subjects=lambda name: logs.subjects(name.shard, os.urandom),
            start_committer=start_committer,
            now_ns=time.time_ns,
            max_logs=config.max_logs,
            kept_elsewhere=kept_elsewhere,
            close_storage=logs.close,
        )
        undo.pop_all()
    try:
        if not config.division().by_scope:
            ledger.current("default")
    except BaseException:
        ledger.close()
        raise
    return ledger


def _replicated_logs(config: LedgerConfig) -> "JetStreamLogs":
    return open_jetstream_logs(
        servers=config.nats_servers,
        stream=config.nats_stream,
        replicas=config.nats_replicas,
        timeout_s=config.nats_timeout_s,
        credentials=config.nats_credentials,
        ca=config.nats_ca,
        certificate=config.nats_certificate,
        certificate_key=config.nats_certificate_key,
    )


def _create_missing_key(config: LedgerConfig, path: Path) -> None:
    if not config.signing_key and not path.exists():
        create_signing_key(path)
