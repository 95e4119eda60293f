"""A search over a few spans in memory that keeps the contract: a shard of tests."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from uuid import UUID

import grpc
import numpy as np
import numpy.typing as npt

from arenalab.api.common.v1 import filter_pb2, plan_pb2, span_pb2
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc
from arenalab.mesh import (
    InvalidInputError,
    NotFoundError,
    PreconditionError,
    Reason,
    Telemetry,
    running_server,
)

SERVICE = pb.DESCRIPTOR.services_by_name["SearchService"].full_name
DIMENSION = 4
VERSION = "a" * 64
_EXACT = plan_pb2.Certificate(exact=True, recall=1, recall_low=1)
Vector = npt.NDArray[np.float32]


def vector_of(text: str) -> Vector:
    """Returns a unit vector; few different ones, so that hits tie."""
    raw = np.array([len(text) % 5, *(text.count(letter) for letter in "aei")], np.float32) + 1
    unit: Vector = raw / np.linalg.norm(raw)
    return unit


class SmallSearch(pb_grpc.SearchServiceServicer):
    """Holds the spans of one collection that `keeps` lets in."""

    def __init__(self, keeps: Callable[[str], bool] = lambda _domain: True) -> None:
        self.spans: dict[str, span_pb2.Span] = {}
        self.given: dict[str, tuple[bytes, str]] = {}  # vector and digest that came with a span
        self.weights: dict[str, float] = {}
        self.hidden: set[str] = set()
        self.version = VERSION
        self.revision = b"first"
        self.shard_map: pb.ShardMap | None = None
        self.refusal: Mapping[str, str] | None = None  # metadata for spans that it refuses
        self.hangs = False
        self.calls: list[str] = []
        self.time_left_s: list[float | None] = []  # of each call, when it came
        self._keeps = keeps

    async def _begin(self, method: str, context: grpc.ServicerContext) -> None:
        self.calls.append(method)
        self.time_left_s.append(context.time_remaining())
        if self.hangs:
            await asyncio.Event().wait()
        if not self.version:
            raise NotFoundError("nothing is published", Reason.UNKNOWN_DATASET, dataset="faq")

    async def Search(
        self, request: pb.SearchRequest, context: grpc.ServicerContext
    ) -> pb.SearchResponse:
        await self._begin("Search", context)
        if not 1 <= request.limit <= 1000:
            raise InvalidInputError("limit must be in [1, 1000]", field="limit")
        passing = self._passing(request.filter)
        hits = self._best(np.frombuffer(request.vector, "<f4"), passing, request.limit)
        return pb.SearchResponse(
            span_ids=b"".join(UUID(span.id).bytes for span, _ in hits),
            similarities=np.array([score for _, score in hits], "<f4").tobytes(),
            dataset="faq",
            dataset_version=self.version,
            engine=plan_pb2.ENGINE_EXACT,
            certificate=_EXACT,
            matches=len(passing),
        )

    async def BatchSearch(
        self, request: pb.BatchSearchRequest, context: grpc.ServicerContext
    ) -> pb.BatchSearchResponse:
        await self._begin("BatchSearch", context)
        passing = self._passing(request.filter)
        vectors = np.frombuffer(request.vectors, "<f4").reshape(-1, DIMENSION)
        found = [self._best(vector, passing, request.limit) for vector in vectors]
        return pb.BatchSearchResponse(
            counts=[len(hits) for hits in found],
            span_ids=b"".join(UUID(span.id).bytes for hits in found for span, _ in hits),
            similarities=np.array([s for hits in found for _, s in hits], "<f4").tobytes(),
            dataset="faq",
            dataset_version=self.version,
            engine=plan_pb2.ENGINE_EXACT,
            certificate=_EXACT,
            matches=len(passing),
        )

    async def SearchText(
        self, request: pb.SearchTextRequest, context: grpc.ServicerContext
    ) -> pb.SearchTextResponse:
        await self._begin("SearchText", context)
        passing = self._passing(request.filter)
        hits = self._best(vector_of(request.text), passing, request.limit)
        return pb.SearchTextResponse(
            hits=[
                pb.Hit(span=span, similarity=score, score=score, weight=1) for span, score in hits
            ],
            dataset="faq",
            dataset_version=self.version,
            engine=plan_pb2.ENGINE_EXACT,
            certificate=_EXACT,
            matches=len(passing),
        )

    async def AddSpans(
        self, request: pb.AddSpansRequest, context: grpc.ServicerContext
    ) -> pb.AddSpansResponse:
        await self._begin("AddSpans", context)
        self._check(request.spans)
        self._keep_given(request)
        new = [span for span in request.spans if span.id not in self.spans]
        self.spans.update({span.id: span for span in new})
        return pb.AddSpansResponse(added=len(new), unchanged=len(request.spans) - len(new))

    def _keep_given(self, request: pb.AddSpansRequest | pb.UpdateSpansRequest) -> None:
        size = len(request.vectors) // len(request.spans)
        for place, span in enumerate(request.spans):
            vector = request.vectors[place * size : (place + 1) * size]
            self.given[span.id] = vector, request.embedder_digest

    async def UpdateSpans(
        self, request: pb.UpdateSpansRequest, context: grpc.ServicerContext
    ) -> pb.UpdateSpansResponse:
        await self._begin("UpdateSpans", context)
        self._known([span.id for span in request.spans])
        self._keep_given(request)
        changed = [span for span in request.spans if self.spans[span.id] != span]
        self.spans.update({span.id: span for span in changed})
        return pb.UpdateSpansResponse(
            updated=len(changed), unchanged=len(request.spans) - len(changed)
        )

    async def DeleteSpans(
        self, request: pb.DeleteSpansRequest, context: grpc.ServicerContext
    ) -> pb.DeleteSpansResponse:
        await self._begin("DeleteSpans", context)
        gone = [self.spans.pop(span_id, None) for span_id in request.span_ids]
        missing = gone.count(None)
        return pb.DeleteSpansResponse(deleted=len(gone) - missing, missing=missing)

    async def ReweightSpans(
        self, request: pb.ReweightSpansRequest, context: grpc.ServicerContext
    ) -> pb.ReweightSpansResponse:
        await self._begin("ReweightSpans", context)
        self._known([one.span_id for one in request.weights])
        changed = [one for one in request.weights if self.weights.get(one.span_id) != one.weight]
        self.weights.update({one.span_id: one.weight for one in changed})
        return pb.ReweightSpansResponse(changed=len(changed))

    async def QuarantineSpans(
        self, request: pb.QuarantineSpansRequest, context: grpc.ServicerContext
    ) -> pb.QuarantineSpansResponse:
        await self._begin("QuarantineSpans", context)
        self._known(request.span_ids)
        before = set(self.hidden)
        if request.release:
            self.hidden -= set(request.span_ids)
        else:
            self.hidden |= set(request.span_ids)
        return pb.QuarantineSpansResponse(changed=len(before ^ self.hidden))

    async def GetSpans(
        self, request: pb.GetSpansRequest, context: grpc.ServicerContext
    ) -> pb.GetSpansResponse:
        await self._begin("GetSpans", context)
        if not request.skip_missing:
            self._known(request.span_ids)
        found = [self.spans[one] for one in request.span_ids if one in self.spans]
        return pb.GetSpansResponse(spans=found)

    async def Embed(
        self, request: pb.EmbedRequest, context: grpc.ServicerContext
    ) -> pb.EmbedResponse:
        await self._begin("Embed", context)
        vectors = np.stack([vector_of(text) for text in request.texts])
        return pb.EmbedResponse(vectors=vectors.tobytes(), dimension=DIMENSION)

    async def Stats(
        self, request: pb.StatsRequest, context: grpc.ServicerContext
    ) -> pb.StatsResponse:
        await self._begin("Stats", context)
        return pb.StatsResponse(collection=self._collection(), quality_buckets=[0] * 11)

    async def Count(
        self, request: pb.CountRequest, context: grpc.ServicerContext
    ) -> pb.CountResponse:
        await self._begin("Count", context)
        matches = len(self._passing(request.filter))
        return pb.CountResponse(
            matches=matches,
            conditions=[pb.ConditionCount(condition="domains", matches=matches)],
            collection=self._collection(),
        )

    async def ListCollections(
        self, request: pb.ListCollectionsRequest, context: grpc.ServicerContext
    ) -> pb.ListCollectionsResponse:
        await self._begin("ListCollections", context)
        return pb.ListCollectionsResponse(collections=[self._collection()])

    async def Publish(
        self, request: pb.PublishRequest, context: grpc.ServicerContext
    ) -> pb.PublishResponse:
        self.calls.append("Publish")
        previous, self.version = self.version, request.dataset_version
        return pb.PublishResponse(collection=self._collection(), previous_version=previous)

    async def Snapshot(
        self, request: pb.SnapshotRequest, context: grpc.ServicerContext
    ) -> pb.SnapshotResponse:
        await self._begin("Snapshot", context)
        return pb.SnapshotResponse(segments=[pb.SegmentStats(spans=len(self.spans))])

    async def GetRevision(
        self, request: pb.GetRevisionRequest, context: grpc.ServicerContext
    ) -> pb.GetRevisionResponse:
        await self._begin("GetRevision", context)
        return pb.GetRevisionResponse(
            revision=self.revision, dataset="faq", dataset_version=self.version
        )

    async def GetShardMap(
        self, request: pb.GetShardMapRequest, context: grpc.ServicerContext
    ) -> pb.GetShardMapResponse:
        self.calls.append("GetShardMap")
        if self.shard_map is None:
            raise PreconditionError("not part of a shard map", Reason.NOT_READY)
        return pb.GetShardMapResponse(shard_map=self.shard_map)

    def _collection(self) -> pb.Collection:
        return pb.Collection(
            dataset="faq", dataset_version=self.version, spans=len(self.spans), generation=1
        )

    def _check(self, spans: Iterable[span_pb2.Span]) -> None:
        for place, span in enumerate(spans):
            if not self._keeps(span.context.environment):
                field = f"spans[{place}].context.environment"
                raise InvalidInputError(
                    f"{field}: held by another shard",
                    Reason.INVALID_ARGUMENT,
                    **{"field": field, **(self.refusal or {})},
                )

    def _known(self, ids: Iterable[str]) -> None:
        for span_id in ids:
            if span_id not in self.spans:
                raise NotFoundError("no such span", Reason.UNKNOWN_SPAN, span_id=span_id)

    def _passing(self, wanted: filter_pb2.SpanFilter) -> list[span_pb2.Span]:
        return [
            span
            for span in self.spans.values()
            if span.id not in self.hidden
            and (
                not wanted.domains
                or any(
                    f"{span.context.environment}/".startswith(f"{domain}/")
                    for domain in wanted.domains
                )
            )
        ]

    def _best(
        self, vector: Vector, spans: list[span_pb2.Span], limit: int
    ) -> list[tuple[span_pb2.Span, float]]:
        scored = [(span, float(np.float32(vector_of(span.this) @ vector))) for span in spans]
        return sorted(scored, key=lambda one: (-one[1], one[0].id))[:limit]


@asynccontextmanager
async def served(search: SmallSearch) -> AsyncGenerator[str]:
    """Serves it; yields its address."""

    def register(server: object) -> None:
        pb_grpc.add_SearchServiceServicer_to_server(search, server)  # type: ignore[arg-type]

    async with running_server(SERVICE, register, "127.0.0.1:0", Telemetry("search")) as port:
        yield f"127.0.0.1:{port}"
