"""The ASGI application: route, key, limits, trace, metric, and the one error body.

Plain ASGI: each middleware of a framework would cost every answer a task or a
copy of its events, and a framework's own error bodies are not OpenAI's.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from opentelemetry import trace

from arenalab.gateway.account import Meter
from arenalab.gateway.cors import cors_headers, is_preflight, preflight_headers
from arenalab.gateway.errors import ApiError, api_error
from arenalab.gateway.exchange import ClientGoneError, Exchange, Receive, Scope, Send
from arenalab.gateway.keys import ANONYMOUS, Principal, Refusal
from arenalab.gateway.keys.watch import StaticKeys
from arenalab.gateway.limits.admission import Admission
from arenalab.gateway.provider_keys import ProviderKeys
from arenalab.mesh import MeshError, Telemetry
from arenalab.mesh.telemetry import ERROR_TYPE

_logger = logging.getLogger(__name__)

Handler = Callable[[Exchange], Awaitable[None]]

# Names of the HTTP conventions of OpenTelemetry (stable since 1.23).
_METHOD: Final = "http.request.method"
_ROUTE: Final = "http.route"
_STATUS: Final = "http.response.status_code"
_PATH: Final = "url.path"
# What nginx calls it when a client closes before it has its response.
_CLIENT_CLOSED: Final = 499
_SERVER_ERROR: Final = 500
_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What answers one path."""

    name: str  # the path as metrics and spans name it
    methods: Mapping[str, Handler]
    is_open: bool = False  # for probes: no key, no limit, no trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may call."""

    keys: StaticKeys
    needs_keys: bool
    cors_origins: Collection[str] = ()
    provider_keys: ProviderKeys = field(default_factory=ProviderKeys)


@dataclass(slots=True)
class Gateway:
    """Serves HTTP."""

    routes: Mapping[str, Route]  # by exact path
    by_prefix: Mapping[str, Route]  # by what a path begins with
    access: Access
    admission: Admission
    meter: Meter
    telemetry: Telemetry
    write_timeout_s: float
    now: Callable[[], float] = field(default=time.perf_counter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one HTTP request; never raises."""
        if scope["type"] != "http":
            raise RuntimeError(f"the gateway serves HTTP only, got {scope['type']!r}")
        exchange = Exchange(
            scope, receive, send, now=self.now, write_timeout_s=self.write_timeout_s
        )
        exchange.extra += cors_headers(exchange.headers, self.access.cors_origins)
        route = self._find(exchange.path)
        name = route.name if route is not None else "other"
        try:
            await self._serve(exchange, route, name)
        finally:
            self.telemetry.metrics.http_server_duration.labels(
                name, str(exchange.status or _CLIENT_CLOSED)
            ).observe(exchange.elapsed_ms() / 1e3)

    def _find(self, path: str) -> Route | None:
        if (route := self.routes.get(path)) is not None:
            return route
        return next((r for prefix, r in self.by_prefix.items() if path.startswith(prefix)), None)

    async def _serve(self, exchange: Exchange, route: Route | None, name: str) -> None:
        if route is None or route.is_open:
            await self._guard(exchange, route)
            return
        with self.telemetry.tracer.start_as_current_span(
            f"{exchange.method} {name}",
            self.telemetry.request_context(exchange.headers),
            trace.SpanKind.SERVER,
            attributes={_METHOD: exchange.method, _ROUTE: name, _PATH: exchange.path},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            context = span.get_span_context()
            if context.is_valid:
                trace_id = trace.format_trace_id(context.trace_id)
                exchange.extra.append(("x-arenalab-trace-id", trace_id))
            await self._guard(exchange, route)
            if span.is_recording():
                span.set_attribute(_STATUS, exchange.status or _CLIENT_CLOSED)
                if exchange.status >= _SERVER_ERROR:
                    span.set_attribute(ERROR_TYPE, str(exchange.status))
                    span.set_status(trace.StatusCode.ERROR)

    async def _guard(self, exchange: Exchange, route: Route | None) -> None:
        """Runs the handler; whatever it raises becomes an error body."""
        with suppress(ClientGoneError):  # nobody is left to tell
            try:
                await self._handle(exchange, route)
            except ApiError as error:
                await exchange.respond_error(error)
            except MeshError as error:
                await exchange.respond_error(api_error(error))
            except ClientGoneError:
                raise
            except asyncio.CancelledError:
                # The server stops, and its patience with this request is over.
                if not exchange.is_gone:
                    await exchange.respond_error(
                        ApiError(503, "overloaded", "the gateway is stopping", should_retry=True)
                    )
            except Exception:
                _logger.exception("unhandled error in %s %s", exchange.method, exchange.path)
                await exchange.respond_error(ApiError(500, "internal_error", "internal error"))

    async def _handle(self, exchange: Exchange, route: Route | None) -> None:
        if is_preflight(exchange.method, exchange.headers):
            await exchange.respond(204, b"", headers=preflight_headers(exchange.headers))
            return
        handler = _handler(exchange, route)
        if route is None or route.is_open:
            await handler(exchange)
            return
        exchange.principal = self._identify(exchange.headers)
        exchange.account = self.meter.account(exchange.principal, exchange.extra)
        await exchange.account.count_request()
        exchange.credentials = self.access.provider_keys.of(
            exchange.principal, exchange.provider_keys
        )
        with self.admission.slot():
            await handler(exchange)

    def _identify(self, headers: Mapping[str, str]) -> Principal:
        """Returns who calls.

        Raises:
            ApiError: 401 or 403.
        """
        scheme, _, key = headers.get("authorization", "").partition(" ")
        key = key.strip() if scheme.lower() == "bearer" else ""
        found = self.access.keys.find(key) if key else Refusal.UNKNOWN
        if isinstance(found, Principal):
            return found
        # Who shows a key that works no more should learn of it even where none is needed.
        if not self.access.needs_keys and found is Refusal.UNKNOWN:
            # A page elsewhere can have its name resolve to this machine, and would
            # then be of the same origin; the Host header still tells.
            if _host_name(headers.get("host", "")) not in _LOOPBACK_NAMES:
                raise ApiError(
                    403, "forbidden_host", "without a key, the Host must be a loopback name"
                )
            return ANONYMOUS
        raise ApiError(
            401,
            "invalid_api_key",
            found.value if key else "an API key is needed, as 'Authorization: Bearer KEY'",
            should_retry=False,
            headers=[("www-authenticate", "Bearer")],
        )


def _handler(exchange: Exchange, route: Route | None) -> Handler:
    if route is None:
        raise ApiError(404, "unknown_url", f"unknown URL: {exchange.method} {exchange.path[:200]}")
    method = "GET" if exchange.method == "HEAD" else exchange.method
    if (handler := route.methods.get(method)) is not None:
        return handler
    allowed = ", ".join(route.methods)
    raise ApiError(
        405,
        "method_not_allowed",
        f"{exchange.method} is not allowed at {route.name}, only {allowed}",
        headers=[("allow", allowed)],
    )


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()
