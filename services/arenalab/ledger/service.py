"""LedgerService over an open log: protobuf in, protobuf out, nothing else."""

import asyncio
import json

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from arenalab.api.ledger.v1 import ledger_service_pb2 as pb
from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as pb_grpc
from arenalab.ledger.committer import Committer
from arenalab.ledger.entry import checked_entry
from arenalab.ledger.erasure import erase
from arenalab.ledger.log import Log, Stored
from arenalab.ledger.verify import Verification, verify_open_log
from arenalab.mesh import InvalidInputError, annotate, telemetry, tenant_of
from arenalab.proof.proto_form import receipt_to_proto

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["LedgerService"].full_name


class LedgerService(pb_grpc.LedgerServiceServicer):
    """Seals through a committer, reads from the log."""

    def __init__(self, log: Log, committer: Committer) -> None:
        self._log = log
        self._committer = committer
        # One at a time: a verification reads the whole log.
        self._verifying = asyncio.Lock()

    async def Append(
        self, request: pb.AppendRequest, context: grpc.ServicerContext
    ) -> pb.AppendResponse:
        entry = checked_entry(
            tenant=tenant_of(request.scope),
            entry_id=request.entry_id,
            kind=request.kind,
            facts_json=request.facts_json or "{}",
            content=request.content,
            subject=request.subject,
            salt=request.content_salt,
        )
        receipt = await asyncio.wrap_future(self._committer.submit(entry))
        annotate({telemetry.LEDGER_INDEX: receipt.leaf_index})
        return pb.AppendResponse(receipt=receipt_to_proto(receipt))

    async def Get(self, request: pb.GetRequest, context: grpc.ServicerContext) -> pb.GetResponse:
        tenant = tenant_of(request.scope)
        if request.WhichOneof("key") is None:
            raise InvalidInputError("leaf_index or entry_id must be set", field="key")

        def read() -> Stored:
            index = (
                self._log.find(tenant, request.entry_id)
                if request.HasField("entry_id")
                else request.leaf_index
            )
            return self._log.get(tenant, index)

        return _stored(await asyncio.to_thread(read))

    async def Prove(
        self, request: pb.ProveRequest, context: grpc.ServicerContext
    ) -> pb.ProveResponse:
        tenant = tenant_of(request.scope)
        receipt = await asyncio.to_thread(self._log.prove, tenant, request.leaf_index)
        return pb.ProveResponse(receipt=receipt_to_proto(receipt))

    async def GetConsistency(
        self, request: pb.GetConsistencyRequest, context: grpc.ServicerContext
    ) -> pb.GetConsistencyResponse:
        path, second = self._log.consistency(request.first_size, request.second_size)
        return pb.GetConsistencyResponse(path=path, second_size=second)

    async def GetCheckpoint(
        self, request: pb.GetCheckpointRequest, context: grpc.ServicerContext
    ) -> pb.GetCheckpointResponse:
        head = self._log.head
        return pb.GetCheckpointResponse(
            checkpoint=head.note,
            log_public_key=self._log.public_key,
            tree_size=head.size,
            segment_bytes=self._log.segment_bytes,
        )

    async def Verify(
        self, request: pb.VerifyRequest, context: grpc.ServicerContext
    ) -> pb.VerifyResponse:
        async with self._verifying:
            return _verdict(await asyncio.to_thread(verify_open_log, self._log))

    async def Erase(
        self, request: pb.EraseRequest, context: grpc.ServicerContext
    ) -> pb.EraseResponse:
        tenant = tenant_of(request.scope)
        if not request.subject:
            raise InvalidInputError("subject must not be empty", field="subject")
        erased = await asyncio.to_thread(
            erase, self._log, self._committer.seal, tenant, request.subject
        )
        return pb.EraseResponse(entries=erased.entries, receipt=receipt_to_proto(erased.receipt))

    def register(self, server: grpc.aio.Server) -> None:
        """Adds this servicer to `server`."""
        pb_grpc.add_LedgerServiceServicer_to_server(self, server)


def _stored(stored: Stored) -> pb.GetResponse:
    append_time = Timestamp()
    append_time.FromJsonString(json.loads(stored.leaf)["time"])
    return pb.GetResponse(
        leaf_index=stored.leaf_index,
        leaf=stored.leaf,
        content=stored.private.content if stored.private else {},
        erased=stored.private is None,
        append_time=append_time,
    )


def _verdict(found: Verification) -> pb.VerifyResponse:
    return pb.VerifyResponse(
        valid=found.valid,
        entries=found.entries,
        checkpoints=found.checkpoints,
        problems=[
            pb.Problem(
                file=problem.file,
                offset=problem.offset,
                leaf_index=problem.leaf_index,
                message=problem.message,
            )
            for problem in found.problems
        ],
    )
