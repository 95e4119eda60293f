"""How clients find replicas and shards, through real servers."""

from typing import TYPE_CHECKING, Final

import pytest

from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc
from arenalab.mesh import (
    ConfigError,
    InvalidInputError,
    NotReadyError,
    Telemetry,
)
from arenalab.sharding import Shard, ShardedSearch, ShardMap, connect_search
from tests.mesh.small_search import SmallSearch
from tests.mesh.small_shards import SPANS, Shards, fresh, vector_request

if TYPE_CHECKING:
    Stub = pb_grpc.SearchServiceAsyncStub

UNREACHABLE: Final = "127.0.0.1:1"


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
