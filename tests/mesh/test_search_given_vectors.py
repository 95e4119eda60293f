"""Spans that are added with vectors of their own."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc
from arenalab.atomic import Span, to_proto
from arenalab.mesh import InvalidInputError, PreconditionError, Reason
from arenalab.search.embedder.protocol import Vectors
from arenalab.testing.spans import make_span
from tests.mesh.search_desk import BALANCE, CARD, SPANS, Desk

NEW = [make_span(f"What is behind door {number}?", "a goat") for number in range(3)]


@pytest.fixture
async def faq(desk: Desk) -> "AsyncIterator[pb_grpc.SearchServiceAsyncStub]":
    async with desk.serving() as search:
        await desk.publish(search, SPANS)
        yield search


def adding(desk: Desk, spans: Sequence[Span], vectors: Vectors) -> pb.AddSpansRequest:
    return pb.AddSpansRequest(
        dataset="faq",
        spans=map(to_proto, spans),
        vectors=vectors.astype("<f4").tobytes(),
        embedder_digest=desk.embedder.digest,
    )


def updating(desk: Desk, spans: Sequence[Span], vectors: Vectors) -> pb.UpdateSpansRequest:
    return pb.UpdateSpansRequest(
        dataset="faq",
        spans=map(to_proto, spans),
        vectors=vectors.astype("<f4").tobytes(),
        embedder_digest=desk.embedder.digest,
    )


def of_axes(*axes: int) -> Vectors:
    """Returns unit vectors that no text has: one along each axis."""
    return np.eye(384, dtype=np.float32)[list(axes)]


async def nearest(
    search: "pb_grpc.SearchServiceAsyncStub", vector: Vectors
) -> tuple[bytes, float, int]:
    """Returns the nearest span to a vector, its similarity, and how many spans there are."""
    found = await search.Search(pb.SearchRequest(vector=vector.tobytes(), limit=1))
    return found.span_ids, float(np.frombuffer(found.similarities, "<f4")[0]), found.matches


def packed(span: Span) -> bytes:
    return bytes.fromhex(span.id.replace("-", ""))


async def test_a_given_vector_is_what_is_found_before_and_after_a_restart(desk: Desk) -> None:
    vectors = of_axes(0, 1, 2)
    async with desk.serving() as search:
        await desk.publish(search, SPANS)
        reply = await search.AddSpans(adding(desk, NEW, vectors))
        assert (reply.added, reply.unchanged) == (3, 0)
        for span, vector in zip(NEW, vectors, strict=True):
            assert await nearest(search, vector) == (packed(span), 1.0, 7)
    async with desk.serving() as search:
        for span, vector in zip(NEW, vectors, strict=True):
            assert await nearest(search, vector) == (packed(span), 1.0, 7)


async def test_the_embedders_own_vectors_give_what_adding_by_text_gives(
    desk: Desk, tmp_path: Path
) -> None:
    vectors = desk.embedder.embed_many([span.this for span in NEW])
    other = Desk(tmp_path / "other", desk.embedder)
    by_text = pb.AddSpansRequest(dataset="faq", spans=map(to_proto, NEW))
    asked = pb.SearchTextRequest(text="Which door hides the goat?", limit=7)
    answers = []
    for one, request in ((desk, adding(desk, NEW, vectors)), (other, by_text)):
        async with one.serving() as search:
            await one.publish(search, SPANS)
            await search.AddSpans(request)
            hits = (await search.SearchText(asked)).hits
            answers.append([(hit.span.id, hit.similarity) for hit in hits])
    assert answers[0] == answers[1]


async def test_a_span_that_is_there_keeps_its_vector_when_it_is_added_again(
    desk: Desk, faq: "pb_grpc.SearchServiceAsyncStub"
) -> None:
    reply = await faq.AddSpans(adding(desk, [CARD], of_axes(0)))
    assert (reply.added, reply.unchanged) == (0, 1)
    assert (await nearest(faq, of_axes(0)[0]))[1] < 0.9


async def test_an_update_replaces_the_vector_of_a_span_that_is_the_same(desk: Desk) -> None:
    async with desk.serving() as search:
        await desk.publish(search, SPANS)
        request = updating(desk, [CARD, BALANCE], of_axes(0, 1))
        first, again = await search.UpdateSpans(request), await search.UpdateSpans(request)
        assert (first.updated, first.unchanged) == (2, 0)
        assert (again.updated, again.unchanged) == (0, 2)
        by_text = pb.UpdateSpansRequest(dataset="faq", spans=[to_proto(CARD)])
        assert (await search.UpdateSpans(by_text)).unchanged == 1
    async with desk.serving() as search:
        assert await nearest(search, of_axes(0)[0]) == (packed(CARD), 1.0, 4)
        assert await nearest(search, of_axes(1)[0]) == (packed(BALANCE), 1.0, 4)


async def test_one_vector_that_is_wrong_keeps_all_spans_out(
    desk: Desk, faq: "pb_grpc.SearchServiceAsyncStub"
) -> None:
    vectors = of_axes(0, 1, 2)
    vectors[1] = 0
    with pytest.raises(InvalidInputError, match=r"spans\[1\]") as caught:
        await faq.AddSpans(adding(desk, NEW, vectors))
    assert caught.value.reason is Reason.INVALID_VECTOR
    with pytest.raises(InvalidInputError) as caught:
        await faq.UpdateSpans(updating(desk, [CARD], of_axes(0)[:, :100]))
    assert caught.value.reason is Reason.INVALID_VECTOR
    stats = await faq.Stats(pb.StatsRequest(dataset="faq"))
    assert (stats.collection.spans, stats.collection.generation) == (4, 1)


async def test_vectors_of_another_embedder_are_refused(
    desk: Desk, faq: "pb_grpc.SearchServiceAsyncStub"
) -> None:
    request = adding(desk, NEW, of_axes(0, 1, 2))
    request.embedder_digest = "0" * 64
    with pytest.raises(PreconditionError) as caught:
        await faq.AddSpans(request)
    assert caught.value.reason is Reason.EMBEDDER_MISMATCH
    request.embedder_digest = ""
    with pytest.raises(InvalidInputError, match="embedder_digest"):
        await faq.AddSpans(request)


async def test_a_text_that_cannot_be_embedded_names_its_span(
    faq: "pb_grpc.SearchServiceAsyncStub",
) -> None:
    spans = [to_proto(make_span(f"question {number}", "answer")) for number in range(20)]
    spans[17].this = "\u200b"
    with pytest.raises(InvalidInputError, match=r"spans\[17\]: ") as caught:
        await faq.AddSpans(pb.AddSpansRequest(dataset="faq", spans=spans))
    assert caught.value.reason is Reason.INVALID_SPAN
    assert caught.value.metadata["field"] == "spans[17].this"
