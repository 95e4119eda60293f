"""SearchService over a library of collections: protobuf in, protobuf out."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import grpc
import numpy as np

from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc
from arenalab.atomic import Span
from arenalab.mesh import InvalidInputError, PreconditionError, Reason, tenant_of
from arenalab.planning import CostModel
from arenalab.search import arrivals, requests, responses
from arenalab.search.collection import snapshot as snapshots
from arenalab.search.collection.edits import unknown_span
from arenalab.search.collection.library import Changed, Library
from arenalab.search.collection.upkeep import Upkeep
from arenalab.search.embedder.protocol import Vectors
from arenalab.search.embedding import Embedding
from arenalab.search.filter_requests import filter_of
from arenalab.search.finding.finder import Finder
from arenalab.search.finding.query import Query
from arenalab.search.finding.retrieval import Found, is_quick
from arenalab.search.gathering import Gathering
from arenalab.search.index.protocol import FloatArray
from arenalab.search.lane import Lanes
from arenalab.search.observing import Observer
from arenalab.search.recall.measuring import Measuring, weakest

# Searches of a batch for one worker: fewer are not worth waking another. A scan of all rows
# reads each of them once for as many as share it: half as many cost nearly as much.
_PIECE: Final = 4
_SCANNED_PIECE: Final = 16

_Change = (
    pb.AddSpansRequest
    | pb.UpdateSpansRequest
    | pb.DeleteSpansRequest
    | pb.ReweightSpansRequest
    | pb.QuarantineSpansRequest
    | pb.SnapshotRequest
)
SERVICE_NAME: Final = pb.DESCRIPTOR.services_by_name["SearchService"].full_name


class SearchService(pb_grpc.SearchServiceServicer):
    """Answers from memory; changes go through the library to the disk."""

    def __init__(
        self,
        library: Library,
        embedding: Embedding,
        finder: Finder,
        *,
        upkeep: Upkeep,
        lanes: Lanes,
        measuring: Measuring,
        model: Callable[[], CostModel],
        store_bytes: Callable[[], int],
        shard_map: pb.ShardMap | None,
        observer: Observer,
    ) -> None:
        self._library = library
        self._embedding = embedding
        self._finder = finder
        self._upkeep = upkeep
        self._lanes = lanes
        self._gathering = Gathering(finder, lanes.searches.run, lanes.searches.queue_limit)
        self._measuring = measuring
        self._model = model
        self._store_bytes = store_bytes
        self._shard_map = shard_map
        self._observer = observer

    def register(self, server: grpc.aio.Server) -> None:
        """Adds this servicer to `server`."""
        pb_grpc.add_SearchServiceServicer_to_server(self, server)

    async def Search(
        self, request: pb.SearchRequest, context: grpc.ServicerContext
    ) -> pb.SearchResponse:
        snapshot = self._library.find(tenant_of(request.scope), request.dataset)
        query = requests.query_of(request)
        (vector,) = requests.vectors_of(request.vector, snapshot.record.dimension, "vector", 1)

        if is_quick(snapshot, query):
            found, took_us = await self._gathering.nearest(snapshot, vector, query)
        else:
            found, took_us = await self._lanes.searches.run(
                partial(self._timed, snapshot, vector, query)
            )
        certificate = self._measuring.certificate(found)
        self._measuring.offer(found, vector)
        self._observer.searched(found, took_us)
        plan = responses.plan_of(found, query) if request.explain else None
        return responses.search_response(found, certificate, took_us, plan)

    async def BatchSearch(
        self, request: pb.BatchSearchRequest, context: grpc.ServicerContext
    ) -> pb.BatchSearchResponse:
        snapshot = self._library.find(tenant_of(request.scope), request.dataset)
        query = requests.batch_query_of(request)
        vectors = requests.vectors_of(
            request.vectors, snapshot.record.dimension, "vectors", requests.MAX_BATCH
        )

        began_ns = time.perf_counter_ns()
        pieces = await asyncio.gather(
            *(
                self._lanes.searches.run(partial(self._finder.batch, snapshot, piece, query))
                for piece in _pieces(vectors, snapshot, self._lanes.searches.workers)
            )
        )
        found = [one for piece in pieces for one in piece]
        took_us = (time.perf_counter_ns() - began_ns) // 1000
        certificates = [self._measuring.certificate(one) for one in found]
        for one, vector in zip(found, vectors, strict=True):
            self._measuring.offer(one, vector)
        self._observer.searched(found[0], took_us)
        return responses.batch_response(found, weakest(certificates), took_us)

    async def SearchText(
        self, request: pb.SearchTextRequest, context: grpc.ServicerContext
    ) -> pb.SearchTextResponse:
        tenant = tenant_of(request.scope)
        text_query = requests.text_query_of(request)
        current = partial(self._library.find, tenant, request.dataset)
        current()  # an unknown dataset is not worth an embedding
        answer = await self._finder.find(text_query, current)
        certificate = self._measuring.certificate(answer.found)
        self._measuring.offer(answer.found, answer.vector)
        plan = responses.plan_of(answer.found, text_query.query)
        self._observer.answered(answer, plan)
        return responses.text_response(answer, certificate, plan)

    async def AddSpans(
        self, request: pb.AddSpansRequest, context: grpc.ServicerContext
    ) -> pb.AddSpansResponse:
        done = await self._arrived(request, self._library.add)
        return pb.AddSpansResponse(added=done.changed, unchanged=done.unchanged)

    async def UpdateSpans(
        self, request: pb.UpdateSpansRequest, context: grpc.ServicerContext
    ) -> pb.UpdateSpansResponse:
        update = partial(self._library.update, given=bool(request.vectors))
        done = await self._arrived(request, update)
        return pb.UpdateSpansResponse(updated=done.changed, unchanged=done.unchanged)

    async def DeleteSpans(
        self, request: pb.DeleteSpansRequest, context: grpc.ServicerContext
    ) -> pb.DeleteSpansResponse:
        tenant, dataset = self._named(request)
        ids = requests.span_ids_to_change(request.span_ids)
        done = await self._lanes.changes.run(partial(self._library.delete, tenant, dataset, ids))
        return pb.DeleteSpansResponse(deleted=done.changed, missing=done.unchanged)

    async def ReweightSpans(
        self, request: pb.ReweightSpansRequest, context: grpc.ServicerContext
    ) -> pb.ReweightSpansResponse:
        tenant, dataset = self._named(request)
        weights = requests.weights_of(request)
        done = await self._lanes.changes.run(
            partial(self._library.reweight, tenant, dataset, weights)
        )
        return pb.ReweightSpansResponse(changed=done.changed)

    async def QuarantineSpans(
        self, request: pb.QuarantineSpansRequest, context: grpc.ServicerContext
    ) -> pb.QuarantineSpansResponse:
        tenant, dataset = self._named(request)
        ids = requests.span_ids_to_change(request.span_ids)
        done = await self._lanes.changes.run(
            partial(self._library.quarantine, tenant, dataset, ids, hidden=not request.release)
        )
        return pb.QuarantineSpansResponse(changed=done.changed)

    async def GetSpans(
        self, request: pb.GetSpansRequest, context: grpc.ServicerContext
    ) -> pb.GetSpansResponse:
        tenant = tenant_of(request.scope)
        ids = requests.span_ids_of(request)
        current = partial(self._library.find, tenant, request.dataset)
        read = partial(self._finder.spans, ids, current, skip_missing=request.skip_missing)
        try:
            spans = await self._lanes.reads.run(read)
        except KeyError as error:
            raise unknown_span(str(error.args[0])) from error
        return pb.GetSpansResponse(spans=spans)

    async def Embed(
        self, request: pb.EmbedRequest, context: grpc.ServicerContext
    ) -> pb.EmbedResponse:
        texts = requests.texts_of(request)
        vectors = await self._embedding.batch(texts)
        embedder = self._embedding.embedder
        return pb.EmbedResponse(
            vectors=vectors.astype("<f4").tobytes(),
            dimension=embedder.dimension,
            embedder_id=embedder.id,
            embedder_digest=embedder.digest,
            token_counts=await self._embedding.count_tokens(texts),
        )

    async def Stats(
        self, request: pb.StatsRequest, context: grpc.ServicerContext
    ) -> pb.StatsResponse:
        snapshot = self._library.find(tenant_of(request.scope), request.dataset)
        return await self._lanes.reads.run(
            partial(responses.stats_response, snapshot, self._model(), self._store_bytes())
        )

    async def Count(
        self, request: pb.CountRequest, context: grpc.ServicerContext
    ) -> pb.CountResponse:
        snapshot = self._library.find(tenant_of(request.scope), request.dataset)
        wanted = filter_of(request.filter)
        matches, conditions = await self._lanes.reads.run(partial(snapshot.counts, wanted))
        return responses.count_response(snapshot, matches, conditions)

    async def ListCollections(
        self, request: pb.ListCollectionsRequest, context: grpc.ServicerContext
    ) -> pb.ListCollectionsResponse:
        served = self._library.collections(tenant_of(request.scope))
        return pb.ListCollectionsResponse(collections=map(responses.collection_of, served))

    async def Publish(
        self, request: pb.PublishRequest, context: grpc.ServicerContext
    ) -> pb.PublishResponse:
        publish = partial(
            self._library.publish,
            tenant_of(request.scope),
            requests.check_dataset(request.dataset),
            requests.check_version(request.dataset_version),
            partial(self._embedding.batch_now, field="spans"),
        )
        snapshot, previous = await self._lanes.changes.run(publish)
        return pb.PublishResponse(
            collection=responses.collection_of(snapshot), previous_version=previous
        )

    async def Snapshot(
        self, request: pb.SnapshotRequest, context: grpc.ServicerContext
    ) -> pb.SnapshotResponse:
        tenant, dataset = self._named(request)
        written = self._upkeep.snapshot(self._library.find(tenant, dataset))
        snapshot = await asyncio.wrap_future(written)
        return pb.SnapshotResponse(segments=responses.segments_of(snapshot))

    async def GetRevision(
        self, request: pb.GetRevisionRequest, context: grpc.ServicerContext
    ) -> pb.GetRevisionResponse:
        snapshot = self._library.find(tenant_of(request.scope), request.dataset)
        return pb.GetRevisionResponse(
            revision=self._library.revision(snapshot),
            dataset=snapshot.record.dataset,
            dataset_version=snapshot.record.version,
        )

    async def GetShardMap(
        self, request: pb.GetShardMapRequest, context: grpc.ServicerContext
    ) -> pb.GetShardMapResponse:
        if self._shard_map is None:
            raise PreconditionError("this search is not part of a shard map", Reason.NOT_READY)
        return pb.GetShardMapResponse(shard_map=self._shard_map)

    def _timed(
        self, snapshot: snapshots.Snapshot, vector: FloatArray, query: Query
    ) -> tuple[Found, int]:
        began_ns = time.perf_counter_ns()
        found = self._finder.nearest(snapshot, vector, query)
        return found, (time.perf_counter_ns() - began_ns) // 1000

    def _named(self, request: _Change) -> tuple[str, str]:
        """Returns tenant and dataset of a request to change a collection, which must exist."""
        tenant, dataset = tenant_of(request.scope), requests.check_dataset(request.dataset)
        self._library.find(tenant, dataset)
        return tenant, dataset

    async def _arrived(
        self,
        request: pb.AddSpansRequest | pb.UpdateSpansRequest,
        change: Callable[[str, str, Sequence[Span], FloatArray], Changed],
    ) -> Changed:
        """Returns what spans that come in a request change. Nothing is read in the loop."""
        tenant, dataset = self._named(request)
        record = self._library.find(tenant, dataset).record
        arrivals.check_embedder(request, record)
        run = self._lanes.changes.run
        if request.vectors:
            return await run(lambda: change(tenant, dataset, *arrivals.given(request, record)))
        spans = await run(partial(requests.spans_of, request.spans))
        vectors = await self._vectors_of(spans)
        return await run(partial(change, tenant, dataset, spans, vectors))

    async def _vectors_of(self, spans: Sequence[Span]) -> Vectors:
        try:
            return await self._embedding.batch([span.this for span in spans], "spans")
        except InvalidInputError as error:
            # A span must be about something that can be embedded to be found at all.
            field = f"{error.metadata['field']}.this"
            raise InvalidInputError(str(error), Reason.INVALID_SPAN, field=field) from error


def _pieces(vectors: FloatArray, snapshot: snapshots.Snapshot, workers: int) -> list[FloatArray]:
    """Returns a batch in pieces that workers search at the same time."""
    is_scanned = all(segment.is_scanned for segment in snapshot.segments)
    least = _SCANNED_PIECE if is_scanned else _PIECE
    return np.array_split(vectors, max(1, min(workers, len(vectors) // least)))
