"""Searches and counts over shards, through real servers."""

from typing import TYPE_CHECKING

import numpy as np
import pytest

from arenalab.api.common.v1 import filter_pb2, plan_pb2, scope_pb2
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc
from arenalab.mesh import (
    InvalidInputError,
    NotReadyError,
    PreconditionError,
    Reason,
    Telemetry,
)
from arenalab.sharding import Shard, ShardMap, connect_search
from tests.mesh.small_search import VERSION, vector_of
from tests.mesh.small_shards import RULES, SPANS, Shards, text_request, vector_request

if TYPE_CHECKING:
    Stub = pb_grpc.SearchServiceAsyncStub


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


@pytest.mark.parametrize("field", ["lexical_weight", "diversity"])
@pytest.mark.parametrize("planned", [False, True])
async def test_scores_of_one_shard_alone_cannot_be_merged(
    shards: Shards, sharded: "Stub", field: str, *, planned: bool
) -> None:
    request = text_request("a", 5)
    setattr(request.plan.ranking if planned else request.ranking, field, 0.5)
    named = f"plan.ranking.{field}" if planned else f"ranking.{field}"
    with pytest.raises(
        InvalidInputError, match=f"^{named} must be 0 over several shards"
    ) as caught:
        await sharded.SearchText(request)
    assert caught.value.metadata["field"] == named
    assert [server.calls for server in shards.servers.values()] == [[], [], []]
    request.filter.domains.append("banking/cards")  # of one shard: nothing to merge
    assert (await sharded.SearchText(request)).matches


async def test_scores_of_each_hit_alone_are_merged(sharded: "Stub", single: "Stub") -> None:
    request = text_request("which i", 7)
    request.ranking.half_life_s = 3600
    request.ranking.quality_weight = 0.5
    request.ranking.use_weights = True
    request.ranking.rrf_constant = 10
    assert await sharded.SearchText(request) == await single.SearchText(request)


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


async def test_texts_are_embedded_by_whoever_can_be_reached(
    shards: Shards, sharded: "Stub"
) -> None:
    await shards.kill("cards")
    await shards.kill("rest")
    for _ in range(3):
        response = await sharded.Embed(pb.EmbedRequest(texts=["a"]))
        assert response.vectors == vector_of("a").tobytes()


async def test_another_tenant_has_shards_of_its_own(shards: Shards) -> None:
    only = Shard(name="a", addresses=(shards.addresses["cards"],), tenants=("ann",))
    async with connect_search(ShardMap(version=1, shards=(only,)), Telemetry("test")) as search:
        with pytest.raises(PreconditionError) as caught:
            await search.Search(vector_request("a", 1))
        assert caught.value.reason is Reason.NO_DATASET
        request = vector_request("a", 1)
        request.scope.CopyFrom(scope_pb2.Scope(tenant="ann"))
        assert (await search.Search(request)).matches == 12


async def test_the_engine_of_an_answer_is_named(sharded: "Stub") -> None:
    found = await sharded.Search(vector_request("a", 1))
    assert found.engine == plan_pb2.ENGINE_EXACT
