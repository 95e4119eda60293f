"""The one way a service of the mesh is called.

`connect` returns a channel for generated stubs. A call through it
  - ends by the deadline of the call that is being served, or its own timeout;
  - opens a client span and hands the trace context on;
  - raises the `MeshError` that the called service raised;
  - is tried again once on UNAVAILABLE if its method is named as idempotent, within
    a retry budget that gRPC keeps per channel.

The channel wraps its callables instead of using gRPC's client interceptors, which
make a task of every call.
"""

import json
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Sequence,
)
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import grpc
from opentelemetry.trace import Span

from arenalab.mesh import telemetry as names
from arenalab.mesh.deadline import remaining_s
from arenalab.mesh.errors import MeshError, error_from
from arenalab.mesh.server import MAX_MESSAGE_BYTES
from arenalab.mesh.telemetry import Telemetry

DEFAULT_TIMEOUT_S: Final = 10.0


@asynccontextmanager
async def connect(
    address: str, telemetry: Telemetry, *, idempotent: Sequence[str] = ()
) -> AsyncGenerator[grpc.aio.Channel]:
    """Opens a channel for the length of the `async with` block.

    Keep one channel per peer for the life of the process: opening one per call is
    slow, and leaks.

    Args:
        address: "host:port".
        telemetry: Traces the calls, as the calling service.
        idempotent: Full names of methods that may be retried on UNAVAILABLE, e.g.
            "arenalab.api.search.v1.SearchService/Search".
    """
    channel = grpc.aio.insecure_channel(
        address,
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.service_config", json.dumps(_service_config(idempotent))),
            # Reconnect quickly: peers on one host restart in a second or two.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2000),
            # A proxy of the environment is for the world, not for peers.
            ("grpc.enable_http_proxy", 0),
        ],
    )
    try:
        with telemetry.metrics.channels.track_inprogress():
            yield _MeshChannel(channel, telemetry)  # type: ignore[misc]  # what stubs use of it
    finally:
        await channel.close()


def _service_config(idempotent: Sequence[str]) -> dict[str, object]:
    if not idempotent:
        return {}
    methods = [dict(zip(("service", "method"), m.split("/"), strict=True)) for m in idempotent]
    retry = {
        "maxAttempts": 2,
        "initialBackoff": "0.05s",
        "maxBackoff": "0.5s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return {
        "methodConfig": [{"name": methods, "retryPolicy": retry}],
        # A failed call takes one token, a good one gives a tenth back; below half
        # of ten tokens nothing is retried.
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    }


class _MeshChannel:
    """The part of grpc.aio.Channel that generated stubs use."""

    def __init__(self, channel: grpc.aio.Channel, telemetry: Telemetry) -> None:
        self._channel = channel
        self._telemetry = telemetry

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> "_Unary":
        return _Unary(self._channel.unary_unary(method, *args, **kwargs), method, self._telemetry)

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> "_Unary":
        return _Unary(self._channel.stream_unary(method, *args, **kwargs), method, self._telemetry)

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> "_Streaming":
        inner = self._channel.unary_stream(method, *args, **kwargs)
        return _Streaming(inner, method, self._telemetry)

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> "_Streaming":
        inner = self._channel.stream_stream(method, *args, **kwargs)
        return _Streaming(inner, method, self._telemetry)

    async def close(self) -> None:
        await self._channel.close()


class _Callable:
    """A method of a peer, with what every call to it shares."""

    def __init__(self, inner: Callable[..., Any], method: str, telemetry: Telemetry) -> None:
        self._inner = inner
        self._method = method.lstrip("/")
        self._peer = self._method.split("/")[0].rpartition(".")[2].removesuffix("Service").lower()
        self._telemetry = telemetry

    def _failed(self, span: Span, error: grpc.aio.AioRpcError) -> MeshError:
        names.record_status(span, error.code(), server=False)
        return error_from(error, self._peer)


class _Unary(_Callable):
    """A call with one response."""

    def __call__(
        self, request: Any, *, timeout: float = DEFAULT_TIMEOUT_S, **kwargs: Any
    ) -> Awaitable[Any]:
        return self._call(request, timeout, kwargs)

    async def _call(self, request: Any, timeout_s: float, kwargs: dict[str, Any]) -> Any:
        timeout_s = remaining_s(timeout_s)
        span, metadata = self._telemetry.call_span(self._method)
        try:
            response = await self._inner(request, timeout=timeout_s, metadata=metadata, **kwargs)
            names.record_status(span, grpc.StatusCode.OK, server=False)
            return response  # noqa: TRY300 - the span must end after it
        except grpc.aio.AioRpcError as error:
            raise self._failed(span, error) from error
        finally:
            span.end()


class _Streaming(_Callable):
    """A call with a stream of responses."""

    def __call__(
        self,
        request: Any,
        *,
        timeout: float = DEFAULT_TIMEOUT_S,
        **kwargs: Any,
    ) -> "_Stream":
        timeout_s = remaining_s(timeout)
        span, metadata = self._telemetry.call_span(self._method)
        call = self._inner(request, timeout=timeout_s, metadata=metadata, **kwargs)
        return _Stream(call, lambda error: self._failed(span, error), span)


class _Stream(AsyncIterable[Any]):
    """The responses of one call; `cancel` ends it early."""

    def __init__(
        self, call: Any, failed: Callable[[grpc.aio.AioRpcError], MeshError], span: Span
    ) -> None:
        self._call = call
        self._failed = failed
        self._span = span

    def cancel(self) -> bool:
        """Ends the call; returns whether it was still running."""
        return bool(self._call.cancel())

    async def __aiter__(self) -> AsyncIterator[Any]:
        try:
            async for response in self._call:
                yield response
            names.record_status(self._span, grpc.StatusCode.OK, server=False)
        except grpc.aio.AioRpcError as error:
            raise self._failed(error) from error
        finally:
            # An early exit of the reader (break, cancel, error) must stop the peer too.
            with suppress(RuntimeError):
                self._call.cancel()
            self._span.end()
