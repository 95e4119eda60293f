"""Sealing: what of an answer goes into the ledger, and what happens when it cannot."""

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Final

import blake3
from google.protobuf import json_format

from arenalab.api.common.v1 import answer_pb2, message_pb2, receipt_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.ensemble.journal import Journal
from arenalab.ensemble.peers import Peers
from arenalab.mesh import BudgetSpentError, MeshError, NotReadyError, Reason, deadline, scope_for

_logger = logging.getLogger(__name__)

# The ledger takes 1 MiB of content; a longer conversation or answer is committed to by its
# hash.
MAX_TEXT_BYTES: Final = 512 * 1024
RETRY_S: Final = 2.0
_OWN_NAME: Final = frozenset({Reason.STORAGE_FULL, Reason.CORRUPT_LEDGER, Reason.DEADLINE})


def entry_for(
    tenant: str, request: pb.AnswerRequest, finished: pb.AnswerFinished, text: str
) -> ledger_pb.AppendRequest:
    """Returns the ledger entry of one answer: public facts, and content beside them."""
    return ledger_pb.AppendRequest(
        scope=scope_for(tenant),
        entry_id=finished.prediction_id,
        kind=ledger_pb.ENTRY_KIND_PREDICTION,
        facts_json=json.dumps(_facts(request, finished)),
        content={"conversation": _conversation(request.messages), "answer": _bounded(text)},
        subject=request.user,
        content_salt=finished.content_salt,
    )


def _facts(request: pb.AnswerRequest, finished: pb.AnswerFinished) -> dict[str, object]:
    guarantee = json_format.MessageToDict(finished.guarantee, preserving_proto_field_name=True)
    facts: dict[str, object] = {
        "model": finished.model,
        "route": pb.Route.Name(finished.route).removeprefix("ROUTE_").lower(),
        "method": answer_pb2.AnswerMethod.Name(finished.method)
        .removeprefix("ANSWER_METHOD_")
        .lower(),
        "confidence": finished.confidence,
        "creature": finished.creature,
        "dataset_version": finished.dataset_version,
        "evidence": [item.span_id for item in finished.evidence],
        "guarantee": guarantee,
        "finish_reason": finished.finish_reason,
        "request_id": request.request_id,
        "audited": finished.audited,
        "audit_propensity": finished.audit_propensity,
    }
    if finished.HasField("abstention"):
        reason = answer_pb2.AbstainReason.Name(finished.abstention.reason)
        facts["abstain_reason"] = reason.removeprefix("ABSTAIN_REASON_")
    if finished.HasField("rephrasing"):
        told = finished.rephrasing
        facts["rephrasing"] = {
            "status": pb.RephrasingStatus.Name(told.status)
            .removeprefix("REPHRASING_STATUS_")
            .lower(),
            "provider": told.provider,
            "provider_model": told.provider_model,
        }
    if finished.provider:
        facts["provider"] = finished.provider
        facts["provider_model"] = finished.provider_model
    return facts


def _conversation(messages: Sequence[message_pb2.Message]) -> str:
    turns = [
        {"role": message_pb2.Role.Name(m.role).removeprefix("ROLE_").lower(), "content": m.content}
        for m in messages
    ]
    return _bounded(json.dumps(turns, ensure_ascii=False))


def _bounded(text: str) -> str:
    """Returns the text, or what commits to it where the ledger would not take it."""
    encoded = text.encode()
    if len(encoded) <= MAX_TEXT_BYTES:
        return text
    digest = blake3.blake3(encoded).hexdigest()
    return json.dumps({"blake3": digest, "bytes": len(encoded)})


class Sealer:
    """Appends answers to the ledger under the policy of each request."""

    def __init__(self, peers: Peers, journal: Journal) -> None:
        self._peers = peers
        self._journal = journal
        self._journal_lock = asyncio.Lock()

    @property
    def unsealed(self) -> int:
        """How many answers wait to be sealed."""
        return len(self._journal)

    async def check(self, policy: pb.LedgerPolicy.ValueType) -> None:
        """Makes sure, before a provider is paid, that its answer can be sealed.

        Raises:
            NotReadyError: LEDGER_UNAVAILABLE, unless the policy is best effort.
        """
        if policy == pb.LEDGER_POLICY_BEST_EFFORT:
            return
        try:
            await self._peers.check_ledger()
        except MeshError as error:
            raise _unavailable(error) from error

    async def seal(
        self, entry: ledger_pb.AppendRequest, policy: pb.LedgerPolicy.ValueType
    ) -> receipt_pb2.Receipt | None:
        """Returns the receipt, or None when the entry was queued under best effort.

        Raises:
            MeshError: The answer must be withheld: LEDGER_UNAVAILABLE, STORAGE_FULL,
                CORRUPT_LEDGER or DEADLINE.
            BudgetSpentError: The queue of unsealed answers is full.
        """
        try:
            return (await self._peers.append(entry)).receipt
        except (NotReadyError, BudgetSpentError) as error:
            if policy != pb.LEDGER_POLICY_BEST_EFFORT:
                raise _unavailable(error) from error
            _logger.warning("the ledger is unavailable, %s is queued: %s", entry.entry_id, error)
            async with self._journal_lock:
                await asyncio.to_thread(self._journal.add, entry)
            return None
        except MeshError as error:
            raise _unavailable(error) from error

    async def drain_for_ever(self) -> None:
        """Seals what waits, oldest first, whenever the ledger can be reached."""
        while True:
            if self._journal.pending():
                deadline.begin(60)
                await self._drain_once()
            await asyncio.sleep(RETRY_S)

    async def _drain_once(self) -> None:
        sealed = 0
        try:
            for entry in self._journal.pending():
                await self._peers.append(entry)
                sealed += 1
        except MeshError as error:
            _logger.debug("the ledger is still unavailable: %s", error)
        if sealed:
            async with self._journal_lock:
                await asyncio.to_thread(self._journal.remove_first, sealed)
            _logger.info("sealed %d answers that had waited", sealed)


def _unavailable(error: MeshError) -> MeshError:
    # What only an operator can mend, or what the caller allowed too little time for, keeps
    # its own name; "try again soon" would be wrong.
    if error.reason in _OWN_NAME:
        return error
    return NotReadyError(
        f"the answer could not be sealed, so it is withheld: {error}", Reason.LEDGER_UNAVAILABLE
    )
