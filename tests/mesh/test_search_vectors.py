"""Vectors in, ids and similarities out: one search a call, or many."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import pytest

from arenalab.api.common.v1 import filter_pb2, plan_pb2
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc
from arenalab.atomic import Span
from arenalab.mesh import InvalidInputError, Reason
from arenalab.search.embedder.protocol import Embedder
from arenalab.testing.spans import make_span
from tests.mesh.search_desk import CARD, SPANS, Desk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DOMAINS = ("red", "green", "blue", "rare")


@pytest.fixture
async def faq(desk: Desk) -> "AsyncIterator[pb_grpc.SearchServiceAsyncStub]":
    async with desk.serving() as search:
        await desk.publish(search, SPANS)
        yield search


def many(count: int) -> list[Span]:
    """Returns spans of which one in fifty has the last domain."""
    return [
        make_span(
            f"question {n} about thing {n % 17}",
            f"answer {n % 31}",
            domain=DOMAINS[3] if n % 50 == 0 else DOMAINS[n % 3],
            quality=float(n % 100),
        )
        for n in range(count)
    ]


def hits(ids: bytes, similarities: bytes) -> list[tuple[str, float]]:
    """Returns span ids with their similarities."""
    names = [str(UUID(bytes=ids[at : at + 16])) for at in range(0, len(ids), 16)]
    return list(zip(names, np.frombuffer(similarities, "<f4").tolist(), strict=True))


async def test_a_vector_finds_what_its_text_finds(
    faq: "pb_grpc.SearchServiceAsyncStub", embedder: Embedder
) -> None:
    text = "someone took my card"
    by_text = await faq.SearchText(pb.SearchTextRequest(text=text, limit=3))
    vector = 7.5 * embedder.embed(text)  # of any length
    reply = await faq.Search(pb.SearchRequest(vector=vector.astype("<f4").tobytes(), limit=3))
    found = hits(reply.span_ids, reply.similarities)
    assert [name for name, _ in found] == [hit.span.id for hit in by_text.hits]
    assert found[0][0] == CARD.id
    np.testing.assert_allclose(
        [similarity for _, similarity in found],
        [hit.similarity for hit in by_text.hits],
        atol=1e-6,
    )
    assert (reply.dataset, reply.matches, reply.certificate.exact) == ("faq", 4, True)
    assert reply.dataset_version == by_text.dataset_version
    assert not reply.HasField("plan")


async def test_a_batch_finds_what_each_search_finds(
    faq: "pb_grpc.SearchServiceAsyncStub", embedder: Embedder
) -> None:
    vectors = embedder.embed_many(["card", "flight", "rain"]).astype("<f4")
    wanted = filter_pb2.SpanFilter(none_of=[filter_pb2.SpanFilter(domains=["travel"])])
    batch = await faq.BatchSearch(
        pb.BatchSearchRequest(vectors=vectors.tobytes(), limit=2, filter=wanted)
    )
    assert list(batch.counts) == [2, 2, 2]
    found = hits(batch.span_ids, batch.similarities)
    for number, vector in enumerate(vectors):
        alone = await faq.Search(pb.SearchRequest(vector=vector.tobytes(), limit=2, filter=wanted))
        assert found[2 * number : 2 * number + 2] == hits(alone.span_ids, alone.similarities)
    assert batch.matches == 3


@pytest.mark.parametrize(
    ("vector", "limit", "reason", "field"),
    [
        (np.ones(383), 1, Reason.INVALID_VECTOR, "vector"),
        (np.ones(768), 1, Reason.INVALID_VECTOR, "vector"),
        (np.zeros(384), 1, Reason.INVALID_VECTOR, "vector"),
        (np.full(384, np.nan), 1, Reason.INVALID_VECTOR, "vector"),
        (np.full(384, np.inf), 1, Reason.INVALID_VECTOR, "vector"),
        (np.empty(0), 1, Reason.INVALID_VECTOR, "vector"),
        (np.ones(384), 0, Reason.INVALID_ARGUMENT, "limit"),
        (np.ones(384), 1_000_000, Reason.INVALID_ARGUMENT, "limit"),
    ],
)
async def test_a_vector_that_cannot_be_searched_for_is_refused(
    faq: "pb_grpc.SearchServiceAsyncStub",
    vector: np.ndarray,
    limit: int,
    reason: Reason,
    field: str,
) -> None:
    packed = vector.astype("<f4").tobytes()
    with pytest.raises(InvalidInputError) as caught:
        await faq.Search(pb.SearchRequest(vector=packed, limit=limit))
    assert (caught.value.reason, caught.value.metadata["field"]) == (reason, field)


async def test_huge_and_tiny_components_are_scaled(
    faq: "pb_grpc.SearchServiceAsyncStub", embedder: Embedder
) -> None:
    for scale in (1e30, 1e-30):
        vector = (embedder.embed(CARD.this).astype(np.float64) * scale).astype("<f4")
        reply = await faq.Search(pb.SearchRequest(vector=vector.tobytes(), limit=1))
        name, similarity = hits(reply.span_ids, reply.similarities)[0]
        assert name == CARD.id
        assert similarity == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("request_", "reason", "field"),
    [
        (pb.BatchSearchRequest(limit=1), Reason.INVALID_VECTOR, "vectors"),
        (pb.BatchSearchRequest(vectors=b"x" * 100, limit=1), Reason.INVALID_VECTOR, "vectors"),
        (
            pb.BatchSearchRequest(vectors=np.ones(257 * 384, "<f4").tobytes(), limit=1),
            Reason.TOO_LARGE,
            "vectors",
        ),
    ],
)
async def test_a_batch_outside_its_range_is_refused(
    faq: "pb_grpc.SearchServiceAsyncStub",
    request_: pb.BatchSearchRequest,
    reason: Reason,
    field: str,
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await faq.BatchSearch(request_)
    assert (caught.value.reason, caught.value.metadata["field"]) == (reason, field)


async def test_a_batch_with_a_plan_that_ranks_is_refused(
    faq: "pb_grpc.SearchServiceAsyncStub",
) -> None:
    request = pb.BatchSearchRequest(
        vectors=np.ones(384, "<f4").tobytes(),
        limit=1,
        plan=plan_pb2.QueryPlan(ranking=plan_pb2.Ranking(quality_weight=0.5)),
    )
    with pytest.raises(InvalidInputError) as caught:
        await faq.BatchSearch(request)
    assert caught.value.metadata["field"] == "plan.ranking"


async def test_words_cannot_be_ranked_without_a_text(
    faq: "pb_grpc.SearchServiceAsyncStub",
) -> None:
    request = pb.SearchRequest(
        vector=np.ones(384, "<f4").tobytes(),
        limit=1,
        ranking=plan_pb2.Ranking(lexical_weight=0.5),
    )
    with pytest.raises(InvalidInputError, match="there is no text"):
        await faq.Search(request)


async def test_an_empty_result_says_that_nothing_passes(
    faq: "pb_grpc.SearchServiceAsyncStub",
) -> None:
    request = pb.SearchRequest(
        vector=np.ones(384, "<f4").tobytes(),
        limit=5,
        filter=filter_pb2.SpanFilter(domains=["nowhere"]),
        explain=True,
    )
    reply = await faq.Search(request)
    assert (reply.span_ids, reply.similarities, reply.matches) == (b"", b"", 0)
    assert reply.certificate.exact
    assert "No span passes" in reply.plan.explanation


@pytest.mark.slow
@pytest.mark.parametrize("index", ["hnsw", "ivf"])
async def test_an_index_finds_what_a_scan_finds_under_any_filter(desk: Desk, index: str) -> None:
    desk.config = replace(desk.config, exact_limit=500, index=index)
    spans = many(3000)
    filters = [
        filter_pb2.SpanFilter(),
        filter_pb2.SpanFilter(domains=["red"]),
        filter_pb2.SpanFilter(domains=["rare"], min_quality=50),
        filter_pb2.SpanFilter(any_of=[
            filter_pb2.SpanFilter(domains=["green"]), filter_pb2.SpanFilter(min_quality=90),
        ]),
    ]  # fmt: skip
    vectors = desk.embedder.embed_many([f"ask about thing {n}" for n in range(20)]).astype("<f4")
    async with desk.serving() as search:
        await desk.publish(search, spans)
        await search.Snapshot(pb.SnapshotRequest(dataset="faq"))
        stats = await search.Stats(pb.StatsRequest(dataset="faq"))
        assert [plan_pb2.Engine.Name(one.engine) for one in stats.segments] == [
            f"ENGINE_{index.upper()}"
        ]
        assert stats.segments[0].memory_bytes > 0
        assert stats.segments[0].disk_bytes > 0
        assert stats.segments[0].effort >= 1
        scan = plan_pb2.QueryPlan(
            engine=plan_pb2.ENGINE_EXACT, filter_strategy=plan_pb2.FILTER_STRATEGY_SCAN
        )
        shared = wanted = 0
        for condition in filters:
            for vector in vectors:
                request = pb.SearchRequest(
                    vector=vector.tobytes(), limit=10, filter=condition, explain=True
                )
                found = await search.Search(request)
                request.plan.CopyFrom(scan)
                truth = await search.Search(request)
                assert truth.certificate.exact
                assert found.matches == truth.matches
                assert len(found.span_ids) == len(truth.span_ids)
                shared += len(
                    dict(hits(found.span_ids, found.similarities)).keys()
                    & dict(hits(truth.span_ids, truth.similarities)).keys()
                )
                wanted += len(truth.span_ids) // 16
        assert shared / wanted >= 0.98


@pytest.mark.slow
async def test_an_approximate_answer_carries_what_was_measured(desk: Desk) -> None:
    desk.config = replace(desk.config, exact_limit=500, index="hnsw", shadow_rate=1.0)
    vector = desk.embedder.embed("ask about thing 3").astype("<f4").tobytes()
    walk = plan_pb2.QueryPlan(
        engine=plan_pb2.ENGINE_HNSW,
        filter_strategy=plan_pb2.FILTER_STRATEGY_NONE,
        ef_search=100,
        candidates=20,
    )
    request = pb.SearchRequest(vector=vector, limit=10, plan=walk)
    async with desk.serving() as search:
        await desk.publish(search, many(1500))
        await search.Snapshot(pb.SnapshotRequest(dataset="faq"))
        async with asyncio.timeout(60):
            # Measured behind the answers: by self-tests first, then by searches like this one.
            while (reply := await search.Search(request)).certificate.samples < 20:
                assert not reply.certificate.exact
        # Another effort is another matter, whatever is known of this one.
        request.plan.ef_search = 1000
        other = (await search.Search(request)).certificate
    assert reply.engine == plan_pb2.ENGINE_HNSW
    assert not other.exact
    assert (other.HasField("recall"), other.recall_low, other.samples) == (False, 0, 0)
    assert reply.certificate.recall >= 0.9
    assert 0 < reply.certificate.recall_low <= reply.certificate.recall
    assert reply.certificate.band == "hnsw unfiltered, 1-10 hits, ef 64"
