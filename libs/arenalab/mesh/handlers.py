"""What surrounds every handler of every server: deadline, trace, metric, error translation.

One wrapper does all four, because their order matters (the span must record the
status that the error translation decides) and because each layer of wrapping costs
microseconds on the answer path. For the same reason it is put around the handlers
when they are added to a server, and is no interceptor of gRPC's: those are run as
coroutines of their own by every call.
"""

import asyncio
import errno
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import grpc
from google.protobuf.message import DecodeError

from arenalab.mesh import deadline, telemetry
from arenalab.mesh.errors import (
    BudgetSpentError,
    DeadlineError,
    InvalidInputError,
    MeshError,
    Reason,
    abort,
)

_logger = logging.getLogger(__name__)

# What a call may take when its caller set no deadline.
MAX_CALL_S: Final = 300.0

_MAKE: Final[dict[tuple[bool, bool], Callable[..., Any]]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class GuardedServer:
    """The part of grpc.aio.Server that servicers are added to; guards what is added."""

    def __init__(self, server: grpc.aio.Server, observed: telemetry.Telemetry) -> None:
        self._server = server
        self._telemetry = observed

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        self._server.add_generic_rpc_handlers(
            tuple(_GuardedHandlers(each, self._telemetry) for each in handlers)
        )

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Leaves them out: generated code adds the same ones as generic handlers.

        gRPC awaits the next call of each registered method by a task of its own, and
        touches all of these tasks at every call.
        """


class _GuardedHandlers(grpc.GenericRpcHandler):
    """The handlers of a service, each guarded when it is first called."""

    def __init__(self, inner: grpc.GenericRpcHandler, observed: telemetry.Telemetry) -> None:
        self._inner = inner
        self._telemetry = observed
        self._guarded: dict[str, Any] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method
        guarded = self._guarded.get(method)
        if guarded is None:
            handler = self._inner.service(handler_call_details)
            if handler is None:  # unknown method: gRPC answers UNIMPLEMENTED
                return None
            guarded = _guard(method.lstrip("/"), handler, self._telemetry)
            # Only methods that exist are kept, so strangers cannot grow the table.
            self._guarded[method] = guarded
        return guarded


def _guard(method: str, handler: Any, observed: telemetry.Telemetry) -> Any:
    if method.startswith("grpc."):  # health and reflection watch for ever
        return handler
    # Exactly one of the four is set.
    behavior = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )
    read = _each_readable if handler.request_streaming else _readable
    surround = _guard_stream if handler.response_streaming else _guard_unary
    return _MAKE[handler.request_streaming, handler.response_streaming](
        surround(_Method(method, observed), behavior, read),
        request_deserializer=_lenient(handler.request_deserializer),
        response_serializer=handler.response_serializer,
    )


def _guard_unary(method: "_Method", behavior: Any, read: Callable[[Any], Any]) -> Any:
    async def guarded(request: Any, context: Any) -> Any:
        call = _Call(method, context)
        try:
            return await behavior(read(request), context)
        except asyncio.CancelledError as error:
            await call.fail(call.cause_of(error), context)
        except Exception as error:  # noqa: BLE001 - the one place that translates
            await call.fail(error, context)
        finally:
            call.end()

    return guarded


def _guard_stream(method: "_Method", behavior: Any, read: Callable[[Any], Any]) -> Any:
    async def guarded(request: Any, context: Any) -> AsyncGenerator[Any]:
        call = _Call(method, context)
        try:
            async for response in behavior(read(request), context):
                yield response
        except asyncio.CancelledError as error:
            await call.fail(call.cause_of(error), context)
        except Exception as error:  # noqa: BLE001 - the one place that translates
            await call.fail(error, context)
        finally:
            call.end()

    return guarded


class _Method:
    """What the calls of one method share."""

    def __init__(self, name: str, observed: telemetry.Telemetry) -> None:
        self.name = name
        self.telemetry = observed
        self._durations: dict[grpc.StatusCode, Any] = {}

    def observe(self, status: grpc.StatusCode, took_s: float) -> None:
        duration = self._durations.get(status)
        if duration is None:
            duration = self._durations[status] = self.telemetry.metrics.rpc_server_duration.labels(
                self.telemetry.service, self.name, status.name
            )
        duration.observe(took_s)


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """Bytes that are not the message they should be."""

    why: str


def _lenient(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Returns a deserializer that never raises: gRPC would answer UNKNOWN, without a reason."""

    def read(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError as error:
            return _Unreadable(str(error))

    return read


def _readable(request: Any) -> Any:
    """Returns the request.

    Raises:
        InvalidInputError: The bytes are not the message they should be.
    """
    if isinstance(request, _Unreadable):
        raise InvalidInputError(
            f"the request is not a valid protobuf message: {request.why}", field="request"
        )
    return request


async def _each_readable(requests: Any) -> AsyncGenerator[Any]:
    async for request in requests:
        yield _readable(request)


class _Call:
    """One call being served, from its beginning to `end`.

    gRPC runs every call in a task of its own: what is set in the task's context here
    ends with the task.
    """

    __slots__ = ("_expired", "_method", "_span", "_started_s", "_status", "_task", "_timer")

    def __init__(self, method: _Method, context: Any) -> None:
        self._started_s = time.perf_counter()
        self._method = method
        self._status = grpc.StatusCode.OK
        self._span = method.telemetry.serve_span(method.name, context.invocation_metadata())
        left_s = context.time_remaining()
        ends_at = deadline.begin(MAX_CALL_S if left_s is None else left_s)
        # What asyncio.timeout does, in a quarter of its time.
        task = asyncio.current_task()
        assert task is not None, "gRPC serves calls in tasks"  # noqa: S101 - for type checkers
        self._task = task
        self._expired = False
        self._timer = task.get_loop().call_at(ends_at, self._expire)

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()

    def cause_of(self, error: asyncio.CancelledError) -> Exception:
        """Returns what a cancelled call ended by.

        Raises:
            CancelledError: It was not the deadline alone.
        """
        if self._expired and self._task.cancelling() == 1:
            return TimeoutError()
        self._status = grpc.StatusCode.CANCELLED
        raise error

    async def fail(self, error: Exception, context: Any) -> NoReturn:
        """Ends the call with the status that `error` stands for. Never returns."""
        self._timer.cancel()
        if isinstance(error, grpc.aio.AbortError):
            self._status = grpc.StatusCode(context.code())
            raise error
        if self._expired and isinstance(error, TimeoutError):
            error = DeadlineError("the call's deadline is spent")
        known = as_mesh_error(error)
        if known is None:
            _logger.error("unhandled error in %s", self._method.name, exc_info=error)
            known = MeshError("internal error")
        self._status = known.code
        await abort(context, known)

    def end(self) -> None:
        """Records the call. Must be called once, whatever it ended by."""
        self._timer.cancel()
        if self._expired:
            self._task.uncancel()
        if self._span is not None:
            telemetry.record_status(self._span, self._status, server=True)
            self._span.end()
        self._method.observe(self._status, time.perf_counter() - self._started_s)


def as_mesh_error(error: Exception) -> MeshError | None:
    """Returns the documented error that `error` stands for, or None for a bug."""
    # Imported here: the span library depends on nothing, and not every process needs it.
    from arenalab.atomic import SpanError

    if isinstance(error, MeshError):
        return error
    if isinstance(error, SpanError):
        return InvalidInputError(str(error), Reason.INVALID_SPAN, field=error.field)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return BudgetSpentError(
            "the disk is full; nothing was kept",
            Reason.STORAGE_FULL,
            path=str(error.filename or ""),
        )
    return None
