"""Three shards of a few spans in memory, and one search that has them all."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from arenalab.api.common.v1 import filter_pb2, span_pb2
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.atomic import to_proto
from arenalab.sharding import Shard, ShardMap
from arenalab.testing.spans import make_span
from tests.mesh.small_search import SmallSearch, served, vector_of

DOMAINS: Final = ("banking", "banking/cards", "travel", "weather", "")
SPANS: Final = [
    to_proto(make_span(f"question {'aei'[n % 3] * (n % 7)} {n}", "yes", domain=DOMAINS[n % 5]))
    for n in range(60)
]
RULES: Final = {"cards": ("banking/cards",), "bank": ("banking",), "rest": ()}


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


def fresh(domain: str, number: int) -> span_pb2.Span:
    return to_proto(make_span(f"new question {number}", "yes", domain=domain))
