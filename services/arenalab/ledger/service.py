"""LedgerService over the logs of a ledger: protobuf in, protobuf out, nothing else."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final, TypeVar

import grpc

from arenalab.api.ledger.v1 import ledger_service_pb2 as pb
from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as pb_grpc
from arenalab.ledger import queries
from arenalab.ledger.checking import verify_safely
from arenalab.ledger.entry import check_span_id
from arenalab.ledger.export import changed_files
from arenalab.ledger.ledger import Ledger, OpenedLog
from arenalab.ledger.log import Log
from arenalab.ledger.ranges import verify_range
from arenalab.ledger.watching import Watchers
from arenalab.ledger.wire import (
    affected_to_proto,
    checkpoint_to_proto,
    entry_from_proto,
    filter_from_proto,
    leaf_entry,
    log_to_proto,
    stored_to_proto,
    supersession_to_proto,
    verdict_to_proto,
)
from arenalab.mesh import InvalidInputError, MeshError, annotate, telemetry, tenant_of
from arenalab.proof import Receipt
from arenalab.proof.proto_form import receipt_to_proto

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["LedgerService"].full_name
# Of an AppendStream, unacknowledged entries; of a list, entries read in one go.
_IN_FLIGHT: Final = 512
_CHUNK: Final = 256
_MAX_TRACE_ENTRIES: Final = 1000
_T = TypeVar("_T")


class LedgerService(pb_grpc.LedgerServiceServicer):
    """Seals through committers, reads from logs."""

    def __init__(self, ledger: Ledger, watchers: Watchers) -> None:
        self._ledger = ledger
        self._watchers = watchers
        # One at a time: a verification reads a whole log.
        self._verifying = asyncio.Lock()

    async def Append(
        self, request: pb.AppendRequest, context: grpc.ServicerContext
    ) -> pb.AppendResponse:
        receipt = await self._append(request)
        annotate({telemetry.LEDGER_INDEX: receipt.leaf_index})
        return pb.AppendResponse(receipt=receipt_to_proto(receipt))

    async def _append(self, request: pb.AppendRequest) -> Receipt:
        entry = entry_from_proto(request)
        opened = self._ledger.current_if_open(entry.tenant)
        if opened is None:
            opened = await asyncio.to_thread(self._ledger.current, entry.tenant)
        return await opened.committer.append(entry)

    async def AppendStream(
        self, requests: AsyncIterator[pb.AppendStreamRequest], context: grpc.ServicerContext
    ) -> pb.AppendStreamResponse:
        response = pb.AppendStreamResponse()
        waiting: deque[asyncio.Task[Receipt]] = deque()
        try:
            async for request in requests:
                waiting.append(asyncio.create_task(self._append(request.entry)))
                if len(waiting) >= _IN_FLIGHT:
                    await _take_first(waiting, response)
            while waiting:
                await _take_first(waiting, response)
        finally:
            for task in waiting:
                task.cancel()
        return response

    async def Get(self, request: pb.GetRequest, context: grpc.ServicerContext) -> pb.GetResponse:
        tenant, opened = await self._log(request)
        find = _finder(request)
        stored = await asyncio.to_thread(lambda: opened.log.get(tenant, find(opened.log, tenant)))
        return stored_to_proto(stored)

    async def GetByTrace(
        self, request: pb.GetByTraceRequest, context: grpc.ServicerContext
    ) -> pb.GetByTraceResponse:
        tenant, opened = await self._log(request)
        if len(request.trace_id) != 32 or not set(request.trace_id) <= set("0123456789abcdef"):  # noqa: PLR2004 - as W3C has it
            raise InvalidInputError(
                "trace_id must be 32 lower-case hexadecimal digits", field="trace_id"
            )
        found = queries.of_trace(opened.log, tenant, request.trace_id)
        lines = await asyncio.to_thread(_next_of, found, _MAX_TRACE_ENTRIES)
        return pb.GetByTraceResponse(entries=[leaf_entry(line) for line in lines])

    async def Scan(
        self, request: pb.ScanRequest, context: grpc.ServicerContext
    ) -> AsyncIterator[pb.ScanResponse]:
        _, opened = await self._log(request)
        lines = queries.scan(opened.log, filter_from_proto(request), request.first_leaf)
        sent = 0
        async for line in _streamed(lines):
            if line is not None:
                yield pb.ScanResponse(entry=leaf_entry(line))
                sent += 1
                if sent == request.limit:
                    return

    async def Prove(
        self, request: pb.ProveRequest, context: grpc.ServicerContext
    ) -> pb.ProveResponse:
        tenant, opened = await self._log(request)
        # In the loop: it reads one line and takes less than a thread's wake-up.
        receipt = opened.log.prove(tenant, request.leaf_index)
        return pb.ProveResponse(receipt=receipt_to_proto(receipt))

    async def GetReceipt(
        self, request: pb.GetReceiptRequest, context: grpc.ServicerContext
    ) -> pb.GetReceiptResponse:
        tenant, opened = await self._log(request)
        find = _finder(request)

        def read() -> tuple[Receipt, list[queries.Supersession]]:
            index = find(opened.log, tenant)
            receipt = opened.log.prove(tenant, index)
            spans = opened.log.line(index).fields()["evidence_ids"]
            logs = [each.log for each in self._ledger.of_scope(tenant)]
            return receipt, list(queries.supersessions(logs, tenant, spans))

        receipt, said = await asyncio.to_thread(read)
        return pb.GetReceiptResponse(
            receipt=receipt_to_proto(receipt),
            supersessions=[supersession_to_proto(each) for each in said],
        )

    async def GetConsistency(
        self, request: pb.GetConsistencyRequest, context: grpc.ServicerContext
    ) -> pb.GetConsistencyResponse:
        _, opened = await self._log(request)
        path, second = opened.log.consistency(request.first_size, request.second_size)
        return pb.GetConsistencyResponse(path=path, second_size=second)

    async def GetCheckpoint(
        self, request: pb.GetCheckpointRequest, context: grpc.ServicerContext
    ) -> pb.GetCheckpointResponse:
        _, opened = await self._log(request)
        return checkpoint_to_proto(opened.log)

    async def WatchCheckpoints(
        self, request: pb.WatchCheckpointsRequest, context: grpc.ServicerContext
    ) -> AsyncIterator[pb.WatchCheckpointsResponse]:
        last = ""
        with self._watchers.watching() as changes:
            while True:
                _, opened = await self._log(request)
                head = opened.log.head
                if head.note and head.note != last:
                    last = head.note
                    yield pb.WatchCheckpointsResponse(checkpoint=last, tree_size=head.size)
                await changes.next()

    async def Verify(
        self, request: pb.VerifyRequest, context: grpc.ServicerContext
    ) -> pb.VerifyResponse:
        _, opened = await self._log(request)
        async with self._verifying:
            if not request.first_leaf and not request.end_leaf:
                return verdict_to_proto(await verify_safely(opened.log))
            found = await asyncio.to_thread(
                verify_range, opened.log, request.first_leaf, request.end_leaf
            )
        return verdict_to_proto(found)

    async def Erase(
        self, request: pb.EraseRequest, context: grpc.ServicerContext
    ) -> pb.EraseResponse:
        tenant = tenant_of(request.scope)
        if not request.subject:
            raise InvalidInputError("subject must not be empty", field="subject")
        erased = await asyncio.to_thread(self._ledger.erase, tenant, request.subject)
        return pb.EraseResponse(entries=erased.entries, receipt=receipt_to_proto(erased.receipt))

    async def ListAffected(
        self, request: pb.ListAffectedRequest, context: grpc.ServicerContext
    ) -> AsyncIterator[pb.ListAffectedResponse]:
        tenant = tenant_of(request.scope)
        check_span_id("span_id", request.span_id)
        sent = 0
        for opened in await asyncio.to_thread(self._ledger.of_scope, tenant):
            async for line in _streamed(queries.affected(opened.log, tenant, request.span_id)):
                yield affected_to_proto(opened.log, line)
                sent += 1
                if sent == request.limit:
                    return

    async def SupersedeSpan(
        self, request: pb.SupersedeSpanRequest, context: grpc.ServicerContext
    ) -> pb.SupersedeSpanResponse:
        tenant = tenant_of(request.scope)
        entry = queries.supersession_entry(
            tenant, request.span_id, request.reason, request.replacement_id
        )

        def seal() -> tuple[Receipt, int]:
            receipt = self._ledger.current(tenant).committer.seal(entry)
            logs = [each.log for each in self._ledger.of_scope(tenant)]
            found = (queries.affected(log, tenant, request.span_id) for log in logs)
            return receipt, sum(1 for lines in found for _ in lines)

        receipt, count = await asyncio.to_thread(seal)
        return pb.SupersedeSpanResponse(receipt=receipt_to_proto(receipt), affected=count)

    async def Export(
        self, request: pb.ExportRequest, context: grpc.ServicerContext
    ) -> AsyncIterator[pb.ExportResponse]:
        _, opened = await self._log(request)
        async for path, data in _streamed(changed_files(opened.log, request.first_size), 1):
            yield pb.ExportResponse(path=path, data=data)

    async def ListLogs(
        self, request: pb.ListLogsRequest, context: grpc.ServicerContext
    ) -> pb.ListLogsResponse:
        return pb.ListLogsResponse(
            logs=[
                log_to_proto(opened.log, is_open=self._ledger.is_open(opened))
                for opened in self._ledger.all()
            ]
        )

    async def _log(self, request: Any) -> tuple[str, OpenedLog]:
        """Returns the scope and the log that a request means."""
        tenant = tenant_of(request.scope)
        opened = None if request.log else self._ledger.current_if_open(tenant)
        if opened is None:
            opened = await asyncio.to_thread(self._ledger.named, tenant, request.log)
        return tenant, opened

    def register(self, server: grpc.aio.Server) -> None:
        """Adds this servicer to `server`."""
        pb_grpc.add_LedgerServiceServicer_to_server(self, server)


async def _take_first(
    waiting: "deque[asyncio.Task[Receipt]]", response: pb.AppendStreamResponse
) -> None:
    """Waits for the oldest entry of a stream and counts it."""
    try:
        receipt = await waiting[0]
    except MeshError as error:
        error.metadata["position"] = str(response.entries)
        raise
    waiting.popleft()
    response.entries += 1
    response.leaf_indexes.append(receipt.leaf_index)
    response.checkpoint = receipt.checkpoint


def _finder(request: pb.GetRequest | pb.GetReceiptRequest) -> Callable[[Log, str], int]:
    """Returns how to find the leaf that a request names."""
    if request.WhichOneof("key") is None:
        raise InvalidInputError("leaf_index or entry_id must be set", field="key")
    if request.HasField("entry_id"):
        return lambda log, tenant: log.find(tenant, request.entry_id)
    return lambda _log, _tenant: request.leaf_index


def _next_of(items: Iterator[_T], count: int) -> list[_T]:
    return [item for _, item in zip(range(count), items, strict=False)]


async def _streamed(items: Iterator[_T], chunk: int = _CHUNK) -> AsyncIterator[_T]:
    """Yields items that are read from disk, some at a time, on another thread."""
    while read := await asyncio.to_thread(_next_of, items, chunk):
        for item in read:
            yield item
