"""A log to be witnessed, and a witness, for the tests of this folder."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path

import httpx

from arenalab.ledger.witness.cosigning import Witness
from arenalab.ledger.witness.server import WitnessServer
from arenalab.ledger.witness.state import WitnessState
from arenalab.ledger.witness.submission import Submission
from arenalab.proof import (
    Checkpoint,
    Cosigner,
    KeyRing,
    MerkleTree,
    Signer,
    WitnessKey,
    leaf_hash,
)

ORIGIN = "example.org/log"
SIGNER = Signer(ORIGIN, bytes(32))
NOW_S = 1_800_000_000
_POLL_S = 0.01  # how soon a server notices that it should stop


@dataclass
class ALog:
    """A log that can be asked for checkpoints and proofs; `tag` tells forks apart."""

    tag: str = "true"
    signer: Signer | KeyRing = SIGNER
    tree: MerkleTree = field(default_factory=MerkleTree)

    def grow(self, size: int, tag: str | None = None) -> str:
        """Returns the checkpoint at a size."""
        for index in range(self.tree.size, size):
            self.tree.append(leaf_hash(f"{tag or self.tag} {index}".encode()))
        return self.note(size)

    def note(self, size: int) -> str:
        return self.signer.sign(Checkpoint(ORIGIN, size, self.tree.root(size)).text())


@dataclass(frozen=True)
class AWitness:
    url: str
    key: WitnessKey
    state: Path

    def post(self, body: bytes | str, path: str = "/add-checkpoint") -> httpx.Response:
        return httpx.post(f"{self.url}{path}", content=body, timeout=10)

    def submit(self, log: ALog, old: int, size: int) -> httpx.Response:
        path = log.tree.consistency_path(old, size) if 0 < old <= size else []
        return self.post(Submission(old, tuple(path), log.note(size)).to_bytes())


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[str]:
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def witness_in(
    state: Path, number: int = 1, keys: tuple[Signer, ...] = (SIGNER,)
) -> Iterator[AWitness]:
    cosigner = Cosigner(f"witness.example/w{number}", bytes([number]) * 32)
    remembered = WitnessState(state)
    try:
        logs = [signer.verifier_key for signer in keys]
        witness = Witness(cosigner, logs, remembered, lambda: NOW_S)
        with serving(WitnessServer("127.0.0.1", 0, witness)) as url:
            yield AWitness(url, cosigner.witness_key, state)
    finally:
        remembered.close()
