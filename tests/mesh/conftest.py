"""What tests of several subjects share: an embedder, a search of its own, shards."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from arenalab.mesh import Telemetry
from arenalab.search.embedder.factory import open_embedder
from arenalab.search.embedder.protocol import Embedder
from arenalab.sharding import connect_search
from tests.mesh.search_desk import Desk
from tests.mesh.small_search import served
from tests.mesh.small_shards import Shards, running_shards

if TYPE_CHECKING:
    from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc

    Stub = pb_grpc.SearchServiceAsyncStub


@pytest.fixture(scope="session")
def embedder() -> Iterator[Embedder]:
    opened = open_embedder()
    yield opened
    opened.close()


@pytest.fixture
def desk(tmp_path: Path, embedder: Embedder) -> Desk:
    return Desk(tmp_path, embedder)


@pytest.fixture
async def shards() -> AsyncIterator[Shards]:
    async with running_shards() as running:
        yield running


@pytest.fixture
async def sharded(shards: Shards) -> "AsyncIterator[Stub]":
    async with connect_search(shards.map(), Telemetry("test")) as search:
        yield search


@pytest.fixture
async def single(shards: Shards) -> "AsyncIterator[Stub]":
    async with (
        served(shards.whole) as address,
        connect_search(address, Telemetry("test")) as search,
    ):
        yield search
