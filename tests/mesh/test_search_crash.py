"""A real search process, killed with SIGKILL in the middle of its writes."""

import asyncio
import json
import random
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc
from arenalab.atomic import Span, to_proto
from arenalab.dataset import DatasetStore
from arenalab.mesh import MeshError, NotFoundError, Telemetry, connect
from arenalab.search.embedder.factory import open_embedder
from arenalab.testing.datasets import write_version
from arenalab.testing.spans import make_span

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROUNDS = 6
BATCH = 3


class Killed:
    """A search process over gRPC."""

    def __init__(self, root: Path) -> None:
        self.environment = {
            "SEARCH_ADDRESS": "127.0.0.1:0",
            "SEARCH_STORE_PATH": str(root / "spans.sqlite"),
            "SEARCH_DATASETS_DIR": str(root / "datasets"),
        }
        self.process: asyncio.subprocess.Process | None = None

    @asynccontextmanager
    async def running(self) -> "AsyncIterator[pb_grpc.SearchServiceAsyncStub]":
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "arenalab.search",
            env=self.environment, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            port = await self._port()
            async with connect(f"127.0.0.1:{port}", Telemetry("test")) as channel:
                yield pb_grpc.SearchServiceStub(channel)
        finally:
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.communicate()

    async def _port(self) -> int:
        assert self.process is not None
        assert self.process.stderr is not None
        seen = b""
        async for line in self.process.stderr:
            seen += line
            message = json.loads(line).get("message", "")
            if "listening on port" in message:
                return int(message.rpartition(" ")[2])
        raise AssertionError(seen.decode())


@pytest.mark.slow
async def test_a_kill_at_any_point_loses_nothing_acknowledged(tmp_path: Path) -> None:
    rng = random.Random(11)
    versions = _versions(tmp_path)
    server = Killed(tmp_path)
    acknowledged: list[Span] = []
    live = ""
    for round_ in range(ROUNDS):
        wanted = versions[round_ % 2]
        async with server.running() as search:
            publish = pb.PublishRequest(dataset="faq", dataset_version=wanted)
            if not live:
                first = pb.PublishRequest(dataset="faq", dataset_version=versions[1])
                await search.Publish(first)
            live = (await _collection(search)).dataset_version
            for number in range(rng.randrange(1, 6)):
                batch = _batch(round_, number)
                await search.AddSpans(_adding(batch))
                acknowledged += batch
            lost = _batch(round_, 99)
            calls = [
                asyncio.ensure_future(search.AddSpans(_adding(lost))),
                asyncio.ensure_future(search.Publish(publish)),
            ]
            await asyncio.wait(calls, timeout=rng.uniform(0.0, 0.02))
            assert server.process is not None
            server.process.kill()
            added, _ = await asyncio.gather(*calls, return_exceptions=True)
            if not isinstance(added, MeshError):
                acknowledged += lost
        async with server.running() as search:
            if isinstance(added, MeshError):
                assert await _count(search, lost) in (0, BATCH)
            await _check(search, acknowledged, {live, wanted})
            live = (await _collection(search)).dataset_version


async def _check(
    search: "pb_grpc.SearchServiceAsyncStub", acknowledged: list[Span], versions: set[str]
) -> None:
    """Checks that a version is served whole, with everything acknowledged."""
    collection = await _collection(search)
    assert collection.dataset_version in versions
    assert collection.spans - collection.added_spans == 500
    ids = [span.id for span in acknowledged]
    if ids:
        reply = await search.GetSpans(pb.GetSpansRequest(dataset="faq", span_ids=ids))
        assert list(reply.spans) == [to_proto(span) for span in acknowledged]
        found = await search.SearchText(pb.SearchTextRequest(text=acknowledged[-1].this, limit=1))
        assert found.hits[0].similarity == pytest.approx(1.0, abs=1e-6)


async def _collection(search: "pb_grpc.SearchServiceAsyncStub") -> pb.Collection:
    return (await search.ListCollections(pb.ListCollectionsRequest())).collections[0]


async def _count(search: "pb_grpc.SearchServiceAsyncStub", spans: list[Span]) -> int:
    """Returns how many of the spans are there."""
    count = 0
    for span in spans:
        with suppress(NotFoundError):
            await search.GetSpans(pb.GetSpansRequest(dataset="faq", span_ids=[span.id]))
            count += 1
    return count


def _batch(round_: int, number: int) -> list[Span]:
    return [make_span(f"added {round_} {number} {n}", "an answer") for n in range(BATCH)]


def _adding(batch: list[Span]) -> pb.AddSpansRequest:
    return pb.AddSpansRequest(dataset="faq", spans=map(to_proto, batch))


def _versions(root: Path) -> list[str]:
    """Writes two versions of 500 spans each; their vectors need not fit their texts."""
    embedder = open_embedder()
    vectors = np.random.default_rng(5).standard_normal((500, embedder.dimension))
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    names = [
        write_version(
            DatasetStore(root / "datasets"),
            [make_span(f"{name} {n}", "an answer") for n in range(500)],
            unit,
            embedder_id=embedder.id,
            embedder_digest=embedder.digest,
        )
        for name in ("old", "new")
    ]
    embedder.close()
    return names
