"""A log in JetStream while answers, servers and the majority of them are lost."""

import threading
import time
from contextlib import closing, suppress

import pytest

from arenalab.ledger.committer import Committer
from arenalab.ledger.log import Log
from arenalab.ledger.verify import verify_directory
from arenalab.mesh import NotReadyError, Reason
from arenalab.proof import Receipt
from tests.conformance.ledger_store.cluster import Cluster
from tests.conformance.ledger_store.conftest import (
    PUBLIC_KEY,
    TIMEOUT_S,
    Opener,
    lines_of,
    seal,
)
from tests.conformance.ledger_store.proxy import Proxy
from tests.unit.ledger.conftest import an_entry

pytest.importorskip("nats", reason="the extra nats is not installed")

from tests.conformance.ledger_store.raw import raw

CALLERS = 6


def test_a_batch_whose_acknowledgement_is_lost_is_there_once(
    replicated: Opener, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(Proxy(cluster.nodes[0].client_port)) as proxy:
        log = replicated(storage=replicated.storage(servers=(proxy.url,)))
        seal(log, an_entry("e0", subject="ann"))
        proxy.lose_next()
        (receipt,) = seal(log, an_entry("e1", subject="ann"))
        assert proxy.lost.is_set()
        assert receipt.leaf_index == 1
        assert "the connection to NATS is lost" in caplog.messages
        assert seal(log, an_entry("e2", subject="ann"))[0].leaf_index == 2
        with raw(cluster.urls) as streams:
            assert len(streams.payloads(replicated.stream)) == 3
        assert lines_of(replicated("two")) == lines_of(log)
        replicated.close_all()


class Load:
    """Callers that append until they are told to stop."""

    def __init__(self, log: Log) -> None:
        self.receipts: list[Receipt] = []
        self.errors: list[BaseException] = []
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._committer = Committer(log.commit, max_queued=1000)
        self._threads = [
            threading.Thread(target=self._append, args=(caller,)) for caller in range(CALLERS)
        ]
        for thread in self._threads:
            thread.start()

    def wait_for(self, more: int) -> None:
        """Waits until so many more are acknowledged."""
        with self._changed:
            enough = len(self.receipts) + more
            done = self._changed.wait_for(
                lambda: self.errors or len(self.receipts) >= enough, 2 * TIMEOUT_S
            )
        assert not self.errors
        assert done

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        self._committer.close()

    def _append(self, caller: int) -> None:
        number = 0
        while not self._stopped.is_set():
            entry = an_entry(f"e{caller}.{number}", subject=f"user-{caller}")
            try:
                receipt = self._committer.seal(entry)
            except Exception as error:  # noqa: BLE001 - the test says which
                with self._changed:
                    self.errors.append(error)
                    self._changed.notify()
                return
            with self._changed:
                self.receipts.append(receipt)
                self._changed.notify()
            number += 1


@pytest.mark.slow
def test_a_server_that_is_killed_under_load_takes_nothing_along(
    replicated: Opener, cluster: Cluster
) -> None:
    log = replicated("one")
    load = Load(log)
    load.wait_for(50)
    with raw(cluster.urls) as streams:
        leader = cluster.node(streams.leader(replicated.stream))
    cluster.kill(leader)
    try:
        load.wait_for(50)
    finally:
        load.stop()
        cluster.start_node(leader)
    assert not load.errors
    two = replicated("two")
    assert lines_of(two) == lines_of(log)
    assert verify_directory(two.directory, PUBLIC_KEY).valid
    for receipt in load.receipts:
        assert two.get("default", receipt.leaf_index).leaf == receipt.leaf
    assert two.head.size == len(load.receipts)
    cluster.start()


@pytest.mark.slow
def test_without_a_majority_appends_fail_and_go_on_when_it_is_back(
    replicated: Opener, cluster: Cluster
) -> None:
    log = replicated("one", storage=replicated.storage(timeout_s=1.0))
    until_ready(log, "e0")
    before = log.head, lines_of(log)
    down = cluster.nodes[:2]
    for node in down:
        cluster.kill(node)
    try:
        for name in ("e1", "e2"):
            with pytest.raises(NotReadyError, match="NATS") as caught:
                seal(log, an_entry(name, subject="ann"))
            assert caught.value.reason is Reason.NOT_READY
        assert (log.head, lines_of(log)) == before
        assert log.get("default", 0).private is not None
        assert log.damage is None
        cluster.start_node(down[0])
        assert until_ready(log, "e2").leaf_index == 2
    finally:
        cluster.start()
    # What was in doubt came first, and is there once.
    assert seal(log, an_entry("e1", subject="ann"))[0].leaf_index == 1
    two = replicated("two")
    assert two.head.size == 3
    assert lines_of(two) == lines_of(log)
    assert verify_directory(two.directory, PUBLIC_KEY).valid


def until_ready(log: Log, name: str) -> Receipt:
    """Seals an entry again until it is sealed."""
    deadline = time.monotonic() + 2 * TIMEOUT_S
    while time.monotonic() < deadline:
        with suppress(NotReadyError):
            return seal(log, an_entry(name, subject="ann"))[0]
    pytest.fail("the cluster did not come back")
