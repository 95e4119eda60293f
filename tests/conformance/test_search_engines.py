"""SearchService says the same whichever engine holds its vectors: over real gRPC and servers."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from arenalab.api.common.v1 import filter_pb2, plan_pb2
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.atomic import Span, to_proto
from arenalab.search.embedder.factory import open_embedder
from arenalab.search.embedder.protocol import Embedder
from arenalab.testing.spans import make_span
from tests.mesh.search_desk import Desk

if TYPE_CHECKING:
    from arenalab.api.search.v1.search_service_pb2_grpc import SearchServiceAsyncStub
    from tests.conformance.conftest import Server

pytestmark = pytest.mark.slow
SPANS = 1200
SCAN = plan_pb2.QueryPlan(
    engine=plan_pb2.ENGINE_EXACT, filter_strategy=plan_pb2.FILTER_STRATEGY_SCAN
)


@pytest.fixture(scope="module")
def embedder() -> Iterator[Embedder]:
    opened = open_embedder()
    yield opened
    opened.close()


@pytest.fixture(params=["hnsw", "ivf", "hnswlib", "milvus", "pgvector"])
def desk(request: pytest.FixtureRequest, tmp_path: Path, embedder: Embedder) -> Desk:
    """A search whose every collection above 300 spans is in one engine."""
    desk = Desk(tmp_path, embedder)
    config = replace(desk.config, exact_limit=300, delta_limit=100)
    match request.param:
        case "hnswlib":
            pytest.importorskip("hnswlib", reason="the extra hnswlib is not installed")
            config = replace(config, graph="hnswlib")
        case "milvus":
            uri: str = request.getfixturevalue("milvus_file")
            config = replace(config, index="milvus", index_uri=uri, index_namespace="service")
        case "pgvector":
            server: Server = request.getfixturevalue("postgres")
            config = replace(
                config, index="pgvector", index_uri=server.get_uri(), index_namespace="service"
            )
        case index:
            config = replace(config, index=index)
    desk.config = config
    return desk


def spans() -> list[Span]:
    return [
        make_span(
            f"question {n} on subject {n % 40}",
            f"answer {n % 50}",
            domain=("red", "green", "blue")[n % 3],
            did=("ask_question", "report_fault")[n % 2],
            quality=float(n % 101),
            tags=("often",) if n % 4 else ("seldom",),
            when=f"2026-01-{1 + n % 28:02d}T10:00:00Z",
        )
        for n in range(SPANS)
    ]


FILTERS = [
    filter_pb2.SpanFilter(),
    filter_pb2.SpanFilter(domains=["red"]),
    filter_pb2.SpanFilter(action_words=["fault"], min_quality=50),
    filter_pb2.SpanFilter(tags=["seldom"], domains=["green", "blue"]),
    filter_pb2.SpanFilter(none_of=[filter_pb2.SpanFilter(min_quality=3)]),
    filter_pb2.SpanFilter(
        any_of=[filter_pb2.SpanFilter(tags=["seldom"]), filter_pb2.SpanFilter(min_quality=90)]
    ),
]  # fmt: skip


@asynccontextmanager
async def indexed(desk: Desk) -> "AsyncIterator[SearchServiceAsyncStub]":
    async with desk.serving() as search:
        await desk.publish(search, spans())
        await search.Snapshot(pb.SnapshotRequest(dataset="faq"))
        yield search


async def ids(
    search: "SearchServiceAsyncStub", vector: np.ndarray, **fields: object
) -> tuple[list[bytes], pb.SearchResponse]:
    reply = await search.Search(
        pb.SearchRequest(vector=vector.astype("<f4").tobytes(), limit=10, **fields)  # type: ignore[arg-type]
    )
    return [reply.span_ids[at : at + 16] for at in range(0, len(reply.span_ids), 16)], reply


async def test_every_filter_finds_the_same_as_a_scan(desk: Desk) -> None:
    vectors = desk.embedder.embed_many([f"about subject {n}" for n in range(8)])
    async with indexed(desk) as search:
        stats = await search.Stats(pb.StatsRequest())
        assert plan_pb2.ENGINE_EXACT not in {one.engine for one in stats.segments}
        shared = wanted = 0
        for condition in FILTERS:
            for vector in vectors:
                found, reply = await ids(search, vector, filter=condition)
                truth, exact = await ids(search, vector, filter=condition, plan=SCAN)
                assert exact.certificate.exact
                assert (len(found), reply.matches) == (len(truth), exact.matches)
                shared += len(set(found) & set(truth))
                wanted += len(truth)
        assert shared / wanted >= 0.98


async def test_what_was_deleted_or_hidden_is_never_found(desk: Desk) -> None:
    vector = desk.embedder.embed("about subject 7")
    async with indexed(desk) as search:
        before, _ = await ids(search, vector)
        gone = [str(_uuid(one)) for one in before[:3]]
        hidden = [str(_uuid(one)) for one in before[3:5]]
        await search.DeleteSpans(pb.DeleteSpansRequest(dataset="faq", span_ids=gone))
        await search.QuarantineSpans(pb.QuarantineSpansRequest(dataset="faq", span_ids=hidden))
        after, reply = await ids(search, vector)
        assert not set(after) & set(before[:5])
        assert (len(after), reply.matches) == (10, SPANS - 5)


async def test_what_is_added_is_found_at_once_and_after_a_merge(desk: Desk) -> None:
    new = [make_span(f"wholly new matter {n}", "indeed") for n in range(150)]
    vector = desk.embedder.embed("wholly new matter 99")
    async with indexed(desk) as search:
        request = pb.AddSpansRequest(dataset="faq", spans=map(to_proto, new))
        await search.AddSpans(request)
        found, _ = await ids(search, vector)
        assert str(_uuid(found[0])) == new[99].id
        await search.Snapshot(pb.SnapshotRequest(dataset="faq"))
        stats = await search.Stats(pb.StatsRequest())
        assert [one.spans for one in stats.segments] == [SPANS + 150]
        again, _ = await ids(search, vector)
        assert again[0] == found[0]


async def test_a_restart_finds_the_same(desk: Desk) -> None:
    vector = desk.embedder.embed("about subject 3")
    async with indexed(desk) as search:
        before, _ = await ids(search, vector)
    async with desk.serving() as search:
        stats = await search.Stats(pb.StatsRequest())
        assert plan_pb2.ENGINE_EXACT not in {one.engine for one in stats.segments}
        after, _ = await ids(search, vector)
        assert after == before


async def test_tenants_never_see_each_other(desk: Desk) -> None:
    vector = desk.embedder.embed("about subject 3")
    async with indexed(desk) as search:
        mine, _ = await ids(search, vector)
        other = [replace(span, if_ok="theirs") for span in spans()]
        version = desk.build(other, tenant="other")
        scope = pb.PublishRequest().scope
        scope.tenant = "other"
        await search.Publish(pb.PublishRequest(scope=scope, dataset="faq", dataset_version=version))
        await search.Snapshot(pb.SnapshotRequest(scope=scope, dataset="faq"))
        await search.DeleteSpans(
            pb.DeleteSpansRequest(
                scope=scope, dataset="faq", span_ids=[str(_uuid(one)) for one in mine]
            )
        )
        again, _ = await ids(search, vector)
        assert again == mine
        theirs, _ = await ids(search, vector, scope=scope)
        assert not set(theirs) & set(mine)


def _uuid(packed: bytes) -> object:
    from uuid import UUID

    return UUID(bytes=packed)
