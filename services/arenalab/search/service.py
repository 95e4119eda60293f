"""SearchService over a library of collections: protobuf in, protobuf out."""

import asyncio
from functools import partial

import grpc

from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc
from arenalab.mesh import InvalidInputError, NotFoundError, Reason, tenant_of
from arenalab.search import requests
from arenalab.search.embedding import Embedding
from arenalab.search.finding import Finder, Query
from arenalab.search.library import Library
from arenalab.search.observing import Observer
from arenalab.search.responses import collection_of, search_response, stats_response

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["SearchService"].full_name


class SearchService(pb_grpc.SearchServiceServicer):
    """Answers from memory; changes go through the library to the disk."""

    def __init__(
        self, library: Library, embedding: Embedding, finder: Finder, observer: Observer
    ) -> None:
        self._library = library
        self._embedding = embedding
        self._finder = finder
        self._observer = observer

    def register(self, server: grpc.aio.Server) -> None:
        """Adds this servicer to `server`."""
        pb_grpc.add_SearchServiceServicer_to_server(self, server)

    async def SearchText(
        self, request: pb.SearchTextRequest, context: grpc.ServicerContext
    ) -> pb.SearchTextResponse:
        tenant = tenant_of(request.scope)
        requests.check_search(request)
        query = Query(
            text=request.text,
            limit=request.limit,
            wanted=requests.filter_of(request.filter),
            plan=requests.plan_of(request.plan, request.limit),
            depth=request.trajectory_depth,
            extra_text=request.extra_text,
        )
        current = partial(self._library.find, tenant, request.dataset)
        current()  # an unknown dataset is not worth an embedding
        answer = await self._finder.find(query, current)
        self._observer.searched(answer)
        return search_response(answer)

    async def AddSpans(
        self, request: pb.AddSpansRequest, context: grpc.ServicerContext
    ) -> pb.AddSpansResponse:
        tenant = tenant_of(request.scope)
        dataset = requests.check_dataset(request.dataset)
        spans = requests.spans_of(request.spans)
        self._library.find(tenant, dataset)
        try:
            vectors = await self._embedding.batch([span.this for span in spans], "spans")
        except InvalidInputError as error:
            # A span must be about something that can be embedded to be found at all.
            raise InvalidInputError(str(error), Reason.INVALID_SPAN, field="this") from error
        added = await asyncio.to_thread(self._library.add, tenant, dataset, spans, vectors)
        return pb.AddSpansResponse(added=added.added, unchanged=added.unchanged)

    async def GetSpans(
        self, request: pb.GetSpansRequest, context: grpc.ServicerContext
    ) -> pb.GetSpansResponse:
        tenant = tenant_of(request.scope)
        ids = requests.span_ids_of(request)
        current = partial(self._library.find, tenant, request.dataset)
        try:
            spans = await asyncio.to_thread(self._finder.spans, ids, current)
        except KeyError as error:
            span_id = str(error.args[0])[:80]
            raise NotFoundError(
                f"no span has the id {span_id!a}", Reason.UNKNOWN_SPAN, span_id=span_id
            ) from error
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
        return await asyncio.to_thread(stats_response, snapshot)

    async def ListCollections(
        self, request: pb.ListCollectionsRequest, context: grpc.ServicerContext
    ) -> pb.ListCollectionsResponse:
        served = self._library.collections(tenant_of(request.scope))
        return pb.ListCollectionsResponse(collections=map(collection_of, served))

    async def Publish(
        self, request: pb.PublishRequest, context: grpc.ServicerContext
    ) -> pb.PublishResponse:
        snapshot, previous = await asyncio.to_thread(
            self._library.publish,
            tenant_of(request.scope),
            requests.check_dataset(request.dataset),
            requests.check_version(request.dataset_version),
            partial(self._embedding.batch_now, field="spans"),
        )
        return pb.PublishResponse(collection=collection_of(snapshot), previous_version=previous)
