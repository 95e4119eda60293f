"""The methods of Search's stub, over shards.

Reads go to the shards that may hold a match, at the same time, and end a little before the
caller's deadline: a shard that fails or is late is named in `missing_shards`, and what the
others found is returned. A request that a shard refuses as wrong is wrong. Counts cannot be
marked as partial, so that they fail with the first shard that fails, unless the caller says
that it can do with less.

Writes go to the shard that holds the span's domain, to every replica of it. They are all or
nothing in each replica, not over all of them; as they change nothing when repeated, a write
that failed is simply made again.

One shard alone is asked as it is, without all of this.
"""

# ruff: noqa: N802, ASYNC109 - named as in the proto, and called as a stub is

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.mesh import InvalidInputError
from arenalab.mesh.client import DEFAULT_TIMEOUT_S
from arenalab.sharding import fanning, mergeable, merging
from arenalab.sharding.budget import Budget
from arenalab.sharding.replicas import Routes

# Metadata of a refusal to store spans that another shard holds.
MAP_VERSION_KEY: Final = "shard_map_version"

R = TypeVar("R")


class RoutesSource(Protocol):
    """Where the current routes come from."""

    async def routes(self) -> Routes:
        """Returns them.

        Raises:
            NotReadyError: No replica can be reached.
        """

    async def newer_routes(self, than: int) -> Routes:
        """Returns them, asked for anew if their version is not above `than`."""


class ShardedSearch:
    """Stands in for SearchServiceAsyncStub."""

    def __init__(self, source: RoutesSource, *, partial_counts: bool = False) -> None:
        """Keeps its arguments.

        Args:
            source: Where routes come from.
            partial_counts: Whether Stats, Count and ListCollections leave out shards that
                fail: enough to plan from, not to show.
        """
        self._source = source
        self._partial_counts = partial_counts

    # Searches.

    async def Search(
        self, request: pb.SearchRequest, *, timeout: float = DEFAULT_TIMEOUT_S
    ) -> pb.SearchResponse:
        return await self._searched(
            "Search", request, merging.merged_search, timeout, mergeable.check_vector_ranking
        )

    async def BatchSearch(
        self, request: pb.BatchSearchRequest, *, timeout: float = DEFAULT_TIMEOUT_S
    ) -> pb.BatchSearchResponse:
        return await self._searched(
            "BatchSearch", request, merging.merged_batch, timeout, mergeable.check_vector_ranking
        )

    async def SearchText(
        self, request: pb.SearchTextRequest, *, timeout: float = DEFAULT_TIMEOUT_S
    ) -> pb.SearchTextResponse:
        return await self._searched(
            "SearchText", request, merging.merged_text, timeout, mergeable.check_text_ranking
        )

    async def Embed(
        self, request: pb.EmbedRequest, *, timeout: float = DEFAULT_TIMEOUT_S
    ) -> pb.EmbedResponse:
        routes, budget = await self._routes(timeout)
        embedded: pb.EmbedResponse = await routes.read_any(
            routes.map.addresses, "Embed", request, budget.left_s()
        )
        return embedded

    # Spans by id.

    async def GetSpans(
        self, request: pb.GetSpansRequest, *, timeout: float = DEFAULT_TIMEOUT_S
    ) -> pb.GetSpansResponse:
        routes, budget = await self._routes(timeout)
        shards = fanning.of_tenant(routes, request.scope)
        if len(shards) == 1:
            found: pb.GetSpansResponse = await routes.read(
                shards[0], "GetSpans", request, budget.left_s()
            )
            return found
        held = await fanning.held(routes, shards, request, budget.left_s())
        spans = {span.id: span for of_shard in held.values() for span in of_shard}
        return pb.GetSpansResponse(spans=[spans[one] for one in request.span_ids if one in spans])

    async def DeleteSpans(
        self, request: pb.DeleteSpansRequest, *, timeout: float = DEFAULT_TIMEOUT_S
    ) -> pb.DeleteSpansResponse:
        parts = await self._write_to_all("DeleteSpans", request, timeout)
        deleted = sum(max(one.deleted for one in part) for part in parts)
        asked_for = parts[0][0].deleted + parts[0][0].missing
        return pb.DeleteSpansResponse(deleted=deleted, missing=asked_for - deleted)

    async def ReweightSpans(
        self, request: pb.ReweightSpansRequest, *, timeout: float = DEFAULT_TIMEOUT_S
    ) -> pb.ReweightSpansResponse:
        weights = {one.span_id: one for one in request.weights}

        def part(span_ids: Sequence[str]) -> pb.ReweightSpansRequest:
            return pb.ReweightSpansRequest(
                scope=request.scope,
                dataset=request.dataset,
                weights=[weights[span_id] for span_id in span_ids],
            )

        parts = await self._write_where_held("ReweightSpans", request, list(weights), part, timeout)
        return pb.ReweightSpansResponse(changed=_sum_changed(parts))

    async def QuarantineSpans(
        self, request: pb.QuarantineSpansRequest, *, timeout: float = DEFAULT_TIMEOUT_S
    ) -> pb.QuarantineSpansResponse:
        def part(span_ids: Sequence[str]) -> pb.QuarantineSpansRequest:
            return pb.QuarantineSpansRequest(
                scope=request.scope,
                dataset=request.dataset,
                span_ids=span_ids,
                release=request.release,
            )

        parts = await self._write_where_held(
            "QuarantineSpans", request, request.span_ids, part, timeout
        )
        return pb.QuarantineSpansResponse(changed=_sum_changed(parts))

    # Spans by domain.

    async def AddSpans(
        self, request: pb.AddSpansRequest, *, timeout: float = DEFAULT_TIMEOUT_S
    ) -> pb.AddSpansResponse:
        most = await self._write_to_owners("AddSpans", request, "added", timeout)
        return pb.AddSpansResponse(
            added=sum(one.added for one in most), unchanged=sum(one.unchanged for one in most)
        )

    async def UpdateSpans(
        self, request: pb.UpdateSpansRequest, *, timeout: float = DEFAULT_TIMEOUT_S
    ) -> pb.UpdateSpansResponse:
        most = await self._write_to_owners("UpdateSpans", request, "updated", timeout)
        return pb.UpdateSpansResponse(
            updated=sum(one.updated for one in most), unchanged=sum(one.unchanged for one in most)
        )

    # Collections.

    async def Stats(
        self, request: pb.StatsRequest, *, timeout: float = DEFAULT_TIMEOUT_S
    ) -> pb.StatsResponse:
        return await self._counted("Stats", request, merging.merged_stats, timeout)

    async def Count(
        self, request: pb.CountRequest, *, timeout: float = DEFAULT_TIMEOUT_S
    ) -> pb.CountResponse:
        # All shards, whatever the filter says: each of its conditions is counted alone.
        return await self._counted("Count", request, merging.merged_count, timeout)

    async def ListCollections(
        self, request: pb.ListCollectionsRequest, *, timeout: float = DEFAULT_TIMEOUT_S
    ) -> pb.ListCollectionsResponse:
        return await self._counted("ListCollections", request, merging.merged_collections, timeout)

    async def Publish(
        self, request: pb.PublishRequest, *, timeout: float = DEFAULT_TIMEOUT_S
    ) -> pb.PublishResponse:
        parts = await self._write_to_all("Publish", request, timeout)
        return pb.PublishResponse(
            collection=merging.merged_collection([part[0].collection for part in parts]),
            previous_version=next(
                (one.previous_version for part in parts for one in part if one.previous_version),
                "",
            ),
        )

    async def Snapshot(
        self, request: pb.SnapshotRequest, *, timeout: float = DEFAULT_TIMEOUT_S
    ) -> pb.SnapshotResponse:
        parts = await self._write_to_all("Snapshot", request, timeout)
        segments = [segment for part in parts for segment in part[0].segments]
        return pb.SnapshotResponse(segments=sorted(segments, key=lambda one: -one.spans))

    async def GetRevision(
        self, request: pb.GetRevisionRequest, *, timeout: float = DEFAULT_TIMEOUT_S
    ) -> pb.GetRevisionResponse:
        # Of every replica: any of them may be searched next, and one that cannot be asked now
        # may be behind the others then.
        routes, budget = await self._routes(timeout)
        shards = fanning.of_tenant(routes, request.scope)
        parts = [(shard, request) for shard in shards]
        answers = await fanning.write_all(routes, parts, "GetRevision", budget.left_s())
        return merging.merged_revision(routes.map, shards, answers)

    async def GetShardMap(
        self,
        request: pb.GetShardMapRequest,  # noqa: ARG002 - it says nothing
        *,
        timeout: float = DEFAULT_TIMEOUT_S,  # noqa: ARG002 - what is known is returned
    ) -> pb.GetShardMapResponse:
        routes = await self._source.routes()
        return pb.GetShardMapResponse(shard_map=routes.map.to_proto())

    async def _routes(self, timeout_s: float) -> tuple[Routes, Budget]:
        """Returns the routes, and what is left of the time when they are there."""
        budget = Budget(timeout_s)
        return await self._source.routes(), budget

    async def _searched(
        self,
        method: str,
        request: Any,
        merge: Callable[[merging.Answers[R], int], R],
        timeout_s: float,
        check: Callable[[Any], None],
    ) -> R:
        """Returns what the shards find that may hold a match; `check` refuses what cannot merge."""
        routes, budget = await self._routes(timeout_s)
        shards = fanning.asked(routes, request)
        if len(shards) == 1:
            alone: R = await routes.read(shards[0], method, request, budget.left_s())
            return alone
        check(request)
        answers = await fanning.read_all(routes, shards, method, request, budget.left_s())
        return merge(answers, request.limit)

    async def _counted(
        self, method: str, request: Any, merge: Callable[[Sequence[R]], R], timeout_s: float
    ) -> R:
        routes, budget = await self._routes(timeout_s)
        shards = fanning.of_tenant(routes, request.scope)
        if len(shards) == 1:
            alone: R = await routes.read(shards[0], method, request, budget.left_s())
            return alone
        answers = await fanning.read_all(routes, shards, method, request, budget.left_s())
        if answers.errors and not self._partial_counts:
            raise fanning.gravest(answers.errors)
        return merge(list(answers.responses.values()))

    async def _write_to_all(self, method: str, request: Any, timeout_s: float) -> list[list[Any]]:
        """Returns what each replica of each shard of the tenant says."""
        routes, budget = await self._routes(timeout_s)
        shards = fanning.of_tenant(routes, request.scope)
        parts = [(shard, request) for shard in shards]
        return await fanning.write_all(routes, parts, method, budget.left_s())

    async def _write_to_owners(
        self, method: str, request: Any, counted: str, timeout_s: float
    ) -> list[Any]:
        """Sends each span to the shard of its domain; once more if a newer map says otherwise.

        Returns:
            Of each shard, the response with the most `counted`: of replicas that took the
            change, some may have had it before.
        """
        routes, budget = await self._routes(timeout_s)
        try:
            parts = await fanning.write_to_owners(routes, request, method, budget.left_s())
        except InvalidInputError as error:
            version = error.metadata.get(MAP_VERSION_KEY, "")
            if not version.isdecimal() or int(version) <= routes.map.version:
                raise
            routes = await self._source.newer_routes(routes.map.version)
            parts = await fanning.write_to_owners(routes, request, method, budget.left_s())
        return [max(replicas, key=lambda one: int(getattr(one, counted))) for replicas in parts]

    async def _write_where_held(
        self,
        method: str,
        request: Any,
        span_ids: Sequence[str],
        part: Callable[[Sequence[str]], Any],
        timeout_s: float,
    ) -> list[list[Any]]:
        routes, budget = await self._routes(timeout_s)
        shards = fanning.of_tenant(routes, request.scope)
        if len(shards) == 1 or not span_ids:  # the shard says what is wrong with none
            return await fanning.write_all(routes, [(shards[0], request)], method, budget.left_s())
        wanted = pb.GetSpansRequest(scope=request.scope, dataset=request.dataset, span_ids=span_ids)
        # A shard that is late leaves half of the time for the change.
        held = await fanning.held(routes, shards, wanted, budget.left_s() / 2)
        by_name = {shard.name: shard for shard in shards}
        parts = [
            (by_name[name], part([span.id for span in spans]))
            for name, spans in held.items()
            if spans
        ]
        return await fanning.write_all(routes, parts, method, budget.left_s())


def _sum_changed(parts: Sequence[Sequence[Any]]) -> int:
    return sum(max(one.changed for one in replicas) for replicas in parts)
