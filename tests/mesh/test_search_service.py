"""SearchService over real gRPC, a real dataset store, SQLite and the real embedder."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from google.protobuf import timestamp_pb2
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from arenalab.api.common.v1 import filter_pb2, plan_pb2, span_pb2
from arenalab.api.planner.v1 import planner_service_pb2 as planner_pb
from arenalab.api.planner.v1 import planner_service_pb2_grpc as planner_grpc
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc
from arenalab.atomic import to_proto
from arenalab.mesh import (
    ConfigError,
    DataLossError,
    InvalidInputError,
    NotFoundError,
    NotReadyError,
    PreconditionError,
    Reason,
    Telemetry,
    address_of,
    connect,
    scope_for,
)
from arenalab.planner.config import PlannerConfig
from arenalab.planner.wiring import running_planner
from arenalab.search.embedder.protocol import Embedder
from arenalab.search.wiring import running_search
from arenalab.testing.spans import make_span
from tests.mesh.search_desk import BALANCE, CARD, FLIGHT, SPANS, WEATHER, Desk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable


@pytest.fixture
async def search(desk: Desk) -> "AsyncIterator[pb_grpc.SearchServiceAsyncStub]":
    async with desk.serving() as stub:
        yield stub


@pytest.fixture
async def faq(
    desk: Desk, search: "pb_grpc.SearchServiceAsyncStub"
) -> "pb_grpc.SearchServiceAsyncStub":
    version = desk.build(SPANS)
    await search.Publish(pb.PublishRequest(dataset="faq", dataset_version=version))
    return search


def ids(response: pb.SearchTextResponse) -> list[str]:
    return [hit.span.id for hit in response.hits]


async def test_the_nearest_span_comes_first(faq: "pb_grpc.SearchServiceAsyncStub") -> None:
    response = await faq.SearchText(pb.SearchTextRequest(text="how much money do I have", limit=3))
    assert ids(response)[0] == BALANCE.id
    assert response.hits[0].span == to_proto(BALANCE)
    assert len(response.hits) == 3
    similarities = [hit.similarity for hit in response.hits]
    assert similarities == sorted(similarities, reverse=True)
    assert (response.dataset, response.engine) == ("faq", plan_pb2.ENGINE_EXACT)
    assert response.certificate.exact
    assert response.matches == 4
    assert response.embed_us > 0
    embedded = await faq.Embed(pb.EmbedRequest(texts=["how much money do I have"]))
    assert response.vector == embedded.vectors


async def test_the_same_text_is_its_own_nearest(faq: "pb_grpc.SearchServiceAsyncStub") -> None:
    response = await faq.SearchText(pb.SearchTextRequest(text=CARD.this, limit=1))
    assert ids(response) == [CARD.id]
    assert response.hits[0].similarity == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (filter_pb2.SpanFilter(domains=["banking"]), {BALANCE.id, CARD.id}),
        (filter_pb2.SpanFilter(domains=["banking/cards", "travel"]), {CARD.id, FLIGHT.id}),
        (filter_pb2.SpanFilter(actions=["book"]), {FLIGHT.id}),
        (filter_pb2.SpanFilter(statuses=[span_pb2.SPAN_STATUS_FAILED]), {FLIGHT.id}),
        (filter_pb2.SpanFilter(min_quality=40), {BALANCE.id, CARD.id}),
        (filter_pb2.SpanFilter(tags=["cards"]), {CARD.id}),
        (filter_pb2.SpanFilter(tags=["cards", "money"]), set()),
        (
            filter_pb2.SpanFilter(not_before=timestamp_pb2.Timestamp(seconds=1_772_323_200)),
            {FLIGHT.id},
        ),
        (
            filter_pb2.SpanFilter(before=timestamp_pb2.Timestamp(seconds=1_772_323_200)),
            {BALANCE.id, CARD.id, WEATHER.id},
        ),
    ],
)
async def test_a_filter_is_exact(
    faq: "pb_grpc.SearchServiceAsyncStub", wanted: filter_pb2.SpanFilter, expected: set[str]
) -> None:
    response = await faq.SearchText(pb.SearchTextRequest(text="anything", limit=10, filter=wanted))
    assert set(ids(response)) == expected
    assert response.matches == len(expected)


async def test_a_second_text_is_compared_with_each_hit(
    faq: "pb_grpc.SearchServiceAsyncStub",
) -> None:
    response = await faq.SearchText(
        pb.SearchTextRequest(text="money", limit=4, extra_text=FLIGHT.this)
    )
    extra = {hit.span.id: hit.extra_similarity for hit in response.hits}
    assert extra[FLIGHT.id] == pytest.approx(1.0, abs=1e-6)
    assert all(extra[FLIGHT.id] > value for key, value in extra.items() if key != FLIGHT.id)


async def test_a_hit_carries_the_spans_before_it(
    desk: Desk, search: "pb_grpc.SearchServiceAsyncStub"
) -> None:
    first = make_span("I lost my wallet", "ask what was in it")
    second = make_span("A card was in it", "block the card", previous_spans=(first.id,))
    third = make_span("Send me a new one", "order a card", previous_spans=(second.id,))
    version = desk.build([first, second, third])
    await search.Publish(pb.PublishRequest(dataset="faq", dataset_version=version))
    response = await search.SearchText(
        pb.SearchTextRequest(text=third.this, limit=1, trajectory_depth=5)
    )
    assert [span.id for span in response.hits[0].trajectory] == [second.id, first.id]


async def test_added_spans_are_found_at_once(faq: "pb_grpc.SearchServiceAsyncStub") -> None:
    added = make_span("Where can I park my bicycle?", "behind the house")
    reply = await faq.AddSpans(pb.AddSpansRequest(dataset="faq", spans=[to_proto(added)]))
    assert (reply.added, reply.unchanged) == (1, 0)
    request = pb.SearchTextRequest(text="place for a bike", limit=2)
    before = await faq.SearchText(request)
    assert ids(before)[0] == added.id
    collection = (await faq.ListCollections(pb.ListCollectionsRequest())).collections[0]
    assert (collection.spans, collection.added_spans, collection.generation) == (5, 1, 2)


async def test_a_restart_serves_the_same(desk: Desk) -> None:
    version = desk.build(SPANS)
    added = make_span("Where can I park my bicycle?", "behind the house", tags=("bike",))
    asked = [
        pb.SearchTextRequest(text="park the bike", limit=5),
        pb.SearchTextRequest(
            text="cards", limit=5, filter=filter_pb2.SpanFilter(domains=["banking"])
        ),
    ]
    answers = []
    for is_first in (True, False):
        async with desk.serving() as search:
            if is_first:
                await search.Publish(pb.PublishRequest(dataset="faq", dataset_version=version))
                await search.AddSpans(pb.AddSpansRequest(dataset="faq", spans=[to_proto(added)]))
            found = [await search.SearchText(request) for request in asked]
            stats = await search.Stats(pb.StatsRequest())
            stats.ClearField("store_bytes")  # the log of the file is emptied when it is closed
            answers.append(([list(one.hits) for one in found], stats))
    assert answers[0] == answers[1]


async def test_adding_the_same_span_again_changes_nothing(
    faq: "pb_grpc.SearchServiceAsyncStub",
) -> None:
    added = to_proto(make_span("Where can I park?", "behind the house"))
    request = pb.AddSpansRequest(dataset="faq", spans=[added, added, to_proto(CARD)])
    first, second = await faq.AddSpans(request), await faq.AddSpans(request)
    assert (first.added, first.unchanged) == (1, 2)
    assert (second.added, second.unchanged) == (0, 3)


async def test_an_id_cannot_get_other_content(faq: "pb_grpc.SearchServiceAsyncStub") -> None:
    changed = to_proto(CARD)
    changed.if_ok = "keep the card"
    new = to_proto(make_span("Something new", "else"))
    with pytest.raises(InvalidInputError, match="other content") as caught:
        await faq.AddSpans(pb.AddSpansRequest(dataset="faq", spans=[new, changed]))
    assert caught.value.reason is Reason.INVALID_ARGUMENT
    with pytest.raises(NotFoundError):  # all or nothing
        await faq.GetSpans(pb.GetSpansRequest(span_ids=[new.id]))


async def test_a_span_that_breaks_the_schema_is_refused(
    faq: "pb_grpc.SearchServiceAsyncStub",
) -> None:
    broken = to_proto(CARD)
    broken.id = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
    broken.ClearField("if_ok")
    with pytest.raises(InvalidInputError, match=r"spans\[0\]: if_ok") as caught:
        await faq.AddSpans(pb.AddSpansRequest(dataset="faq", spans=[broken]))
    assert caught.value.reason is Reason.INVALID_SPAN


async def test_spans_come_in_the_order_asked_for(faq: "pb_grpc.SearchServiceAsyncStub") -> None:
    wanted = [FLIGHT.id, BALANCE.id, FLIGHT.id]
    reply = await faq.GetSpans(pb.GetSpansRequest(dataset="faq", span_ids=wanted))
    assert [span.id for span in reply.spans] == wanted
    with pytest.raises(NotFoundError) as caught:
        await faq.GetSpans(pb.GetSpansRequest(span_ids=[BALANCE.id, "nothing"]))
    assert caught.value.reason is Reason.UNKNOWN_SPAN
    assert caught.value.metadata == {"span_id": "nothing"}


async def test_embed_returns_the_vectors_of_the_embedder(
    search: "pb_grpc.SearchServiceAsyncStub", embedder: Embedder
) -> None:
    texts = ["hello", "a somewhat longer text"]
    reply = await search.Embed(pb.EmbedRequest(texts=texts))
    vectors = np.frombuffer(reply.vectors, "<f4").reshape(2, reply.dimension)
    np.testing.assert_array_equal(vectors, embedder.embed_many(texts))
    assert (reply.embedder_id, reply.embedder_digest) == (embedder.id, embedder.digest)
    assert list(reply.token_counts) == [embedder.count_tokens(text) for text in texts]


async def test_stats_count_exactly(faq: "pb_grpc.SearchServiceAsyncStub") -> None:
    stats = await faq.Stats(pb.StatsRequest(dataset="faq"))
    assert {(one.value, one.count) for one in stats.domains} == {
        ("banking", 1), ("banking/cards", 1), ("bankingx", 1), ("travel", 1),
    }  # fmt: skip
    assert [(one.value, one.count) for one in stats.actions] == [("ask_question", 3), ("book", 1)]
    assert {one.value: one.count for one in stats.statuses} == {"completed": 3, "failed": 1}
    assert {one.value for one in stats.tags} == {"money", "cards"}
    assert list(stats.quality_buckets) == [0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]
    assert len(stats.when_quantiles) == 101
    assert stats.when_quantiles[100] == to_proto(FLIGHT).when
    assert list(stats.engines) == [plan_pb2.ENGINE_EXACT]
    assert stats.distinct_outcomes == 4
    assert stats.collection.spans == 4


async def test_another_tenant_sees_nothing(faq: "pb_grpc.SearchServiceAsyncStub") -> None:
    other = scope_for("other")
    calls: list[Awaitable[object]] = [
        faq.SearchText(pb.SearchTextRequest(scope=other, dataset="faq", text="card", limit=1)),
        faq.GetSpans(pb.GetSpansRequest(scope=other, dataset="faq", span_ids=[CARD.id])),
        faq.Stats(pb.StatsRequest(scope=other, dataset="faq")),
        faq.AddSpans(pb.AddSpansRequest(scope=other, dataset="faq", spans=[to_proto(CARD)])),
    ]
    for call in calls:
        with pytest.raises(NotFoundError) as caught:
            await call
        assert caught.value.reason is Reason.UNKNOWN_DATASET
        assert caught.value.metadata == {"dataset": "faq"}
    listed = await faq.ListCollections(pb.ListCollectionsRequest(scope=other))
    assert not listed.collections
    with pytest.raises(PreconditionError) as nothing:
        await faq.SearchText(pb.SearchTextRequest(scope=other, text="card", limit=1))
    assert nothing.value.reason is Reason.NO_DATASET


async def test_tenants_with_one_dataset_name_keep_their_own(
    desk: Desk, faq: "pb_grpc.SearchServiceAsyncStub"
) -> None:
    theirs = make_span("My card was stolen", "call the police")
    scope = scope_for("other")
    version = desk.build([theirs], tenant="other")
    await faq.Publish(pb.PublishRequest(scope=scope, dataset="faq", dataset_version=version))
    response = await faq.SearchText(pb.SearchTextRequest(scope=scope, text=CARD.this, limit=5))
    assert ids(response) == [theirs.id]
    ours = await faq.SearchText(pb.SearchTextRequest(text=CARD.this, limit=5))
    assert theirs.id not in ids(ours)


async def test_an_empty_name_means_the_dataset_published_last(
    desk: Desk, faq: "pb_grpc.SearchServiceAsyncStub"
) -> None:
    version = desk.build([FLIGHT], dataset="travel")
    await faq.Publish(pb.PublishRequest(dataset="travel", dataset_version=version))
    response = await faq.SearchText(pb.SearchTextRequest(text="card", limit=5))
    assert response.dataset == "travel"
    listed = await faq.ListCollections(pb.ListCollectionsRequest())
    assert [one.dataset for one in listed.collections] == ["travel", "faq"]


async def test_publishing_swaps_the_version_and_keeps_what_was_added(
    desk: Desk, faq: "pb_grpc.SearchServiceAsyncStub"
) -> None:
    kept, taken_over = make_span("How do I sing?", "loudly"), make_span("How to dance?", "slowly")
    await faq.AddSpans(
        pb.AddSpansRequest(dataset="faq", spans=[to_proto(kept), to_proto(taken_over)])
    )
    old = (await faq.ListCollections(pb.ListCollectionsRequest())).collections[0]
    version = desk.build([CARD, taken_over])
    request = pb.PublishRequest(dataset="faq", dataset_version=version)
    reply = await faq.Publish(request)
    assert reply.previous_version == old.dataset_version
    assert reply.collection.dataset_version == version
    assert (reply.collection.spans, reply.collection.added_spans) == (3, 1)
    assert reply.collection.generation == old.generation + 1
    response = await faq.SearchText(pb.SearchTextRequest(text="How do I sing?", limit=9))
    assert set(ids(response)) == {kept.id, taken_over.id, CARD.id}
    again = await faq.Publish(request)
    assert again.collection == reply.collection


async def test_a_version_that_is_not_there_is_unknown(
    faq: "pb_grpc.SearchServiceAsyncStub",
) -> None:
    with pytest.raises(NotFoundError) as caught:
        await faq.Publish(pb.PublishRequest(dataset="faq", dataset_version="0" * 64))
    assert caught.value.reason is Reason.UNKNOWN_DATASET


@pytest.mark.parametrize("file", ["spans.ndjson.zst", "embeddings.npy", "manifest.json"])
async def test_a_damaged_version_is_refused_and_the_old_one_stays(
    desk: Desk, faq: "pb_grpc.SearchServiceAsyncStub", file: str
) -> None:
    version = desk.build([FLIGHT])
    path = desk.config.datasets_dir / "default" / "faq" / version / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataLossError) as caught:
        await faq.Publish(pb.PublishRequest(dataset="faq", dataset_version=version))
    assert caught.value.reason is Reason.CORRUPT_DATASET
    assert caught.value.metadata == {"file": file}
    assert (await faq.SearchText(pb.SearchTextRequest(text="card", limit=9))).matches == 4


async def test_vectors_of_another_embedder_are_refused(
    desk: Desk, faq: "pb_grpc.SearchServiceAsyncStub", embedder: Embedder
) -> None:
    version = desk.build([FLIGHT], digest="ab" * 32)
    with pytest.raises(PreconditionError) as caught:
        await faq.Publish(pb.PublishRequest(dataset="faq", dataset_version=version))
    assert caught.value.reason is Reason.EMBEDDER_MISMATCH
    assert caught.value.metadata == {
        "expected": f"{embedder.id}@abababababab",
        "found": f"{embedder.id}@{embedder.digest[:12]}",
    }


@pytest.mark.parametrize(
    ("request_", "reason", "field"),
    [
        (pb.SearchTextRequest(text=" \n", limit=1), Reason.EMPTY_TEXT, "text"),
        (pb.SearchTextRequest(text="\u200b", limit=1), Reason.EMPTY_TEXT, "text"),
        (pb.SearchTextRequest(text="x" * 32_769, limit=1), Reason.TOO_LARGE, "text"),
        (pb.SearchTextRequest(text="é" * 16_385, limit=1), Reason.TOO_LARGE, "text"),
        (pb.SearchTextRequest(text="x", limit=0), Reason.INVALID_ARGUMENT, "limit"),
        (pb.SearchTextRequest(text="x", limit=1001), Reason.INVALID_ARGUMENT, "limit"),
        (
            pb.SearchTextRequest(text="x", limit=1, trajectory_depth=11),
            Reason.INVALID_ARGUMENT,
            "trajectory_depth",
        ),
        (
            pb.SearchTextRequest(
                text="x", limit=1, filter=filter_pb2.SpanFilter(domains=["a"] * 65)
            ),
            Reason.INVALID_ARGUMENT,
            "filter.domains",
        ),
        (
            pb.SearchTextRequest(text="x", limit=1, filter=filter_pb2.SpanFilter(tags=["a"] * 33)),
            Reason.INVALID_ARGUMENT,
            "filter.tags",
        ),
        (
            pb.SearchTextRequest(text="x", limit=1, filter=filter_pb2.SpanFilter(min_quality=101)),
            Reason.INVALID_ARGUMENT,
            "filter.min_quality",
        ),
        (
            pb.SearchTextRequest(
                text="x",
                limit=1,
                filter=filter_pb2.SpanFilter(statuses=[span_pb2.SPAN_STATUS_UNSPECIFIED]),
            ),
            Reason.INVALID_ARGUMENT,
            "filter.statuses",
        ),
        (
            pb.SearchTextRequest(text="x", limit=9, plan=plan_pb2.QueryPlan(candidates=5)),
            Reason.INVALID_ARGUMENT,
            "plan.candidates",
        ),
        (
            pb.SearchTextRequest(text="x", limit=9, plan=plan_pb2.QueryPlan(ef_search=5000)),
            Reason.INVALID_ARGUMENT,
            "plan.ef_search",
        ),
        (pb.SearchTextRequest(text="x", limit=9, scope=scope_for("A/B")), Reason.INVALID_ARGUMENT,
         "scope.tenant"),
    ],
)  # fmt: skip
async def test_a_search_outside_its_range_is_refused(
    faq: "pb_grpc.SearchServiceAsyncStub",
    request_: pb.SearchTextRequest,
    reason: Reason,
    field: str,
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await faq.SearchText(request_)
    assert (caught.value.reason, caught.value.metadata["field"]) == (reason, field)


async def test_batches_outside_their_range_are_refused(
    faq: "pb_grpc.SearchServiceAsyncStub",
) -> None:
    many = [to_proto(CARD)] * 1001
    cases: list[tuple[Awaitable[object], Reason]] = [
        (faq.AddSpans(pb.AddSpansRequest(dataset="faq")), Reason.INVALID_ARGUMENT),
        (faq.AddSpans(pb.AddSpansRequest(dataset="faq", spans=many)), Reason.TOO_LARGE),
        (faq.AddSpans(pb.AddSpansRequest(spans=many[:1])), Reason.INVALID_ARGUMENT),
        (faq.GetSpans(pb.GetSpansRequest()), Reason.INVALID_ARGUMENT),
        (faq.GetSpans(pb.GetSpansRequest(span_ids=["x"] * 1001)), Reason.INVALID_ARGUMENT),
        (faq.Embed(pb.EmbedRequest()), Reason.INVALID_ARGUMENT),
        (faq.Embed(pb.EmbedRequest(texts=["x"] * 2049)), Reason.TOO_LARGE),
        (faq.Embed(pb.EmbedRequest(texts=["x", " "])), Reason.EMPTY_TEXT),
        (
            faq.Publish(pb.PublishRequest(dataset="../x", dataset_version="0" * 64)),
            Reason.INVALID_ARGUMENT,
        ),
        (
            faq.Publish(pb.PublishRequest(dataset="faq", dataset_version="zz")),
            Reason.INVALID_ARGUMENT,
        ),
    ]
    for call, reason in cases:
        with pytest.raises(InvalidInputError) as caught:
            await call
        assert caught.value.reason is reason


async def test_a_damaged_store_stops_the_start(desk: Desk) -> None:
    desk.config.store_path.parent.mkdir(parents=True)
    desk.config.store_path.write_bytes(b"this is no database" * 100)
    with pytest.raises(DataLossError, match=r"spans\.sqlite") as caught:
        async with desk.serving():
            pass
    assert caught.value.metadata == {"file": "spans.sqlite"}


@pytest.mark.usefixtures("search")
async def test_a_second_process_on_one_store_is_refused(desk: Desk) -> None:
    with pytest.raises(NotReadyError, match="another process"):
        async with desk.serving():
            pass


async def test_a_collection_whose_files_are_gone_does_not_stop_the_others(desk: Desk) -> None:
    for dataset in ("faq", "travel"):
        version = desk.build(SPANS, dataset=dataset)
        async with desk.serving() as search:
            await search.Publish(pb.PublishRequest(dataset=dataset, dataset_version=version))
    path = desk.config.datasets_dir / "default" / "travel" / version / "embeddings.npy"
    path.write_bytes(b"")
    async with desk.serving() as search:
        with pytest.raises(DataLossError):
            await search.SearchText(pb.SearchTextRequest(text="card", limit=1))
        good = await search.SearchText(pb.SearchTextRequest(dataset="faq", text="card", limit=1))
        assert ids(good) == [CARD.id]


async def test_searches_beside_publications_see_one_version_each(
    desk: Desk, search: "pb_grpc.SearchServiceAsyncStub"
) -> None:
    made = {
        name: [make_span(f"{name} {n}", "an answer", domain=name) for n in range(30)]
        for name in ("old", "new")
    }
    versions = {name: desk.build(spans) for name, spans in made.items()}
    domain_of = {version: name for name, version in versions.items()}
    await search.Publish(pb.PublishRequest(dataset="faq", dataset_version=versions["old"]))
    is_over = asyncio.Event()
    seen: Counter[str] = Counter()

    async def look() -> None:
        while not is_over.is_set():
            reply = await search.SearchText(pb.SearchTextRequest(text="old or new", limit=30))
            domains = {hit.span.context.environment for hit in reply.hits}
            assert domains == {domain_of[reply.dataset_version]}
            assert (len(reply.hits), reply.matches) == (30, 30)
            seen.update(domains)

    looking = [asyncio.create_task(look()) for _ in range(4)]
    for name in ("new", "old") * 4:
        request = pb.PublishRequest(dataset="faq", dataset_version=versions[name])
        await search.Publish(request)
    is_over.set()
    await asyncio.gather(*looking)
    assert set(seen) == {"old", "new"}


async def test_a_plan_of_the_planner_is_carried_out(
    desk: Desk, faq: "pb_grpc.SearchServiceAsyncStub"
) -> None:
    config = PlannerConfig(address="127.0.0.1:0", search_address=desk.address)
    wanted = filter_pb2.SpanFilter(
        domains=["banking"],
        before=timestamp_pb2.Timestamp(seconds=2_000_000_000),
        min_quality=30,
        tags=["cards"],
    )
    async with (
        running_planner(config, Telemetry("planner")) as port,
        connect(address_of(port), Telemetry("test")) as channel,
    ):
        planner = planner_grpc.PlannerServiceStub(channel)
        request = planner_pb.PlanRequest(dataset="faq", limit=3, filter=wanted)
        plan = (await planner.Plan(request)).plan
    assert [step.condition for step in plan.filter_steps] == [
        "tags", "domains", "min_quality", "before",
    ]  # fmt: skip
    response = await faq.SearchText(
        pb.SearchTextRequest(text="card", limit=3, filter=wanted, plan=plan)
    )
    assert ids(response) == [CARD.id]
    assert response.dataset_version == plan.stats_version


async def test_a_search_shows_its_parts_in_the_trace(desk: Desk) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    desk.telemetry.tracer = provider.get_tracer("test")
    version = desk.build(SPANS)
    async with desk.serving() as search:
        await search.Publish(pb.PublishRequest(dataset="faq", dataset_version=version))
        exporter.clear()
        await search.SearchText(pb.SearchTextRequest(text="card", limit=1))
    embedding, retrieval, call = exporter.get_finished_spans()
    assert embedding.name == f"embeddings {desk.embedder.id}"
    assert retrieval.name == "retrieval faq"
    assert call.attributes is not None
    assert {
        "gen_ai.data_source.id": "faq",
        "arenalab.dataset.version": version,
        "arenalab.plan.engine": "exact",
        "arenalab.search.exact": True,
        "arenalab.search.matches": 4,
    }.items() <= call.attributes.items()
    assert call.context is not None
    for part in (embedding, retrieval):
        assert part.parent is not None
        assert part.parent.span_id == call.context.span_id
    provider.shutdown()


async def test_the_size_of_a_collection_is_a_metric(
    desk: Desk, faq: "pb_grpc.SearchServiceAsyncStub"
) -> None:
    await faq.AddSpans(
        pb.AddSpansRequest(dataset="faq", spans=[to_proto(make_span("One more?", "yes"))])
    )
    await faq.SearchText(pb.SearchTextRequest(text="card", limit=1))
    sample = desk.telemetry.metrics.registry.get_sample_value
    assert sample("arenalab_spans", {"tenant": "default", "dataset": "faq"}) == 5
    for part in ("embed", "search"):
        assert sample("arenalab_part_duration_seconds_count", {"part": part}) == 1


@pytest.mark.parametrize("spec", ["nonsense", "minilm:/not/there"])
async def test_an_embedder_that_cannot_be_opened_stops_the_start(desk: Desk, spec: str) -> None:
    config = replace(desk.config, embedder=spec)
    with pytest.raises(ConfigError, match="SEARCH_EMBEDDER"):
        async with running_search(config, desk.telemetry):
            pass
