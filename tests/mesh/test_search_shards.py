"""Replicas of the real search that serve one shard each, and one that has everything."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from google.protobuf import json_format

from arenalab.api.common.v1 import filter_pb2
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc
from arenalab.atomic import to_proto
from arenalab.mesh import (
    ConfigError,
    InvalidInputError,
    NotFoundError,
    NotReadyError,
    Reason,
    Telemetry,
    address_of,
)
from arenalab.search.embedder.protocol import Embedder
from arenalab.search.wiring import running_search
from arenalab.sharding import Shard, ShardMap, connect_search
from arenalab.testing.spans import make_span
from tests.mesh.search_desk import Desk

if TYPE_CHECKING:
    Stub = pb_grpc.SearchServiceAsyncStub

RULES: Final = {"cards": ("banking/cards",), "bank": ("banking",), "rest": ()}
_ASKED: Final = {
    "banking": ("balance", "overdraft", "interest rate", "transfer"),
    "banking/cards": ("stolen card", "card limit", "card delivery", "declined card"),
    "travel": ("flight to Paris", "train ticket", "hotel booking", "visa"),
    "weather": ("rain tomorrow", "snow in the Alps", "heat wave", "storm warning"),
}
SPANS: Final = [
    make_span(f"{start} the {topic}?", f"answer about {topic}", domain=domain)
    for domain, topics in _ASKED.items()
    for topic in topics
    for start in ("What about", "Can you help me with", "I have a question on")
]
QUESTIONS: Final = ("my card is gone", "how do I get to France", "what will the sky be like")


class Cluster:
    """Shards by name, each with a store of its own, over one dataset store."""

    def __init__(self, root: Path, embedder: Embedder, exits: AsyncExitStack) -> None:
        self.root = root
        self.desk = Desk(root, embedder)
        self.exits = exits
        self.running: dict[str, AsyncExitStack] = {}
        self.addresses: dict[str, str] = {}

    async def start(self, name: str) -> None:
        """Starts a shard; its own map names ports that are fixed, those of the test are free."""
        path = self.root / "shards.json"
        path.write_text(json_format.MessageToJson(self.map({}).to_proto()), encoding="utf-8")
        config = replace(
            self.desk.config,
            store_path=self.root / name / "spans.sqlite",
            shard_map=path if name in RULES else None,
            shard=name if name in RULES else "",
        )
        running = self.running[name] = await self.exits.enter_async_context(AsyncExitStack())
        telemetry = Telemetry("search")
        port = await running.enter_async_context(
            running_search(config, telemetry, self.desk.embedder)
        )
        self.addresses[name] = address_of(port)

    async def kill(self, name: str) -> None:
        await self.running[name].aclose()

    def map(self, addresses: dict[str, str] | None = None) -> ShardMap:
        at = self.addresses if addresses is None else addresses
        return ShardMap(
            version=1,
            shards=tuple(
                Shard(name=name, addresses=(at.get(name, f"{name}:50051"),), domains=domains)
                for name, domains in RULES.items()
            ),
        )


@pytest.fixture
async def cluster(tmp_path: Path, embedder: Embedder) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as exits:
        running = Cluster(tmp_path, embedder, exits)
        for name in (*RULES, "whole"):
            await running.start(name)
        yield running


@pytest.fixture
async def sharded(cluster: Cluster) -> "AsyncIterator[Stub]":
    async with connect_search(cluster.map(), Telemetry("test")) as search:
        await cluster.desk.publish(search, SPANS)
        yield search


@pytest.fixture
async def whole(cluster: Cluster) -> "AsyncIterator[Stub]":
    async with connect_search(cluster.addresses["whole"], Telemetry("test")) as search:
        await cluster.desk.publish(search, SPANS)
        yield search


def text_request(text: str, limit: int = 8, *domains: str) -> pb.SearchTextRequest:
    return pb.SearchTextRequest(
        dataset="faq", text=text, limit=limit, filter=filter_pb2.SpanFilter(domains=domains)
    )


def found_in(response: pb.SearchTextResponse) -> list[tuple[str, float]]:
    return [(hit.span.id, hit.score) for hit in response.hits]


async def test_each_shard_loads_its_own_spans(sharded: "Stub", cluster: Cluster) -> None:
    counts = {}
    for name in RULES:
        async with connect_search(cluster.addresses[name], Telemetry("test")) as shard:
            stats = await shard.Stats(pb.StatsRequest())
            counts[name] = stats.collection.spans
            known = await shard.GetShardMap(pb.GetShardMapRequest())
            assert ShardMap.of_proto(known.shard_map) == cluster.map({})
    assert counts == {"cards": 12, "bank": 12, "rest": 24}
    total = await sharded.Stats(pb.StatsRequest())
    assert total.collection.spans == len(SPANS)
    assert {one.value: one.count for one in total.domains} == dict.fromkeys(_ASKED, 12)


@pytest.mark.parametrize("domains", [(), ("banking",), ("banking/cards", "weather")])
async def test_shards_together_find_what_one_search_finds(
    sharded: "Stub", whole: "Stub", domains: tuple[str, ...]
) -> None:
    for question in QUESTIONS:
        request = text_request(question, 8, *domains)
        found, expected = await sharded.SearchText(request), await whole.SearchText(request)
        assert found_in(found) == found_in(expected)
        assert found.matches == expected.matches
        assert found.certificate == expected.certificate
        assert found.dataset_version == expected.dataset_version
    embedded = await sharded.Embed(pb.EmbedRequest(texts=QUESTIONS))
    batch = pb.BatchSearchRequest(vectors=embedded.vectors, limit=8)
    at_once, alone = await sharded.BatchSearch(batch), await whole.BatchSearch(batch)
    assert at_once.span_ids == alone.span_ids
    assert at_once.similarities == alone.similarities
    counting = pb.CountRequest(filter=filter_pb2.SpanFilter(domains=domains))
    counted, expected_count = await sharded.Count(counting), await whole.Count(counting)
    assert counted.matches == expected_count.matches
    assert list(counted.conditions) == list(expected_count.conditions)


async def test_a_shard_that_dies_leaves_a_marked_part(cluster: Cluster, sharded: "Stub") -> None:
    before = await sharded.SearchText(text_request(QUESTIONS[0], 100))
    await cluster.kill("cards")
    after = await sharded.SearchText(text_request(QUESTIONS[0], 100))
    assert not before.missing_shards
    assert list(after.missing_shards) == ["cards"]
    assert not after.certificate.exact
    kept = [hit for hit in before.hits if hit.span.context.environment != "banking/cards"]
    assert [hit.span.id for hit in after.hits] == [hit.span.id for hit in kept]
    with pytest.raises(NotReadyError):
        await sharded.SearchText(text_request(QUESTIONS[0], 8, "banking/cards"))


async def test_added_spans_are_found_through_their_shard(cluster: Cluster, sharded: "Stub") -> None:
    span = make_span("Which visa do I need for Japan?", "none", domain="travel/visa")
    request = pb.AddSpansRequest(dataset="faq", spans=[to_proto(span)])
    assert (await sharded.AddSpans(request)).added == 1
    found = await sharded.SearchText(text_request("visa for Japan", 1))
    assert found.hits[0].span.id == span.id
    async with connect_search(cluster.addresses["bank"], Telemetry("test")) as bank:
        with pytest.raises(
            InvalidInputError, match="is held by shard rest, this is bank"
        ) as caught:
            await bank.AddSpans(request)
    assert caught.value.metadata["owner"] == "rest"


async def test_spans_are_found_by_id_whichever_shard_holds_them(
    sharded: "Stub", whole: "Stub"
) -> None:
    lost = "0198aaaa-0000-7000-8000-000000000000"
    ids = [SPANS[-1].id, lost, *(span.id for span in SPANS)]
    request = pb.GetSpansRequest(dataset="faq", span_ids=ids)
    for search in (sharded, whole):
        with pytest.raises(NotFoundError) as caught:
            await search.GetSpans(request)
        assert caught.value.reason is Reason.UNKNOWN_SPAN
        assert caught.value.metadata["span_id"] == lost
    request.skip_missing = True
    for search in (sharded, whole):
        spans = (await search.GetSpans(request)).spans
        assert [span.id for span in spans] == [one for one in ids if one != lost]
        none = pb.GetSpansRequest(dataset="faq", span_ids=[lost], skip_missing=True)
        assert not (await search.GetSpans(none)).spans


async def test_scores_by_age_quality_and_weight_are_those_of_one_search(
    sharded: "Stub", whole: "Stub"
) -> None:
    weights = [pb.SpanWeight(span_id=span.id, weight=2) for span in SPANS[::5]]
    request = text_request(QUESTIONS[0])
    request.ranking.use_weights = True
    request.ranking.quality_weight = 0.5
    for search in (sharded, whole):
        await search.ReweightSpans(pb.ReweightSpansRequest(dataset="faq", weights=weights))
    found, expected = await sharded.SearchText(request), await whole.SearchText(request)
    assert found_in(found) == found_in(expected)
    request.ranking.lexical_weight = 0.5
    with pytest.raises(InvalidInputError, match=r"^ranking\.lexical_weight must be 0"):
        await sharded.SearchText(request)
    request.filter.domains.append("travel")  # of one shard
    assert (await sharded.SearchText(request)).hits


async def test_a_shard_that_the_map_does_not_name_is_refused(
    tmp_path: Path, embedder: Embedder
) -> None:
    path = tmp_path / "shards.json"
    shard_map = ShardMap(version=1, shards=(Shard(name="a", addresses=("h:1",)),))
    path.write_text(json_format.MessageToJson(shard_map.to_proto()), encoding="utf-8")
    config = replace(Desk(tmp_path, embedder).config, shard_map=path, shard="b")
    with pytest.raises(ConfigError, match="SEARCH_SHARD must be one of a, got 'b'"):
        async with running_search(config, Telemetry("search"), embedder):
            pass
