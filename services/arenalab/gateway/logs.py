"""Finds an entry whichever of the ledger's logs has it."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar

from arenalab.api.ledger.v1 import ledger_service_pb2 as pb
from arenalab.mesh import MeshError, Reason

if TYPE_CHECKING:
    from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as pb_grpc

_T = TypeVar("_T")
# An id that is nowhere must not cost a call for each day of many years.
MAX_LOGS: Final = 64


async def from_any_log(
    ledger: "pb_grpc.LedgerServiceAsyncStub", ask: Callable[[str], Awaitable[_T]]
) -> _T:
    """Returns what the current log says, else the newest of the others that has the entry.

    A ledger may begin a log with each period; an answer keeps its id.

    Args:
        ledger: Knows its logs.
        ask: Asks a log by its origin, "" for the current one.

    Raises:
        MeshError: As `ask` does; UNKNOWN_LEAF when no log has it.
    """
    try:
        return await ask("")
    except MeshError as error:
        if error.reason is not Reason.UNKNOWN_LEAF:
            raise
        unknown = error
    logs = (await ledger.ListLogs(pb.ListLogsRequest())).logs
    for log in list(reversed(logs))[:MAX_LOGS] if len(logs) > 1 else ():
        try:
            return await ask(log.log)
        except MeshError as error:
            if error.reason is not Reason.UNKNOWN_LEAF:
                raise
    raise unknown
