"""What surrounds every handler of every server: deadline, trace, metric, error translation.

One interceptor does all four, because their order matters (the span must record
the status that the error translation decides) and because each layer of wrapping
costs tens of microseconds on the answer path.
"""

import asyncio
import errno
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from opentelemetry import trace

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

_Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]


class HandlerInterceptor(grpc.aio.ServerInterceptor):
    """Wraps each method's handler once, and keeps the wrapped one."""

    def __init__(self, observed: telemetry.Telemetry) -> None:
        self._telemetry = observed
        self._wrapped: dict[str, Any] = {}

    async def intercept_service(
        self, continuation: _Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None:  # unknown method: gRPC answers UNIMPLEMENTED
                return None
            wrapped = self._wrap(method.lstrip("/"), handler)
            # Only methods that exist are kept, so strangers cannot grow the table.
            self._wrapped[method] = wrapped
        return wrapped

    def _wrap(self, method: str, handler: Any) -> Any:
        if method.startswith("grpc."):  # health and reflection watch for ever
            return handler
        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[handler.request_streaming, handler.response_streaming]
        behavior = next(
            b
            for b in (
                handler.unary_unary,
                handler.unary_stream,
                handler.stream_unary,
                handler.stream_stream,
            )
            if b is not None
        )
        guard = self._guard_stream if handler.response_streaming else self._guard_unary
        return make(
            guard(method, behavior),
            request_deserializer=_lenient(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )

    def _guard_unary(self, method: str, behavior: Any) -> Any:
        async def guarded(request: Any, context: Any) -> Any:
            with self._observed(method, context) as call:
                try:
                    async with asyncio.timeout_at(call.deadline) as timer:
                        return await behavior(_readable(request), context)
                except Exception as error:  # noqa: BLE001 - the one place that translates
                    await call.fail(error, context, expired=timer.expired())

        return guarded

    def _guard_stream(self, method: str, behavior: Any) -> Any:
        async def guarded(request: Any, context: Any) -> AsyncGenerator[Any]:
            with self._observed(method, context) as call:
                try:
                    async with asyncio.timeout_at(call.deadline) as timer:
                        async for response in behavior(_readable(request), context):
                            yield response
                except Exception as error:  # noqa: BLE001 - the one place that translates
                    await call.fail(error, context, expired=timer.expired())

        return guarded

    @contextmanager
    def _observed(self, method: str, context: Any) -> Iterator["_Call"]:
        left_s = context.time_remaining()
        call = _Call(method, deadline.begin(MAX_CALL_S if left_s is None else left_s))
        started = time.perf_counter()
        parent = telemetry.extract(context.invocation_metadata())
        with self._telemetry.tracer.start_as_current_span(
            method,
            parent,
            trace.SpanKind.SERVER,
            attributes=telemetry.rpc_attributes(method),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield call
            except asyncio.CancelledError:
                call.status = grpc.StatusCode.CANCELLED
                raise
            finally:
                telemetry.record_status(span, call.status, server=True)
                self._telemetry.metrics.rpc_server_duration.labels(
                    self._telemetry.service, method, call.status.name
                ).observe(time.perf_counter() - started)


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
    """Returns the request; a stream of them is checked one by one.

    Raises:
        InvalidInputError: The bytes are not the message they should be.
    """
    if isinstance(request, _Unreadable):
        raise InvalidInputError(
            f"the request is not a valid protobuf message: {request.why}", field="request"
        )
    return _each_readable(request) if hasattr(request, "__aiter__") else request


async def _each_readable(requests: Any) -> AsyncGenerator[Any]:
    async for request in requests:
        yield _readable(request)


class _Call:
    """One call being served."""

    def __init__(self, method: str, ends_at: float) -> None:
        self.method = method
        self.deadline = ends_at
        self.status = grpc.StatusCode.OK

    async def fail(self, error: Exception, context: Any, *, expired: bool) -> None:
        """Ends the call with the status that `error` stands for. Never returns."""
        if isinstance(error, grpc.aio.AbortError):
            self.status = grpc.StatusCode(context.code())
            raise error
        if expired and isinstance(error, TimeoutError):
            error = DeadlineError("the call's deadline is spent")
        known = as_mesh_error(error)
        if known is None:
            _logger.error("unhandled error in %s", self.method, exc_info=error)
            known = MeshError("internal error")
        self.status = known.code
        await abort(context, known)


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
