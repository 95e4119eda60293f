"""Spans that are changed while they are served."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from arenalab.api.common.v1 import filter_pb2, plan_pb2
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc
from arenalab.atomic import to_proto
from arenalab.mesh import InvalidInputError, NotFoundError, PreconditionError, Reason
from arenalab.testing.spans import make_span
from tests.mesh.search_desk import BALANCE, CARD, FLIGHT, SPANS, WEATHER, Desk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

UNKNOWN = "01890000-0000-7000-8000-000000000000"


@pytest.fixture
async def faq(desk: Desk) -> "AsyncIterator[pb_grpc.SearchServiceAsyncStub]":
    async with desk.serving() as search:
        await desk.publish(search, SPANS)
        yield search


async def nearest(search: "pb_grpc.SearchServiceAsyncStub", text: str, limit: int = 9) -> list[str]:
    reply = await search.SearchText(pb.SearchTextRequest(text=text, limit=limit))
    return [hit.span.id for hit in reply.hits]


async def test_an_updated_span_is_found_by_its_new_text_and_kept_at_a_restart(desk: Desk) -> None:
    changed = replace(CARD, this="How do I sharpen a chisel?")
    async with desk.serving() as search:
        await desk.publish(search, SPANS)
        request = pb.UpdateSpansRequest(dataset="faq", spans=[to_proto(changed), to_proto(FLIGHT)])
        reply = await search.UpdateSpans(request)
        assert (reply.updated, reply.unchanged) == (1, 1)
        again = await search.UpdateSpans(request)
        assert (again.updated, again.unchanged) == (0, 2)
        assert (await nearest(search, "sharpening chisels"))[0] == CARD.id
    async with desk.serving() as search:
        assert (await nearest(search, "sharpening chisels"))[0] == CARD.id
        spans = (await search.GetSpans(pb.GetSpansRequest(span_ids=[CARD.id]))).spans
        assert list(spans) == [to_proto(changed)]
        assert len(await nearest(search, "anything")) == 4


async def test_a_deleted_span_is_gone_and_comes_back_with_a_version_that_holds_it(
    desk: Desk, faq: "pb_grpc.SearchServiceAsyncStub"
) -> None:
    request = pb.DeleteSpansRequest(dataset="faq", span_ids=[CARD.id, UNKNOWN, CARD.id])
    reply = await faq.DeleteSpans(request)
    assert (reply.deleted, reply.missing) == (1, 1)
    assert CARD.id not in await nearest(faq, CARD.this)
    with pytest.raises(NotFoundError) as caught:
        await faq.GetSpans(pb.GetSpansRequest(span_ids=[CARD.id]))
    assert caught.value.reason is Reason.UNKNOWN_SPAN
    stats = await faq.Stats(pb.StatsRequest())
    assert stats.collection.spans == 3
    assert (stats.segments[0].spans, stats.segments[0].removed) == (4, 1)
    await desk.publish(faq, [*SPANS, make_span("Who won?", "they did")])
    assert (await nearest(faq, CARD.this))[0] == CARD.id


async def test_a_span_that_was_deleted_can_be_added_again(
    faq: "pb_grpc.SearchServiceAsyncStub",
) -> None:
    await faq.DeleteSpans(pb.DeleteSpansRequest(dataset="faq", span_ids=[CARD.id]))
    other = replace(CARD, if_ok="call the bank")
    reply = await faq.AddSpans(pb.AddSpansRequest(dataset="faq", spans=[to_proto(other)]))
    assert reply.added == 1
    assert (await nearest(faq, CARD.this))[0] == CARD.id


async def test_a_quarantined_span_is_hidden_until_released_even_from_a_new_version(
    desk: Desk, faq: "pb_grpc.SearchServiceAsyncStub"
) -> None:
    hide = pb.QuarantineSpansRequest(dataset="faq", span_ids=[CARD.id])
    assert (await faq.QuarantineSpans(hide)).changed == 1
    assert (await faq.QuarantineSpans(hide)).changed == 0
    assert CARD.id not in await nearest(faq, CARD.this)
    shown = await faq.GetSpans(pb.GetSpansRequest(span_ids=[CARD.id]))
    assert shown.spans[0].id == CARD.id
    count = await faq.Count(pb.CountRequest(filter=filter_pb2.SpanFilter(domains=["banking"])))
    assert (count.matches, count.collection.spans) == (1, 3)
    await desk.publish(faq, [*SPANS, make_span("Who won?", "they did")])
    assert CARD.id not in await nearest(faq, CARD.this)
    assert (await faq.Stats(pb.StatsRequest())).quarantined == 1
    release = pb.QuarantineSpansRequest(dataset="faq", span_ids=[CARD.id], release=True)
    assert (await faq.QuarantineSpans(release)).changed == 1
    assert (await nearest(faq, CARD.this))[0] == CARD.id


async def test_a_weight_counts_where_the_ranking_asks_for_it(
    faq: "pb_grpc.SearchServiceAsyncStub",
) -> None:
    weights = [
        pb.SpanWeight(span_id=CARD.id, weight=0.1), pb.SpanWeight(span_id=FLIGHT.id, weight=1.0)
    ]  # fmt: skip
    changed = await faq.ReweightSpans(pb.ReweightSpansRequest(dataset="faq", weights=weights))
    assert changed.changed == 1
    plain = await faq.SearchText(pb.SearchTextRequest(text=CARD.this, limit=4))
    assert plain.hits[0].span.id == CARD.id
    assert plain.hits[0].weight == pytest.approx(0.1)
    weighed = await faq.SearchText(
        pb.SearchTextRequest(text=CARD.this, limit=4, ranking=plan_pb2.Ranking(use_weights=True))
    )
    assert weighed.hits[0].span.id != CARD.id
    scores = [hit.score for hit in weighed.hits]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("weight", [-0.1, 10.1, float("nan"), float("inf")])
async def test_a_weight_outside_its_range_is_refused(
    faq: "pb_grpc.SearchServiceAsyncStub", weight: float
) -> None:
    weights = [pb.SpanWeight(span_id=CARD.id, weight=weight)]
    with pytest.raises(InvalidInputError) as caught:
        await faq.ReweightSpans(pb.ReweightSpansRequest(dataset="faq", weights=weights))
    assert caught.value.metadata["field"] == "weights[0].weight"


async def test_changes_of_spans_that_are_not_there_change_nothing(
    faq: "pb_grpc.SearchServiceAsyncStub",
) -> None:
    stranger = make_span("Who are you?", "nobody")
    both = [pb.SpanWeight(span_id=CARD.id, weight=2), pb.SpanWeight(span_id=UNKNOWN, weight=2)]
    calls: list[Awaitable[object]] = [
        faq.UpdateSpans(
            pb.UpdateSpansRequest(dataset="faq", spans=[to_proto(WEATHER), to_proto(stranger)])
        ),
        faq.ReweightSpans(pb.ReweightSpansRequest(dataset="faq", weights=both)),
        faq.QuarantineSpans(
            pb.QuarantineSpansRequest(dataset="faq", span_ids=[BALANCE.id, UNKNOWN])
        ),
    ]
    for call in calls:
        with pytest.raises(NotFoundError) as caught:
            await call
        assert caught.value.reason is Reason.UNKNOWN_SPAN
    stats = await faq.Stats(pb.StatsRequest())
    assert (stats.collection.generation, stats.quarantined) == (1, 0)


async def test_an_added_span_that_exists_otherwise_is_refused(
    faq: "pb_grpc.SearchServiceAsyncStub",
) -> None:
    other = replace(CARD, if_ok="call the bank")
    with pytest.raises(InvalidInputError, match="UpdateSpans"):
        await faq.AddSpans(pb.AddSpansRequest(dataset="faq", spans=[to_proto(other)]))


async def test_a_replica_without_a_map_says_so(faq: "pb_grpc.SearchServiceAsyncStub") -> None:
    with pytest.raises(PreconditionError):
        await faq.GetShardMap(pb.GetShardMapRequest())


async def test_a_snapshot_is_read_again_at_the_next_start(desk: Desk) -> None:
    added = make_span("Where can I park my bicycle?", "behind the house")
    async with desk.serving() as search:
        await desk.publish(search, SPANS)
        await search.AddSpans(pb.AddSpansRequest(dataset="faq", spans=[to_proto(added)]))
        await search.DeleteSpans(pb.DeleteSpansRequest(dataset="faq", span_ids=[CARD.id]))
        written = await search.Snapshot(pb.SnapshotRequest(dataset="faq"))
        assert [(one.spans, one.removed) for one in written.segments] == [(4, 0)]
        assert written.segments[0].disk_bytes > 0
        before = await nearest(search, "bicycle")
    async with desk.serving() as search:
        stats = await search.Stats(pb.StatsRequest())
        assert [one.disk_bytes for one in stats.segments] == [written.segments[0].disk_bytes]
        assert await nearest(search, "bicycle") == before
        assert stats.collection.added_spans == 1
