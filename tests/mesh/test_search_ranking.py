"""Hits ordered by words, age, quality and diversity, beside the similarity of vectors."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from arenalab.api.common.v1 import filter_pb2, plan_pb2
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc
from arenalab.atomic import to_proto
from arenalab.mesh import InvalidInputError
from arenalab.search.embedder.protocol import Embedder
from arenalab.testing.spans import make_span
from tests.mesh.search_desk import Desk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CODE = make_span("What does E-4711 mean?", "the filter is clogged", domain="errors", quality=20)
OTHER = make_span("What does the error mean?", "it depends", domain="errors", quality=95)
OLD = make_span(
    "When does the shop open?", "at nine", domain="shop", when="2016-01-05T10:00:00Z", quality=50
)
NEW = make_span("When will the shop open?", "at eight", domain="shop", quality=50)
AGAIN = make_span("When does the shop open today?", "at nine today", domain="shop", quality=50)


@pytest.fixture
async def faq(
    tmp_path: Path, embedder: Embedder
) -> "AsyncIterator[pb_grpc.SearchServiceAsyncStub]":
    desk = Desk(tmp_path, embedder)
    async with desk.serving() as search:
        await desk.publish(search, [CODE, OTHER, OLD])
        # In segments of their own: scores must compare between them.
        for span in (NEW, AGAIN):
            await search.AddSpans(pb.AddSpansRequest(dataset="faq", spans=[to_proto(span)]))
        yield search


async def ranked(
    search: "pb_grpc.SearchServiceAsyncStub", text: str, domain: str = "", **ranking: Any
) -> list[pb.Hit]:
    request = pb.SearchTextRequest(
        text=text,
        limit=5,
        filter=filter_pb2.SpanFilter(domains=[domain] if domain else []),
        ranking=plan_pb2.Ranking(**ranking),
    )
    return list((await search.SearchText(request)).hits)


async def test_words_alone_find_the_code_that_vectors_blur(
    faq: "pb_grpc.SearchServiceAsyncStub",
) -> None:
    hits = await ranked(faq, "e-4711 ???", lexical_weight=1.0)
    assert hits[0].span.id == CODE.id
    assert hits[0].lexical_score > 0
    assert hits[0].score == pytest.approx(1.0)
    plain = await ranked(faq, "e-4711 ???")
    assert all(hit.lexical_score == 0 for hit in plain)
    assert [hit.score for hit in plain] == [hit.similarity for hit in plain]


async def test_words_are_found_in_what_was_added_online(
    faq: "pb_grpc.SearchServiceAsyncStub",
) -> None:
    hits = await ranked(faq, "open today", lexical_weight=1.0)
    assert hits[0].span.id == AGAIN.id


async def test_words_respect_the_filter(faq: "pb_grpc.SearchServiceAsyncStub") -> None:
    hits = await ranked(faq, "What does E-4711 mean?", "shop", lexical_weight=0.5)
    assert {hit.span.context.environment for hit in hits} == {"shop"}


async def test_age_halves_a_score_with_each_half_life(
    faq: "pb_grpc.SearchServiceAsyncStub",
) -> None:
    assert (await ranked(faq, OLD.this, "shop"))[0].span.id == OLD.id
    hits = await ranked(faq, OLD.this, "shop", half_life_s=365 * 86_400)
    assert hits[-1].span.id == OLD.id
    assert hits[-1].score < hits[-1].similarity / 500


async def test_quality_can_decide(faq: "pb_grpc.SearchServiceAsyncStub") -> None:
    assert (await ranked(faq, CODE.this, "errors"))[0].span.id == CODE.id
    hits = await ranked(faq, CODE.this, "errors", quality_weight=1.0)
    assert [hit.span.id for hit in hits] == [OTHER.id, CODE.id]
    assert hits[1].score == pytest.approx(hits[1].similarity * 0.2)


async def test_diversity_puts_another_subject_second(
    faq: "pb_grpc.SearchServiceAsyncStub",
) -> None:
    alike = await ranked(faq, OLD.this)
    assert {hit.span.context.environment for hit in alike[:3]} == {"shop"}
    hits = await ranked(faq, OLD.this, diversity=0.9)
    assert hits[0].span.id == OLD.id
    assert hits[1].span.context.environment == "errors"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lexical_weight", 1.1),
        ("lexical_weight", float("nan")),
        ("half_life_s", -1.0),
        ("half_life_s", 0.5),
        ("quality_weight", -0.1),
        ("diversity", 2.0),
        ("rrf_constant", 1001),
    ],
)
async def test_a_ranking_outside_its_range_is_refused(
    faq: "pb_grpc.SearchServiceAsyncStub", field: str, value: float
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await ranked(faq, "anything", "", **{field: value})
    assert caught.value.metadata["field"] == f"ranking.{field}"


async def test_the_plan_tells_the_ranking_that_was_done(
    faq: "pb_grpc.SearchServiceAsyncStub",
) -> None:
    wanted = plan_pb2.Ranking(lexical_weight=0.25, rrf_constant=60, quality_weight=0.5)
    reply = await faq.SearchText(pb.SearchTextRequest(text="When?", limit=2, ranking=wanted))
    assert reply.plan.ranking == wanted
    plan = plan_pb2.QueryPlan(ranking=plan_pb2.Ranking(use_weights=True))
    given = await faq.SearchText(pb.SearchTextRequest(text="When?", limit=2, plan=plan))
    assert given.plan.ranking.use_weights
