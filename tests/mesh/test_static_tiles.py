"""A log's static files behind a plain file server: verified over HTTP, nothing else running."""

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

import pytest

from arenalab.proof import (
    CHECKPOINT_PATH,
    Checkpoint,
    MerkleTree,
    ProofError,
    Signer,
    TileReader,
    export_files,
    leaf_hash,
    open_checkpoint,
    verify_inclusion,
)

SIGNER = Signer("example.org/log", bytes(32))
RNG = Random(6)
LEAVES = [RNG.randbytes(RNG.randrange(60)) for _ in range(1000)]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name above
        del format, args


@contextmanager
def file_server(directory: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=directory)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def publish(directory: Path, tree: MerkleTree, since: int) -> None:
    """Writes a log's new files, the checkpoint last."""
    for path, content in export_files(
        tree.size, since, tree.hashes, lambda low, high: LEAVES[low:high]
    ):
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)
    note = SIGNER.sign(Checkpoint("example.org/log", tree.size, tree.root()).text())
    (directory / CHECKPOINT_PATH).write_text(note)


@pytest.mark.slow
def test_a_growing_log_is_verified_from_a_file_server(tmp_path: Path) -> None:
    tree = MerkleTree()
    with file_server(tmp_path) as url:

        def fetch(path: str) -> bytes:
            with urllib.request.urlopen(f"{url}/{path}", timeout=10) as response:  # noqa: S310 - ours
                content = response.read()
            assert isinstance(content, bytes)
            return content

        older: Checkpoint | None = None
        for size in (1, 255, 256, 257, 700, 1000):
            since = tree.size
            for leaf in LEAVES[since:size]:
                tree.append(leaf_hash(leaf))
            publish(tmp_path, tree, since)
            checkpoint = open_checkpoint(fetch(CHECKPOINT_PATH).decode(), SIGNER.verifier_key)
            reader = TileReader(fetch, checkpoint)
            if older is not None:
                assert reader.root(older.size) == older.root  # the log only grew
            older = checkpoint
            for index in {0, since, size // 2, size - 1}:
                path = reader.inclusion_path(index, size)
                verify_inclusion(index, size, leaf_hash(LEAVES[index]), path, checkpoint.root)
            assert list(reader.leaves(0, size)) == LEAVES[:size]
        (tmp_path / "tile/0/001").write_bytes((tmp_path / "tile/0/002").read_bytes())
        with pytest.raises(ProofError, match="tile/0/001"):
            list(TileReader(fetch, checkpoint).leaves(0, 1000))
