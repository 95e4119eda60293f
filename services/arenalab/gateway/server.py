"""Uvicorn as the gateway runs it: its own socket, no signal handlers, OpenAI's error body."""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from arenalab.gateway.errors import ApiError
from arenalab.gateway.exchange import to_json
from arenalab.mesh import NotReadyError

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_HEADERS: Final = 100
_BACKLOG: Final = 2048
_TICK_S: Final = 1.0  # the Date header is this old at most
# Longer than the idle time of the clients and proxies in front: when the server
# closes an idle connection first, the next request on it fails.
_IDLE_S: Final = 75


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What connections may take."""

    head_timeout_s: float = 10.0  # from its first moment to the end of its headers
    max_connections: int = 2048
    drain_s: int = 5  # for requests at work when the server stops


@dataclass(frozen=True, slots=True)
class Certificate:
    """What proves the server's name, in PEM."""

    chain_path: Path
    key_path: Path

    def check(self) -> None:
        """Raises NotReadyError where a server could not start with it."""
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.chain_path, self.key_path)
        except OSError as error:  # what ssl raises too
            raise NotReadyError(
                f"cannot use the certificate {self.chain_path} with the key {self.key_path}: "
                f"{error.strerror or type(error).__name__}"
            ) from error


class _TooManyHeadersError(Exception):
    """A head has more header lines than anybody needs."""


class GatewayProtocol(HttpToolsProtocol):
    """HTTP/1.1 with bounded heads, and with JSON for what is no HTTP at all."""

    def __init__(self, *args: Any, bounds: Bounds, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bounds = bounds
        self._head_bytes = 0
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._bounds.max_connections:
            error = ApiError(503, "overloaded", "too many open connections", retry_after_s=1)
            self._refuse(b"503 Service Unavailable", error)
            return
        # From here on, not from the first byte: who sends nothing holds a place too.
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._stop_head_timer()
        self._head_timer = self.loop.call_later(self._bounds.head_timeout_s, self._cut_head)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _cut_head(self) -> None:
        """Ends a connection whose request line and headers do not come: a slow loris.

        Not a timeout between bytes, which one byte now and then would renew.
        """
        seconds = self._bounds.head_timeout_s
        error = ApiError(408, "timeout", f"the headers did not arrive within {seconds:g} s")
        self._refuse(b"408 Request Timeout", error)

    def data_received(self, data: bytes) -> None:
        # The parser keeps a head of any size. Counted per read, so that a body that
        # arrives with its head is let through.
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            error = ApiError(
                431, "headers_too_large", f"the headers must have at most {MAX_HEAD_BYTES} bytes"
            )
            self._refuse(b"431 Request Header Fields Too Large", error)
            return
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) == MAX_HEADERS:
            raise _TooManyHeadersError  # the parser stops, and calls send_400_response
        super().on_header(name, value)

    def on_message_begin(self) -> None:
        self._in_head = True
        if self._head_timer is None:  # a further request on the connection
            self._expect_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._stop_head_timer()
        self._in_head = False
        self._head_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        del msg
        if self._in_head and self.headers is not None and len(self.headers) >= MAX_HEADERS:
            error = ApiError(431, "headers_too_large", f"at most {MAX_HEADERS} headers are read")
            self._refuse(b"431 Request Header Fields Too Large", error)
            return
        self._refuse(b"400 Bad Request", ApiError(400, "invalid_http", "this is not valid HTTP"))

    def _refuse(self, status: bytes, error: ApiError) -> None:
        body = to_json(error.body())
        headers = b"".join(f"{name}: {value}\r\n".encode() for name, value in error.headers)
        self.transport.write(
            b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b"
            b"connection: close\r\n\r\n%b" % (status, len(body), headers, body)
        )
        self.transport.close()


class _Server(uvicorn.Server):
    """Uvicorn's server, which says when it has started and leaves signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self.should_exit = True
        self._stopping.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        # Uvicorn's own looks ten times a second whether it should stop.
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _TICK_S)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # whoever runs the process decides when it stops


@asynccontextmanager
async def serving(
    app: Any, host: str, port: int, bounds: Bounds, certificate: Certificate | None = None
) -> AsyncGenerator[int]:
    """Serves an ASGI application for the length of the block.

    Leaving it stops listening, then waits up to `drain_s` for requests at work.

    Args:
        app: The application.
        host: Where to listen.
        port: 0 picks a free one.
        bounds: Of connections.
        certificate: Serves HTTPS with it; None serves HTTP.

    Yields:
        The port it listens on.

    Raises:
        NotReadyError: The address cannot be bound, e.g. it is taken; or the certificate
            cannot be used.
    """
    if certificate is not None:
        certificate.check()
    listener = bind(host, port)
    server = _Server(
        uvicorn.Config(
            app,
            http=cast("type[asyncio.Protocol]", partial(GatewayProtocol, bounds=bounds)),
            ssl_certfile=None if certificate is None else certificate.chain_path,
            ssl_keyfile=None if certificate is None else certificate.key_path,
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="error",
            server_header=False,
            # Nothing here asks for the client's address, and finding it takes every
            # request another coroutine.
            proxy_headers=False,
            timeout_keep_alive=_IDLE_S,
            timeout_graceful_shutdown=bounds.drain_s,
            backlog=_BACKLOG,
        )
    )
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await _first_of(server.listening, running)
        yield listener.getsockname()[1]
    finally:
        server.stop()
        await running


async def _first_of(event: asyncio.Event, task: asyncio.Task[None]) -> None:
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


def bind(host: str, port: int) -> socket.socket:
    """Returns a listening socket; port 0 picks a free one.

    Raises:
        NotReadyError: The address cannot be bound, e.g. it is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # With its protocol, which socket.create_server leaves out: asyncio turns
        # Nagle's algorithm off only where it sees TCP, and with it on, a response in
        # two writes waits 40 ms for the client's delayed acknowledgement.
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        why = "the port is taken" if error.errno == errno.EADDRINUSE else error.strerror
        raise NotReadyError(
            f"gateway: cannot listen on {host}:{port}: {why}", address=f"{host}:{port}"
        ) from error
    return listener
