"""Connecting to Search, whether it is one replica or many."""

import asyncio
import contextvars
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final, cast

from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc
from arenalab.mesh import (
    ConfigError,
    MeshError,
    NotReadyError,
    PreconditionError,
    Telemetry,
    connect,
)
from arenalab.mesh.deadline import remaining_s
from arenalab.sharding.client import ShardedSearch
from arenalab.sharding.replicas import Routes, settled
from arenalab.sharding.shard_map import ShardMap, ShardMapError, check_address

if TYPE_CHECKING:
    Stub = pb_grpc.SearchServiceAsyncStub

_logger = logging.getLogger(__name__)

REFRESH_S: Final = 30.0
_FETCH_TIMEOUT_S: Final = 2.0
_MOST_ASKED: Final = 8  # replicas asked for their map at a time
_DISCOVER: Final = "shards://"
_SEARCH: Final = "arenalab.api.search.v1.SearchService"
# Same request, same response or same effect: safe to ask again.
IDEMPOTENT: Final = tuple(
    f"{_SEARCH}/{method}"
    for method in (
        "Search", "BatchSearch", "SearchText", "GetSpans", "Embed", "Stats", "Count",
        "ListCollections", "Publish", "GetRevision", "GetShardMap",
    )
)  # fmt: skip


@asynccontextmanager
async def connect_search(
    target: str | ShardMap,
    telemetry: Telemetry,
    *,
    idempotent: Sequence[str] = IDEMPOTENT,
    partial_counts: bool = False,
    refresh_s: float = REFRESH_S,
) -> "AsyncGenerator[Stub]":
    """Opens Search for the length of the `async with` block; yields what its stub can do.

    Args:
        target: One address: that replica, and nothing else. Several with commas between
            them, or any after "shards://": they are asked for their shard map; where none
            has one, they are equal replicas. A map: what it says.
        telemetry: Traces the calls, as the calling service.
        idempotent: As of `connect`.
        partial_counts: As of `ShardedSearch`.
        refresh_s: Age at which a map is asked for anew, in seconds.

    Raises:
        ConfigError: `target` holds something that is not "host:port".
    """
    async with AsyncExitStack() as stack:
        if isinstance(target, ShardMap):
            directory = Directory((), telemetry, idempotent, refresh_s=refresh_s, fixed=target)
        else:
            addresses = addresses_of(target)
            if len(addresses) == 1 and not target.startswith(_DISCOVER):
                channel = await stack.enter_async_context(
                    connect(addresses[0], telemetry, idempotent=idempotent)
                )
                yield pb_grpc.SearchServiceStub(channel)
                return
            directory = Directory(addresses, telemetry, idempotent, refresh_s=refresh_s)
        stack.push_async_callback(directory.close)
        yield cast("Stub", ShardedSearch(directory, partial_counts=partial_counts))


def addresses_of(target: str) -> tuple[str, ...]:
    """Returns the addresses that a setting names.

    Raises:
        ConfigError: There is none, or one is not "host:port".
    """
    parts = target.removeprefix(_DISCOVER).split(",")
    addresses = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    try:
        for address in addresses:
            check_address(address)
    except ShardMapError as error:
        raise ConfigError(f"search address: {error}") from error
    if not addresses:
        raise ConfigError(f"a search address must be host:port, got {target!r}")
    return addresses


class Directory:
    """Keeps the shard map current, and one channel to each replica in it.

    The map is fetched by the first call, so that services may start in any order, and
    again in the background by a call that finds it old: no calls, no traffic.
    """

    def __init__(
        self,
        seeds: Sequence[str],
        telemetry: Telemetry,
        idempotent: Sequence[str] = IDEMPOTENT,
        *,
        refresh_s: float = REFRESH_S,
        fixed: ShardMap | None = None,
    ) -> None:
        """Keeps its arguments; a `fixed` map is never asked for."""
        self._seeds = tuple(seeds)
        self._telemetry = telemetry
        self._idempotent = tuple(idempotent)
        self._refresh_s = refresh_s
        self._fixed = fixed
        self._routes: Routes | None = None
        self._fetched_at = 0.0
        self._first_asked = 0
        self._error = "not asked yet"
        self._refreshing: asyncio.Task[None] | None = None
        self._stubs: dict[str, Stub] = {}
        self._channels: dict[str, AsyncExitStack] = {}

    async def routes(self) -> Routes:
        """Returns the current routes; asks for them the first time.

        Raises:
            NotReadyError: No replica has told its map.
        """
        if self._routes is None:
            await self._fetched()
        elif self._is_old() and self._refreshing is None:
            self._refreshing = self._refresh()
        if self._routes is None:
            raise NotReadyError(f"no replica of search can be asked: {self._error}")
        return self._routes

    async def newer_routes(self, than: int) -> Routes:
        """Returns routes whose map was asked for anew, unless it is newer already."""
        if self._routes is None or self._routes.map.version <= than:
            await self._fetched()
        return await self.routes()

    async def close(self) -> None:
        """Closes every channel."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)
        for channel in self._channels.values():
            await channel.aclose()

    def _is_old(self) -> bool:
        age_s = asyncio.get_running_loop().time() - self._fetched_at
        return self._fixed is None and age_s >= self._refresh_s

    async def _fetched(self) -> None:
        """Returns when the map was asked for, or the caller's time is over: another may wait."""
        self._refreshing = self._refreshing or self._refresh()
        await asyncio.wait({self._refreshing}, timeout=remaining_s(2 * _FETCH_TIMEOUT_S))

    def _refresh(self) -> "asyncio.Task[None]":
        # In a context of its own: the call that begins it may end long before.
        return asyncio.create_task(self._fetch(), context=contextvars.Context())

    async def _fetch(self) -> None:
        try:
            found = self._fixed or await self._newest_map()
            if self._routes is None or self._routes.map.version < found.version:
                await self._close_but((*self._seeds, *self._known(), *found.addresses))
                stubs = {address: await self._stub(address) for address in found.addresses}
                self._routes = Routes(found, stubs)
                _logger.info("shard map %d: %d shards", found.version, len(found.shards))
        except MeshError as error:  # what is known is used until a replica is back
            self._error = str(error)
            _logger.warning("the shard map could not be asked for: %s", error)
        finally:
            self._fetched_at = asyncio.get_running_loop().time()
            self._refreshing = None

    def _known(self) -> tuple[str, ...]:
        return () if self._routes is None else self._routes.map.addresses

    async def _newest_map(self) -> ShardMap:
        """Returns the newest of the maps that some replicas have."""
        addresses = list(dict.fromkeys((*self._known(), *self._seeds)))
        # Other replicas each time, so that one with an old map is not all that is asked.
        first = self._first_asked % len(addresses)
        asked = (addresses[first:] + addresses[:first])[:_MOST_ASKED]
        self._first_asked += len(asked)
        done = await settled(self._map_of(address) for address in asked)
        maps = [one for one in done if isinstance(one, ShardMap)]
        if maps:
            return max(maps, key=lambda one: one.version)
        if any(one is None for one in done) and self._seeds:
            return ShardMap.of_replicas(self._seeds)
        raise next(
            (one for one in done if isinstance(one, MeshError)),
            NotReadyError("no replica of search has a shard map", service="search"),
        )

    async def _map_of(self, address: str) -> ShardMap | None:
        """Returns the map of a replica; None where it is not part of any."""
        stub = await self._stub(address)
        try:
            response = await stub.GetShardMap(pb.GetShardMapRequest(), timeout=_FETCH_TIMEOUT_S)
        except PreconditionError:
            return None
        try:
            return ShardMap.of_proto(response.shard_map)
        except ShardMapError as error:
            raise NotReadyError(f"{address} has a wrong shard map: {error}") from error

    async def _stub(self, address: str) -> "Stub":
        if address not in self._stubs:
            channel = self._channels[address] = AsyncExitStack()
            self._stubs[address] = pb_grpc.SearchServiceStub(
                await channel.enter_async_context(
                    connect(address, self._telemetry, idempotent=self._idempotent)
                )
            )
        return self._stubs[address]

    async def _close_but(self, kept: Sequence[str]) -> None:
        """Closes channels that the map before this one did not name either.

        Those that it did may still carry calls.
        """
        for address in set(self._channels) - set(kept):
            del self._stubs[address]
            await self._channels.pop(address).aclose()
