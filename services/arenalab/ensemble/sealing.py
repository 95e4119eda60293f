"""Sealing: what happens to an entry, also when the ledger cannot take it."""

import asyncio
import logging
from typing import Final

from arenalab.api.common.v1 import receipt_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.ensemble.journal import Journal
from arenalab.ensemble.peers import Peers
from arenalab.mesh import (
    BudgetSpentError,
    DeadlineError,
    InvalidInputError,
    MeshError,
    NotReadyError,
    Reason,
    deadline,
)

_logger = logging.getLogger(__name__)

RETRY_S: Final = 2.0
# So that an erasure need not wait for thousands of entries.
DRAINED_AT_ONCE: Final = 256
_OWN_NAME: Final = frozenset({Reason.STORAGE_FULL, Reason.CORRUPT_LEDGER, Reason.DEADLINE})


class Sealer:
    """Appends entries to the ledger, each under the policy of its request."""

    def __init__(self, peers: Peers, journal: Journal) -> None:
        self._peers = peers
        self._journal = journal
        self._journal_lock = asyncio.Lock()
        self._draining = asyncio.Lock()
        self._more = False  # entries wait, and the ledger took the last ones

    @property
    def unsealed(self) -> int:
        """How many entries wait to be sealed."""
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
            await self._queue(entry, error)
            return None
        except MeshError as error:
            raise _unavailable(error) from error

    async def seal_or_queue(self, entry: ledger_pb.AppendRequest) -> None:
        """Seals an entry that nobody waits for; later, while the ledger cannot be reached.

        Raises:
            InvalidInputError: The ledger refuses it for ever.
            BudgetSpentError: The queue of unsealed entries is full.
            DataLossError: CORRUPT_LEDGER.
        """
        try:
            await self._peers.append(entry)
        except (NotReadyError, BudgetSpentError, DeadlineError) as error:
            await self._queue(entry, error)

    async def _queue(self, entry: ledger_pb.AppendRequest, why: MeshError) -> None:
        _logger.warning("the ledger is unavailable, %s is queued: %s", entry.entry_id, why)
        async with self._journal_lock:
            await asyncio.to_thread(self._journal.add, entry)

    async def drain_for_ever(self) -> None:
        """Seals what waits, oldest first, whenever the ledger can be reached."""
        while True:
            if self._journal.pending():
                deadline.begin(60)
                await self._drain_once()
            await asyncio.sleep(0 if self._more else RETRY_S)

    async def erase(self, tenant: str, subject: str) -> int:
        """Takes the content from a subject's entries that wait; returns how many there are.

        Raises:
            OSError: The disk is full.
        """
        # Not while some are on their way: they would reach the ledger with their content.
        async with self._draining, self._journal_lock:
            return await asyncio.to_thread(self._journal.erase, tenant, subject)

    async def _drain_once(self) -> None:
        sealed = 0
        async with self._draining:
            try:
                for entry in self._journal.pending()[:DRAINED_AT_ONCE]:
                    await self._seal_late(entry)
                    sealed += 1
            except MeshError as error:
                _logger.debug("the ledger is still unavailable: %s", error)
            if sealed:
                async with self._journal_lock:
                    await asyncio.to_thread(self._journal.remove_first, sealed)
                _logger.info("sealed %d entries that had waited", sealed)
        self._more = bool(sealed and self._journal.pending())

    async def _seal_late(self, entry: ledger_pb.AppendRequest) -> None:
        try:
            await self._peers.append(entry)
        except InvalidInputError:
            # It will be refused for ever, e.g. because its id was sealed in other words
            # first: those behind it must not wait for it.
            _logger.exception("%s cannot be sealed and is given up", entry.entry_id)


def _unavailable(error: MeshError) -> MeshError:
    # What only an operator can mend, or what the caller allowed too little time for, keeps
    # its own name; "try again soon" would be wrong.
    if error.reason in _OWN_NAME:
        return error
    return NotReadyError(
        f"the answer could not be sealed, so it is withheld: {error}", Reason.LEDGER_UNAVAILABLE
    )
