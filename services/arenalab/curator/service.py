"""CuratorService: streams in, streams out; the work is done by ingestions and publications."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from functools import partial
from typing import Final

import grpc

from arenalab.api.curator.v1 import curator_service_pb2 as pb
from arenalab.api.curator.v1 import curator_service_pb2_grpc as pb_grpc
from arenalab.curator import requests, responses
from arenalab.curator.background import in_thread
from arenalab.curator.formats import Reject
from arenalab.curator.ingestion import Ingestion
from arenalab.curator.workshop import Workshop
from arenalab.mesh import InvalidInputError, tenant_of

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["CuratorService"].full_name

# More rejects are only in the reject file.
MAX_REPORTED_REJECTS: Final = 100
# Progress comes after every hundredth of the file, and after so much at the latest.
_MAX_STEP_BYTES: Final = 256 * 1024
_MIN_STEP_BYTES: Final = 16 * 1024
_STEPS: Final = 100


class CuratorService(pb_grpc.CuratorServiceServicer):
    """Ingests, publishes and lists datasets."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    def register(self, server: grpc.aio.Server) -> None:
        """Adds this servicer to `server`."""
        pb_grpc.add_CuratorServiceServicer_to_server(self, server)

    async def Ingest(
        self, request_iterator: AsyncIterator[pb.IngestRequest], context: grpc.ServicerContext
    ) -> AsyncGenerator[pb.IngestResponse]:
        parts = aiter(request_iterator)
        header = requests.header_of(await anext(parts, pb.IngestRequest()))
        tenant = tenant_of(header.scope)
        dataset = requests.dataset_of(header.dataset)
        async with AsyncExitStack() as stack:
            stack.enter_context(self._workshop.jobs.exclusive("ingest", tenant, dataset))
            job = await in_thread(lambda: self._workshop.ingestion(tenant, dataset, header))
            # Runs before the lock is let go, also when the client went away.
            stack.push_async_callback(in_thread, job.close)
            reporter = _Reporter()
            async for piece in _pieces(parts, header.size_bytes):
                for response in reporter.of(await in_thread(partial(job.feed, piece))):
                    yield response
                yield responses.progress_of(job.counts)
            _check_size(header, job)
            for response in reporter.of(await in_thread(job.finish)):
                yield response
            yield responses.progress_of(job.counts)
            reject_file = self._workshop.catalogue.relative(job.reject_path)
            yield responses.result_of(job.counts, reject_file, job.total_spans)

    async def Publish(
        self, request: pb.PublishRequest, context: grpc.ServicerContext
    ) -> AsyncGenerator[pb.PublishResponse]:
        tenant = tenant_of(request.scope)
        dataset = requests.dataset_of(request.dataset)
        settings = requests.settings_of(request)
        weighting = requests.weighting_of(request)
        async with AsyncExitStack() as stack:
            stack.enter_context(self._workshop.jobs.exclusive("publish", tenant, dataset))
            publication = await in_thread(
                lambda: self._workshop.publication(
                    tenant, dataset, settings, weighting, force=request.force
                )
            )
            stack.push_async_callback(in_thread, publication.close)
            events = await stack.enter_async_context(aclosing(publication.run()))
            async for event in events:
                yield responses.published_of(event, dataset)

    async def ListDatasets(
        self, request: pb.ListDatasetsRequest, context: grpc.ServicerContext
    ) -> pb.ListDatasetsResponse:
        tenant = tenant_of(request.scope)
        entries = await in_thread(lambda: self._workshop.catalogue.entries(tenant))
        return pb.ListDatasetsResponse(datasets=map(responses.dataset_of, entries))


class _Reporter:
    """Lets the first rejects through."""

    def __init__(self) -> None:
        self._left = MAX_REPORTED_REJECTS

    def of(self, rejects: Sequence[Reject]) -> list[pb.IngestResponse]:
        shown = rejects[: self._left]
        self._left -= len(shown)
        return [responses.reject_of(reject) for reject in shown]


async def _pieces(parts: AsyncIterator[pb.IngestRequest], size_bytes: int) -> AsyncGenerator[bytes]:
    """Yields the bytes of the stream in pieces between which progress is worth telling."""
    step = max(_MIN_STEP_BYTES, min(size_bytes // _STEPS, _MAX_STEP_BYTES))
    async for part in parts:
        chunk = requests.chunk_of(part)
        for start in range(0, len(chunk), step):
            yield chunk[start : start + step]


def _check_size(header: pb.IngestHeader, job: Ingestion) -> None:
    """Refuses a file that ended early: half of it must not pass for the whole."""
    if header.size_bytes not in (0, job.counts.read_bytes):
        raise InvalidInputError(
            f"header.size_bytes says {header.size_bytes:,},"
            f" but {job.counts.read_bytes:,} bytes came",
            field="header.size_bytes",
        )
