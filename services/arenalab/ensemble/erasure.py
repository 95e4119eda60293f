"""Erasing a subject everywhere: what was said to and by them is kept in several places."""

from typing import Final

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.ensemble.feedback import Feedbacks
from arenalab.ensemble.peers import Peers
from arenalab.ensemble.sealing import Sealer
from arenalab.mesh import InvalidInputError, NotFoundError, Reason

MAX_SUBJECT: Final = 256


class Erasure:
    """Erases subjects."""

    def __init__(self, peers: Peers, sealer: Sealer, feedbacks: Feedbacks) -> None:
        self._peers = peers
        self._sealer = sealer
        self._feedbacks = feedbacks

    async def erase(self, tenant: str, subject: str) -> pb.EraseSubjectResponse:
        """Erases what a subject said and was told; the ledger last.

        The ledger seals that a subject was erased: by then it must be true elsewhere.

        Raises:
            MeshError: As EnsembleService.EraseSubject documents; call it again.
        """
        if not 1 <= len(subject) <= MAX_SUBJECT:
            raise InvalidInputError(
                f"subject must have 1 to {MAX_SUBJECT} characters, got {len(subject)}",
                field="subject",
            )
        response = pb.EraseSubjectResponse(
            predictions=await self._feedbacks.forget(tenant, subject),
            queued=await self._sealer.erase(tenant, subject),
            labels=await self._peers.erase_labels(tenant, subject),
        )
        try:
            erased = await self._peers.erase_content(tenant, subject)
        except NotFoundError as error:
            is_elsewhere = response.predictions or response.queued or response.labels
            if error.reason is not Reason.UNKNOWN_LEAF or not is_elsewhere:
                raise
            return response
        response.entries = erased.entries
        response.receipt.CopyFrom(erased.receipt)
        return response
