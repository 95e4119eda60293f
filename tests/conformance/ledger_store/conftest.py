"""Logs in each kind of storage, and the cluster that one kind needs, started once a run."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from arenalab.ledger.entry import Entry
from arenalab.ledger.local_storage import LocalStorage
from arenalab.ledger.log import Log, Rolling
from arenalab.ledger.packing import read_lines
from arenalab.ledger.store import Storage
from arenalab.ledger.subjects import SubjectKeys
from arenalab.mesh import MeshError
from arenalab.proof import KeyRing, Receipt, Signer, verify_receipt
from tests.conformance.ledger_store.cluster import Cluster, server_binary

ORIGIN = "example.org/log"
SIGNER = Signer(ORIGIN, bytes(range(32)))
PUBLIC_KEY = str(SIGNER.verifier_key)
SEGMENT_BYTES = 8_000
# Above an election, on a machine that has other things to do.
TIMEOUT_S = 40.0

if TYPE_CHECKING:  # needs the extra nats
    from arenalab.ledger.jetstream import JetStreamSettings

_streams = count()


@dataclass
class Opener:
    """Opens logs of one storage, and closes what is left open."""

    directory: Path
    cluster: Cluster | None = None  # else local
    stream: str = field(default_factory=lambda: f"LOG{next(_streams)}")
    logs: list[Log] = field(default_factory=list)

    def storage(self, *, timeout_s: float = TIMEOUT_S, servers: tuple[str, ...] = ()) -> Storage:
        if self.cluster is None:
            return LocalStorage()
        from arenalab.ledger.jetstream import JetStreamStorage

        return JetStreamStorage(self.settings(timeout_s=timeout_s, servers=servers))

    def settings(
        self, *, timeout_s: float = TIMEOUT_S, servers: tuple[str, ...] = ()
    ) -> "JetStreamSettings":
        from arenalab.ledger.jetstream import JetStreamSettings

        assert self.cluster is not None
        servers = servers or self.cluster.urls
        return JetStreamSettings(servers=servers, stream=self.stream, timeout_s=timeout_s)

    def __call__(
        self,
        name: str = "log",
        *,
        segment_bytes: int = SEGMENT_BYTES,
        compress: bool = False,
        signer: Signer = SIGNER,
        storage: Storage | None = None,
        subjects: SubjectKeys | None = None,
    ) -> Log:
        """Opens the log in a directory of this name; once more if it is open."""
        directory = self.directory / name
        for log in [log for log in self.logs if log.directory == directory]:
            self.close(log)
        self.logs.append(
            Log(
                directory,
                KeyRing(signer),
                now_ns=time.time_ns,
                random=os.urandom,
                rolling=Rolling(size_bytes=segment_bytes, compress=compress),
                storage=storage or self.storage(),
                subjects=subjects,
            )
        )
        return self.logs[-1]

    def close(self, log: Log) -> None:
        self.logs.remove(log)
        log.close()

    def close_all(self) -> None:
        while self.logs:
            self.close(self.logs[-1])


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    pytest.importorskip("nats", reason="the extra nats is not installed")
    binary = server_binary()
    if binary is None:
        pytest.skip("nats-server is not installed")
    servers = Cluster(tmp_path_factory.mktemp("nats"), binary)
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()


@pytest.fixture(params=["local", "jetstream"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens logs in either storage."""
    servers = request.getfixturevalue("cluster") if request.param == "jetstream" else None
    opener = Opener(tmp_path, servers)
    yield opener
    opener.close_all()


@pytest.fixture
def replicated(cluster: Cluster, tmp_path: Path) -> Iterator[Opener]:
    """Opens logs of one stream, in as many directories as there are names."""
    opener = Opener(tmp_path, cluster)
    yield opener
    opener.close_all()


def seal(log: Log, *entries: Entry) -> list[Receipt]:
    """Seals entries in one batch; checks and returns their receipts."""
    receipts = []
    for outcome in log.commit(entries):
        if isinstance(outcome, MeshError):
            raise outcome
        verify_receipt(outcome, PUBLIC_KEY)
        receipts.append(outcome)
    return receipts


def lines_of(log: Log) -> list[bytes]:
    """Returns the lines of each segment."""
    return [read_lines(path) for path in log.segment_paths]
