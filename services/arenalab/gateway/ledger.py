"""GET /v1/receipts/{id} and GET /v1/ledger/checkpoint: what proves an answer."""

from typing import TYPE_CHECKING, Any, Final

from arenalab.api.ledger.v1 import ledger_service_pb2 as pb
from arenalab.gateway.errors import ApiError
from arenalab.gateway.exchange import JSON, Exchange
from arenalab.gateway.ids import prediction_id
from arenalab.gateway.logs import from_any_log
from arenalab.mesh import scope_for
from arenalab.proof import receipt_to_json
from arenalab.proof.proto_form import receipt_from_proto

if TYPE_CHECKING:
    from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as pb_grpc

TEXT: Final = "text/plain; charset=utf-8"


class ReceiptsEndpoint:
    """Shows the receipt of an answer, and which of its evidence was superseded since."""

    def __init__(self, ledger: "pb_grpc.LedgerServiceAsyncStub", prefix: str) -> None:
        """`prefix` is what comes before the id in the path."""
        self._ledger = ledger
        self._prefix = prefix

    async def __call__(self, exchange: Exchange) -> None:
        entry_id = prediction_id(exchange.path.removeprefix(self._prefix), param="id")
        scope = scope_for(exchange.principal.tenant)

        async def ask(log: str) -> pb.GetReceiptResponse:
            return await self._ledger.GetReceipt(
                pb.GetReceiptRequest(scope=scope, entry_id=entry_id, log=log)
            )

        found = await from_any_log(self._ledger, ask)
        await exchange.respond_json(
            200,
            {
                "object": "receipt",
                "id": entry_id,
                "receipt": receipt_to_json(receipt_from_proto(found.receipt)),
                "supersessions": [_supersession(each) for each in found.supersessions],
            },
        )


def _supersession(found: pb.Supersession) -> dict[str, Any]:
    return {
        "span_id": found.span_id,
        "reason": found.reason,
        "replacement_id": found.replacement_id or None,
        "leaf_index": found.leaf_index,
        "append_time": found.append_time.ToJsonString(),
    }


class CheckpointEndpoint:
    """Shows the latest signed checkpoint: a C2SP note, or JSON with the keys."""

    def __init__(self, ledger: "pb_grpc.LedgerServiceAsyncStub") -> None:
        self._ledger = ledger

    async def __call__(self, exchange: Exchange) -> None:
        found = await self._ledger.GetCheckpoint(
            pb.GetCheckpointRequest(scope=scope_for(exchange.principal.tenant))
        )
        if _wants_json(exchange.headers.get("accept", "")):
            await exchange.respond_json(200, _checkpoint(found), _VARY)
        elif found.checkpoint:
            await exchange.respond(200, found.checkpoint.encode(), TEXT, _VARY)
        else:
            raise ApiError(404, "no_checkpoint", "the log is empty: it has no checkpoint yet")


_VARY: Final = (("vary", "Accept"),)


def _wants_json(accept: str) -> bool:
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return JSON in kinds and "text/plain" not in kinds[: kinds.index(JSON)]


def _checkpoint(found: pb.GetCheckpointResponse) -> dict[str, Any]:
    return {
        "object": "ledger.checkpoint",
        "checkpoint": found.checkpoint or None,
        "cosigned_checkpoint": found.cosigned_checkpoint or None,
        "tree_size": found.tree_size,
        "log_public_key": found.log_public_key,
        "public_keys": list(found.public_keys),
        "damage": found.damage or None,
    }
