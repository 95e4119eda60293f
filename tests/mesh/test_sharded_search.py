"""Search over shards, through real servers."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from arenalab.api.common.v1 import filter_pb2, plan_pb2, scope_pb2, span_pb2
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc
from arenalab.atomic import to_proto
from arenalab.mesh import (
    ConfigError,
    InvalidInputError,
    NotFoundError,
    NotReadyError,
    PreconditionError,
    Reason,
    Telemetry,
)
from arenalab.sharding import Shard, ShardedSearch, ShardMap, connect_search
from arenalab.testing.spans import make_span
from tests.mesh.small_search import VERSION, SmallSearch, served, vector_of

if TYPE_CHECKING:
    Stub = pb_grpc.SearchServiceAsyncStub

DOMAINS: Final = ("banking", "banking/cards", "travel", "weather", "")
SPANS: Final = [
    to_proto(make_span(f"question {'aei'[n % 3] * (n % 7)} {n}", "yes", domain=DOMAINS[n % 5]))
    for n in range(60)
]
RULES: Final = {"cards": ("banking/cards",), "bank": ("banking",), "rest": ()}
UNREACHABLE: Final = "127.0.0.1:1"


class Shards:
    """Three shards and one search that has everything."""

    def __init__(self, exits: AsyncExitStack) -> None:
        self.exits = exits
        self.servers: dict[str, SmallSearch] = {}
        self.running: dict[str, AsyncExitStack] = {}
        self.addresses: dict[str, str] = {}
        self.whole = SmallSearch()

    async def start(self, name: str, server: SmallSearch) -> str:
        running = self.running[name] = await self.exits.enter_async_context(AsyncExitStack())
        self.servers[name] = server
        self.addresses[name] = await running.enter_async_context(served(server))
        return self.addresses[name]

    async def kill(self, name: str) -> None:
        await self.running[name].aclose()

    def map(self, version: int = 1) -> ShardMap:
        return ShardMap(
            version=version,
            shards=tuple(
                Shard(name=name, addresses=(self.addresses[name],), domains=domains)
                for name, domains in RULES.items()
            ),
        )


@asynccontextmanager
async def running_shards() -> AsyncIterator[Shards]:
    async with AsyncExitStack() as exits:
        shards = Shards(exits)
        for name in RULES:
            await shards.start(name, SmallSearch())
        shard_map = shards.map()
        for span in SPANS:
            shards.whole.spans[span.id] = span
            owner = shard_map.owner("default", span.context.environment)
            shards.servers[owner.name].spans[span.id] = span
        for server in shards.servers.values():
            server.shard_map = shard_map.to_proto()
        yield shards


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


def vector_request(text: str, limit: int, *domains: str) -> pb.SearchRequest:
    return pb.SearchRequest(
        vector=vector_of(text).tobytes(),
        limit=limit,
        filter=filter_pb2.SpanFilter(domains=domains),
    )


def text_request(text: str, limit: int = 10, *domains: str) -> pb.SearchTextRequest:
    return pb.SearchTextRequest(
        text=text, limit=limit, filter=filter_pb2.SpanFilter(domains=domains)
    )


@pytest.mark.parametrize("domains", [(), ("banking",), ("banking/cards",), ("travel", "weather")])
@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_shards_together_find_what_one_search_finds(
    sharded: "Stub", single: "Stub", limit: int, domains: tuple[str, ...]
) -> None:
    for text in ("aa", "which i", "eee a"):
        request = vector_request(text, limit, *domains)
        assert await sharded.Search(request) == await single.Search(request)
        of_text = text_request(text, limit, *domains)
        assert await sharded.SearchText(of_text) == await single.SearchText(of_text)
    batch = pb.BatchSearchRequest(
        vectors=np.concatenate([vector_of("aa"), vector_of("i"), vector_of("e i")]).tobytes(),
        limit=limit,
        filter=filter_pb2.SpanFilter(domains=domains),
    )
    assert await sharded.BatchSearch(batch) == await single.BatchSearch(batch)


async def test_only_shards_that_may_hold_a_match_are_asked(shards: Shards, sharded: "Stub") -> None:
    await sharded.Search(vector_request("a", 5, "banking/cards/stolen"))
    assert [shards.servers[name].calls for name in RULES] == [["Search"], [], []]


async def test_a_shard_that_dies_is_named_and_the_others_answer(
    shards: Shards, sharded: "Stub"
) -> None:
    assert not (await sharded.Search(vector_request("a", 100))).missing_shards
    await shards.kill("bank")
    found = await sharded.Search(vector_request("a", 100))
    assert list(found.missing_shards) == ["bank"]
    assert found.matches == len(SPANS) - len(shards.servers["bank"].spans)
    assert not found.certificate.exact
    by_text = await sharded.SearchText(text_request("a", 100))
    assert list(by_text.missing_shards) == ["bank"]
    assert len(by_text.hits) == found.matches


async def test_a_shard_that_is_late_is_named_before_the_deadline(
    shards: Shards, sharded: "Stub"
) -> None:
    shards.servers["rest"].hangs = True
    found = await sharded.Search(vector_request("a", 100), timeout=0.2)
    assert list(found.missing_shards) == ["rest"]


async def test_no_shard_at_all_is_an_error_that_may_pass(shards: Shards, sharded: "Stub") -> None:
    for name in RULES:
        await shards.kill(name)
    with pytest.raises(NotReadyError, match="shard cards"):
        await sharded.Search(vector_request("a", 5))


async def test_the_only_shard_that_may_hold_a_match_must_answer(
    shards: Shards, sharded: "Stub"
) -> None:
    await shards.kill("cards")
    with pytest.raises(NotReadyError):
        await sharded.Search(vector_request("a", 5, "banking/cards"))


@pytest.mark.parametrize("version", ["b" * 64, ""])
async def test_a_shard_that_missed_a_publication_is_named(
    shards: Shards, sharded: "Stub", version: str
) -> None:
    shards.servers["cards"].version = version
    found = await sharded.Search(vector_request("a", 100))
    assert list(found.missing_shards) == ["cards"]
    assert found.dataset_version == VERSION


async def test_a_wrong_request_is_refused_as_one_search_does(sharded: "Stub") -> None:
    with pytest.raises(InvalidInputError, match="limit must be in"):
        await sharded.Search(vector_request("a", 0))


async def test_rankings_without_scores_cannot_be_merged(sharded: "Stub") -> None:
    request = vector_request("a", 5)
    request.ranking.quality_weight = 0.5
    with pytest.raises(PreconditionError) as caught:
        await sharded.Search(request)
    assert caught.value.reason is Reason.UNSUPPORTED_REQUEST
    request.filter.domains.append("banking/cards")  # of one shard: nothing to merge
    assert (await sharded.Search(request)).matches


async def test_spans_come_in_the_order_asked_for_whoever_holds_them(
    sharded: "Stub",
) -> None:
    ids = [span.id for span in reversed(SPANS)]
    found = await sharded.GetSpans(pb.GetSpansRequest(span_ids=ids))
    assert [span.id for span in found.spans] == ids


async def test_the_first_span_that_nobody_holds_is_named(sharded: "Stub") -> None:
    ids = [SPANS[0].id, "0198aaaa-0000-7000-8000-000000000000", SPANS[1].id]
    with pytest.raises(NotFoundError) as caught:
        await sharded.GetSpans(pb.GetSpansRequest(span_ids=ids))
    assert caught.value.reason is Reason.UNKNOWN_SPAN
    assert caught.value.metadata == {"span_id": ids[1]}


async def test_a_span_may_be_on_the_shard_that_is_away(shards: Shards, sharded: "Stub") -> None:
    await shards.kill("cards")
    on_bank, on_cards = SPANS[0], SPANS[1]
    found = await sharded.GetSpans(pb.GetSpansRequest(span_ids=[on_bank.id]))
    assert list(found.spans) == [on_bank]
    with pytest.raises(NotReadyError):
        await sharded.GetSpans(pb.GetSpansRequest(span_ids=[on_cards.id]))


def fresh(domain: str, number: int) -> span_pb2.Span:
    return to_proto(make_span(f"new question {number}", "yes", domain=domain))


async def test_each_span_is_added_to_the_shard_of_its_domain(
    shards: Shards, sharded: "Stub"
) -> None:
    added = [fresh("banking/cards", 1), fresh("banking", 2), fresh("sports", 3)]
    request = pb.AddSpansRequest(dataset="faq", spans=[*added, SPANS[0]])
    response = await sharded.AddSpans(request)
    assert (response.added, response.unchanged) == (3, 1)
    for span, name in zip(added, RULES, strict=True):
        assert [n for n in RULES if span.id in shards.servers[n].spans] == [name]
    again = await sharded.AddSpans(request)
    assert (again.added, again.unchanged) == (0, 4)


async def test_spans_are_updated_where_their_domain_is(shards: Shards, sharded: "Stub") -> None:
    changed = span_pb2.Span()
    changed.CopyFrom(SPANS[1])
    changed.if_ok = "no"
    response = await sharded.UpdateSpans(
        pb.UpdateSpansRequest(dataset="faq", spans=[changed, SPANS[2]])
    )
    assert (response.updated, response.unchanged) == (1, 1)
    assert shards.servers["cards"].spans[changed.id].if_ok == "no"


async def test_an_update_cannot_move_a_span_to_another_shard(sharded: "Stub") -> None:
    moved = span_pb2.Span()
    moved.CopyFrom(SPANS[1])
    moved.context.environment = "travel"
    with pytest.raises(NotFoundError):
        await sharded.UpdateSpans(pb.UpdateSpansRequest(dataset="faq", spans=[moved]))


async def test_spans_are_deleted_hidden_and_weighed_where_they_are(
    shards: Shards, sharded: "Stub"
) -> None:
    ids = [span.id for span in SPANS[:3]]
    lost = "0198aaaa-0000-7000-8000-000000000000"
    weights = [pb.SpanWeight(span_id=span_id, weight=2) for span_id in ids]
    weighed = await sharded.ReweightSpans(pb.ReweightSpansRequest(dataset="faq", weights=weights))
    assert weighed.changed == 3
    assert [list(server.weights) for server in shards.servers.values()] == [
        [ids[1]], [ids[0]], [ids[2]],
    ]  # fmt: skip
    hide = pb.QuarantineSpansRequest(dataset="faq", span_ids=ids)
    assert (await sharded.QuarantineSpans(hide)).changed == 3
    assert (await sharded.QuarantineSpans(hide)).changed == 0
    assert (await sharded.Search(vector_request("a", 100))).matches == len(SPANS) - 3
    with pytest.raises(NotFoundError):
        await sharded.QuarantineSpans(
            pb.QuarantineSpansRequest(dataset="faq", span_ids=[ids[0], lost], release=True)
        )
    deleted = await sharded.DeleteSpans(pb.DeleteSpansRequest(dataset="faq", span_ids=[*ids, lost]))
    assert (deleted.deleted, deleted.missing) == (3, 1)


async def test_counts_are_of_all_shards_or_fail(shards: Shards, sharded: "Stub") -> None:
    assert (await sharded.Stats(pb.StatsRequest())).collection.spans == len(SPANS)
    (listed,) = (await sharded.ListCollections(pb.ListCollectionsRequest())).collections
    assert listed.spans == len(SPANS)
    banking = filter_pb2.SpanFilter(domains=["banking"])
    counted = await sharded.Count(pb.CountRequest(filter=banking))
    assert (counted.matches, counted.collection.spans) == (24, len(SPANS))
    await shards.kill("rest")
    with pytest.raises(NotReadyError, match="shard rest"):
        await sharded.Count(pb.CountRequest())


async def test_a_planner_may_do_with_partial_counts(shards: Shards) -> None:
    await shards.kill("rest")
    async with connect_search(shards.map(), Telemetry("test"), partial_counts=True) as search:
        counted = await search.Stats(pb.StatsRequest())
    assert counted.collection.spans == len(SPANS) - len(shards.servers["rest"].spans)


async def test_a_version_is_published_to_all_shards(shards: Shards, sharded: "Stub") -> None:
    request = pb.PublishRequest(dataset="faq", dataset_version="c" * 64)
    published = await sharded.Publish(request)
    assert published.previous_version == VERSION
    assert published.collection.spans == len(SPANS)
    assert {server.version for server in shards.servers.values()} == {"c" * 64}
    await shards.kill("rest")
    with pytest.raises(NotReadyError, match="shard rest"):
        await sharded.Publish(request)


async def test_texts_are_embedded_by_whoever_can_be_reached(
    shards: Shards, sharded: "Stub"
) -> None:
    await shards.kill("cards")
    await shards.kill("rest")
    for _ in range(3):
        response = await sharded.Embed(pb.EmbedRequest(texts=["a"]))
        assert response.vectors == vector_of("a").tobytes()


async def test_indexes_of_all_shards_are_written(sharded: "Stub") -> None:
    written = await sharded.Snapshot(pb.SnapshotRequest(dataset="faq"))
    assert [one.spans for one in written.segments] == [36, 12, 12]


async def test_another_tenant_has_shards_of_its_own(shards: Shards) -> None:
    only = Shard(name="a", addresses=(shards.addresses["cards"],), tenants=("ann",))
    async with connect_search(ShardMap(version=1, shards=(only,)), Telemetry("test")) as search:
        with pytest.raises(PreconditionError) as caught:
            await search.Search(vector_request("a", 1))
        assert caught.value.reason is Reason.NO_DATASET
        request = vector_request("a", 1)
        request.scope.CopyFrom(scope_pb2.Scope(tenant="ann"))
        assert (await search.Search(request)).matches == 12


class Replicas:
    """Two replicas of one shard."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards
        self.servers = [SmallSearch(), SmallSearch()]
        for server in self.servers:
            server.spans = {span.id: span for span in SPANS}

    async def addresses(self) -> list[str]:
        return [
            await self.shards.start(f"replica {number}", server)
            for number, server in enumerate(self.servers)
        ]


async def test_replicas_without_a_map_take_turns(shards: Shards) -> None:
    replicas = Replicas(shards)
    addresses = await replicas.addresses()
    async with connect_search(",".join(addresses), Telemetry("test")) as search:
        for _ in range(4):
            await search.Search(vector_request("a", 1))
        assert [server.calls.count("Search") for server in replicas.servers] == [2, 2]
        await shards.kill("replica 0")
        for _ in range(3):
            found = await search.Search(vector_request("a", 100))
            assert found.certificate.exact
            assert not found.missing_shards


async def test_a_write_must_reach_every_replica_and_can_be_repeated(shards: Shards) -> None:
    replicas = Replicas(shards)
    addresses = await replicas.addresses()
    request = pb.AddSpansRequest(dataset="faq", spans=[fresh("banking", 1)])
    async with connect_search(",".join(addresses), Telemetry("test")) as search:
        await shards.kill("replica 1")
        with pytest.raises(NotReadyError):
            await search.AddSpans(request)
        assert len(replicas.servers[0].spans) == len(SPANS) + 1
    both = [addresses[0], await shards.start("replica 1", replicas.servers[1])]
    async with connect_search(",".join(both), Telemetry("test")) as search:
        assert (await search.AddSpans(request)).added == 1  # there, to the replica that missed it
        assert len(replicas.servers[1].spans) == len(SPANS) + 1


async def test_one_address_is_the_stub_itself(shards: Shards) -> None:
    async with connect_search(shards.addresses["rest"], Telemetry("test")) as search:
        assert not isinstance(search, ShardedSearch)
        await search.Search(vector_request("a", 1))
    assert shards.servers["rest"].calls == ["Search"]


@pytest.mark.parametrize("address", ["", "shards://", "h", "h:1,x", "h:99999"])
async def test_a_setting_that_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="host:port"):
        async with connect_search(address, Telemetry("test")):
            pass


async def test_the_map_is_told_by_any_replica_that_can_be_reached(
    shards: Shards, single: "Stub"
) -> None:
    seeds = f"{UNREACHABLE},{shards.addresses['bank']}"
    async with connect_search(seeds, Telemetry("test")) as search:
        request = vector_request("a", 100)
        assert await search.Search(request) == await single.Search(request)
        known = await search.GetShardMap(pb.GetShardMapRequest())
        assert known.shard_map == shards.map().to_proto()


async def test_services_may_start_before_search(shards: Shards) -> None:
    async with connect_search(f"shards://{UNREACHABLE}", Telemetry("test")) as search:
        with pytest.raises(NotReadyError):
            await search.Search(vector_request("a", 1))
    seed = f"shards://{shards.addresses['rest']}"
    async with connect_search(seed, Telemetry("test")) as search:
        assert (await search.Search(vector_request("a", 1))).matches == len(SPANS)


async def test_a_newer_map_is_taken_over(shards: Shards) -> None:
    seed = f"shards://{shards.addresses['rest']}"
    async with connect_search(seed, Telemetry("test"), refresh_s=0) as search:
        assert (await search.Search(vector_request("a", 1))).matches == len(SPANS)
        alone = ShardMap(
            version=2, shards=(Shard(name="rest", addresses=(shards.addresses["rest"],)),)
        )
        shards.servers["rest"].shard_map = alone.to_proto()
        for _ in range(100):
            found = await search.Search(vector_request("a", 1))
            if found.matches < len(SPANS):
                break
        assert found.matches == len(shards.servers["rest"].spans)
        # An older one is not: a replica that was not restarted yet still tells it.
        shards.servers["rest"].shard_map = shards.map().to_proto()
        for _ in range(5):
            found = await search.Search(vector_request("a", 1))
            assert found.matches == len(shards.servers["rest"].spans)


async def test_a_refusal_by_a_newer_map_makes_a_client_ask_again(shards: Shards) -> None:
    old = ShardMap(version=1, shards=(Shard(name="bank", addresses=(shards.addresses["bank"],)),))
    bank = shards.servers["bank"] = SmallSearch(lambda domain: domain == "banking")
    bank.refusal = {"shard_map_version": "2"}
    bank.shard_map = old.to_proto()
    address = await shards.start("bank", bank)
    bank.shard_map = ShardMap(
        version=1, shards=(Shard(name="bank", addresses=(address,)),)
    ).to_proto()
    async with connect_search(f"shards://{address}", Telemetry("test")) as search:
        await search.Search(vector_request("a", 1))
        bank.shard_map = shards.map(version=2).to_proto()
        span = fresh("banking/cards", 1)
        added = await search.AddSpans(pb.AddSpansRequest(dataset="faq", spans=[span]))
    assert added.added == 1
    assert span.id in shards.servers["cards"].spans


async def test_a_refusal_without_a_newer_map_is_the_callers(shards: Shards) -> None:
    shards.servers["bank"]._keeps = lambda _domain: False
    shards.servers["bank"].refusal = {"shard_map_version": "1"}
    async with connect_search(shards.map(), Telemetry("test")) as search:
        with pytest.raises(InvalidInputError, match="held by another shard"):
            await search.AddSpans(pb.AddSpansRequest(dataset="faq", spans=[fresh("banking", 1)]))


async def test_the_engine_of_an_answer_is_named(sharded: "Stub") -> None:
    found = await sharded.Search(vector_request("a", 1))
    assert found.engine == plan_pb2.ENGINE_EXACT


async def test_an_error_names_the_place_in_the_whole_request(
    shards: Shards, sharded: "Stub"
) -> None:
    shards.servers["rest"]._keeps = lambda domain: domain != "sports"
    spans = [fresh("banking", 1), fresh("travel", 2), fresh("banking", 3), fresh("sports", 4)]
    with pytest.raises(InvalidInputError, match=r"spans\[3\]\.context") as caught:
        await sharded.AddSpans(pb.AddSpansRequest(dataset="faq", spans=spans))
    assert caught.value.metadata["field"] == "spans[3].context.environment"
    assert caught.value.metadata["shard"] == "rest"
