"""The mesh's exception hierarchy, and its one translation to and from gRPC statuses.

* MeshError                 INTERNAL
  + InvalidInputError       INVALID_ARGUMENT     the caller must change the request
  + NotFoundError           NOT_FOUND            what was named is not there
  + PreconditionError       FAILED_PRECONDITION  something must be set up first
  + BusyError               ABORTED              another run of the same job is in progress
  + BudgetSpentError        RESOURCE_EXHAUSTED   ask for less, or wait
  + NotReadyError           UNAVAILABLE          the same request may work later
  + DataLossError           DATA_LOSS            stored data was damaged
  + DeadlineError           DEADLINE_EXCEEDED    the time given is spent

Every error carries a `Reason` (protos/arenalab/api/errors/v1/error_reason.proto)
and string metadata; both travel as a google.rpc.ErrorInfo (AIP-193).
"""

from enum import StrEnum, auto
from typing import Any, ClassVar, Final, NoReturn

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

DOMAIN: Final = "arenalab"


class Reason(StrEnum):
    """The values of ErrorReason without their prefix; a test keeps the two equal."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[str]) -> str:
        del start, count, last_values
        return name

    INVALID_ARGUMENT = auto()
    INVALID_SPAN = auto()
    EMPTY_TEXT = auto()
    TOO_LARGE = auto()
    UNKNOWN_DATASET = auto()
    UNKNOWN_MODEL = auto()
    UNKNOWN_SPAN = auto()
    UNKNOWN_LEAF = auto()
    NO_DATASET = auto()
    EMBEDDER_MISMATCH = auto()
    CORRUPT_DATASET = auto()
    CORRUPT_LEDGER = auto()
    STORAGE_FULL = auto()
    OVERLOADED = auto()
    NOT_READY = auto()
    NO_PROVIDER = auto()
    PROVIDER_FAILED = auto()
    MISSING_KEY = auto()
    INVALID_FORMAT = auto()
    UNSUPPORTED_REQUEST = auto()
    LEDGER_UNAVAILABLE = auto()
    DEADLINE = auto()
    BUSY = auto()
    NOT_CALIBRATED = auto()
    INVALID_VECTOR = auto()
    CONTRAST_RISK = auto()
    UNKNOWN_PREDICTION = auto()
    UNKNOWN_LOG = auto()
    SPEND_CAP = auto()


class MeshError(Exception):
    """Base of every error a service raises on purpose.

    Args:
        message: The rule and the value, for people; no secrets.
        reason: Machine-readable reason; each subclass has a default.
        metadata: What the reason's example shows, e.g. `field="limit"`.
    """

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    default_reason: ClassVar[Reason | None] = None

    def __init__(self, message: str, reason: Reason | None = None, **metadata: str) -> None:
        super().__init__(message)
        self.reason = reason or self.default_reason
        self.metadata = metadata


class InvalidInputError(MeshError):
    """The request itself is wrong; the caller must change it."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    default_reason = Reason.INVALID_ARGUMENT


class NotFoundError(MeshError):
    """What the request names is not there."""

    code = grpc.StatusCode.NOT_FOUND


class PreconditionError(MeshError):
    """Something must be set up before this request can work."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class BusyError(MeshError):
    """Another run of the same job is in progress."""

    code = grpc.StatusCode.ABORTED
    default_reason = Reason.BUSY


class BudgetSpentError(MeshError):
    """A bound is reached: ask for less, or wait."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    default_reason = Reason.OVERLOADED


class NotReadyError(MeshError):
    """The service cannot answer yet; the same request may work later."""

    code = grpc.StatusCode.UNAVAILABLE
    default_reason = Reason.NOT_READY


class DataLossError(MeshError):
    """Stored data was damaged."""

    code = grpc.StatusCode.DATA_LOSS


class DeadlineError(MeshError):
    """The time given to the call is spent."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    default_reason = Reason.DEADLINE


_KINDS: Final[tuple[type[MeshError], ...]] = (
    MeshError,
    InvalidInputError,
    NotFoundError,
    PreconditionError,
    BusyError,
    BudgetSpentError,
    NotReadyError,
    DataLossError,
    DeadlineError,
)
_BY_CODE: Final = {kind.code: kind for kind in _KINDS}
# What gRPC says of a message above its receiver's or its sender's limit.
_LARGER: Final = "message larger than max"


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: MeshError) -> NoReturn:
    """Ends the call with the status, message and ErrorInfo of `error`."""
    status = status_pb2.Status(code=error.code.value[0], message=str(error))
    if error.reason is not None:
        info = error_details_pb2.ErrorInfo(
            reason=error.reason.value, domain=DOMAIN, metadata=error.metadata
        )
        detail = any_pb2.Any()
        detail.Pack(info)
        status.details.append(detail)
    await context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError("abort_with_status always raises")


def error_from(call: grpc.aio.AioRpcError, service: str = "") -> MeshError:
    """Returns the error that a called service raised, rebuilt from its status.

    Args:
        call: The failed call.
        service: Name of the service that was called, for a status that the
            transport made because the service could not be reached.
    """
    kind = _BY_CODE.get(call.code(), MeshError)
    info = _error_info(call)
    message = call.details() or call.code().name
    if info is None:
        where = {"service": service} if service else {}
        reason = Reason.TOO_LARGE if _is_of_size(call) else None
        return kind(f"{service or 'service'}: {message}", reason, **where)
    # A newer peer may know reasons that this one does not.
    reason = Reason(info.reason) if info.reason in Reason.__members__ else None
    return kind(message, reason, **dict(info.metadata))


def _is_of_size(call: grpc.aio.AioRpcError) -> bool:
    """Returns whether gRPC refused a message for its size, on either side.

    It has the same status for that as for too many calls; only its words differ.
    """
    is_spent = call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    return is_spent and _LARGER in (call.details() or "")


def _error_info(call: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo | None:
    try:
        status = rpc_status.from_call(call)  # type: ignore[arg-type]
    except ValueError:  # code or message differ: not made by `abort`
        return None
    if status is None or status.code == code_pb2.OK:
        return None
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.domain == DOMAIN:
            return info
    return None
