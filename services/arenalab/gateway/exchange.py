"""One HTTP request and its response, over plain ASGI."""

import asyncio
import json
import re
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from arenalab.gateway.errors import ApiError, Headers, bad_request
from arenalab.gateway.keys import ANONYMOUS, Principal
from arenalab.gateway.provider_keys import HEADER as PROVIDER_KEY_HEADER

if TYPE_CHECKING:
    from arenalab.api.common.v1.credential_pb2 import ProviderCredential

if TYPE_CHECKING:
    from arenalab.gateway.account import KeyAccount

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON: Final = "application/json"
_OPENAI_VERSION: Final = "2020-10-01"
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
# Of a body that is too large, this much is read and thrown away before the
# connection closes: closing at once would reset it under a client that still
# writes, and the client would never see why.
_LINGER_BYTES: Final = 32 * 1024 * 1024
_LINGER_S: Final = 2.0


class ClientGoneError(Exception):
    """The client closed the connection before it had its response."""


class Exchange:
    """What a handler reads of a request, and the only way it responds."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        now: Callable[[], float],
        write_timeout_s: float,
    ) -> None:
        """Wraps one ASGI call.

        Args:
            scope: Of the call.
            receive: Of the call.
            send: Of the call.
            now: A monotonic clock, in seconds.
            write_timeout_s: A client that reads nothing for so long counts as gone.
        """
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: str = scope.get("query_string", b"").decode("latin-1")  # as sent
        self.headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        # Apart from the others, so that whatever reads those never has a secret in hand.
        self.headers.pop(PROVIDER_KEY_HEADER, None)
        self.provider_keys = [
            value.decode("latin-1")
            for name, value in scope["headers"]
            if name == PROVIDER_KEY_HEADER.encode()
        ]
        self.credentials: Sequence[ProviderCredential] = ()  # set before the handler runs
        given = self.headers.get("x-request-id", "")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"
        self.principal: Principal = ANONYMOUS
        self.account: KeyAccount  # set once it is known who calls, before the handler runs
        self.extra: list[tuple[str, str]] = []  # headers of whatever response there will be
        self.status = 0  # 0 until the response has begun
        self.is_gone = False
        # How a stream of named events says that it failed; None for plain frames.
        self.tell_failure: Callable[[ApiError], Sequence[Mapping[str, Any]]] | None = None
        self._is_read = False  # all of the body
        self._receive = receive
        self._raw_send = send
        self._write_timeout_s = write_timeout_s
        self._now = now
        self._began_s = now()

    @property
    def is_strict(self) -> bool:
        """Whether the client wants unknown fields to be errors."""
        return self.headers.get("x-arenalab-strict", "").lower() in ("1", "true")

    def elapsed_ms(self) -> float:
        """Returns the time since the request came in."""
        return (self._now() - self._began_s) * 1e3

    async def read_json_bytes(self, max_bytes: int, timeout_s: float) -> bytes:
        """Returns the request's body, which must say that it is JSON.

        Raises:
            ApiError: 400, 408 or 413.
            ClientGoneError: The client went away before it had sent all.
        """
        self._check_media_type()
        if int(self.headers.get("content-length", 0)) > max_bytes:
            raise _too_large(max_bytes)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._read(max_bytes)
        except TimeoutError as error:
            raise ApiError(
                408, "timeout", f"the request body did not arrive within {timeout_s:g} s"
            ) from error

    def _check_media_type(self) -> None:
        # Not only tidiness: a web page may send any other type to a gateway on
        # loopback without asking the browser's leave.
        media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != JSON:
            raise bad_request(
                f"the Content-Type must be {JSON}, got {media_type[:80] or 'none'!r}",
                code="unsupported_content_type",
            )
        if self.headers.get("content-encoding", "identity") != "identity":
            raise bad_request(
                "the body must not be compressed", code="unsupported_content_encoding"
            )

    async def _read(self, max_bytes: int) -> bytes:
        body = bytearray()
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.is_gone = True
                raise ClientGoneError
            self._is_read = not message.get("more_body", False)
            body += message.get("body", b"")
            if len(body) > max_bytes:
                raise _too_large(max_bytes)
            if self._is_read:
                return bytes(body)

    @asynccontextmanager
    async def while_connected(self) -> AsyncGenerator[None]:
        """Cancels the block when the client goes away. The body must have been read.

        Raises:
            ClientGoneError: That happened.
        """
        task = asyncio.current_task()

        async def watch() -> None:
            while (await self._receive())["type"] != "http.disconnect":
                pass
            self.is_gone = True
            if task is not None:
                task.cancel()

        watcher = asyncio.create_task(watch())
        try:
            yield
        except asyncio.CancelledError:
            if self.is_gone and task is not None:
                task.uncancel()
                raise ClientGoneError from None
            raise
        finally:
            watcher.cancel()

    async def respond(
        self, status: int, body: bytes, media_type: str = JSON, headers: Headers = ()
    ) -> None:
        """Sends a whole response."""
        length = ("content-length", str(len(body)))
        await self._send(
            self._head(status, media_type, [length, *headers]),
            {"type": "http.response.body", "body": body},
        )

    async def respond_json(self, status: int, value: object, headers: Headers = ()) -> None:
        """Sends a whole response that is JSON."""
        await self.respond(status, to_json(value), JSON, headers)

    async def respond_error(self, error: ApiError) -> None:
        """Sends an error; into a stream that has begun, as its last frame."""
        if self.status:
            if self.tell_failure is not None:
                await self.send_events(*self.tell_failure(error))
            else:
                await self.send_frames(error.body())
            await self.end_stream()
        elif error.status == 413:  # noqa: PLR2004 - Content Too Large
            await self._respond_and_linger(error)
        else:
            await self.respond_json(error.status, error.body(), error.headers)

    async def _respond_and_linger(self, error: ApiError) -> None:
        body = to_json(error.body())
        headers = [("content-length", str(len(body))), ("connection", "close"), *error.headers]
        await self._start(error.status, JSON, headers)
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        left = _LINGER_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                while left > 0 and not self._is_read:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    self._is_read = not message.get("more_body", False)
        await self.end_stream()

    async def start_stream(self, headers: Headers = ()) -> None:
        """Begins a response of server-sent events."""
        await self._start(
            200,
            "text/event-stream; charset=utf-8",
            # Proxies that collect a response before they pass it on would undo it.
            [("cache-control", "no-cache"), ("x-accel-buffering", "no"), *headers],
        )

    async def send_frames(self, *values: object, done: bool = False) -> None:
        """Sends server-sent events in one write; `done` adds the one that closes the stream."""
        frames = b"".join(b"data: " + to_json(value) + b"\n\n" for value in values)
        frames += b"data: [DONE]\n\n" if done else b""
        await self._send({"type": "http.response.body", "body": frames, "more_body": True})

    async def send_events(self, *values: Mapping[str, Any]) -> None:
        """Sends server-sent events that are named by their `type`, in one write."""
        if not values:
            return
        frames = b"".join(
            b"event: %b\ndata: %b\n\n" % (value["type"].encode(), to_json(value))
            for value in values
        )
        await self._send({"type": "http.response.body", "body": frames, "more_body": True})

    async def end_stream(self) -> None:
        """Ends a response of server-sent events."""
        await self._send({"type": "http.response.body", "body": b""})

    async def _send(self, *messages: MutableMapping[str, Any]) -> None:
        # Sending waits for a client that reads slowly; one that stopped reading would
        # hold its place among the requests at work for ever.
        try:
            async with asyncio.timeout(self._write_timeout_s):
                for message in messages:
                    await self._raw_send(message)
        except TimeoutError as error:
            self.is_gone = True
            raise ClientGoneError from error

    async def _start(self, status: int, media_type: str, headers: Headers) -> None:
        await self._send(self._head(status, media_type, headers))

    def _head(self, status: int, media_type: str, headers: Headers) -> MutableMapping[str, Any]:
        """Returns the message that begins the response."""
        self.status = status
        pairs = [
            ("content-type", media_type),
            ("x-request-id", self.request_id),
            ("openai-processing-ms", str(round(self.elapsed_ms()))),
            ("openai-version", _OPENAI_VERSION),
            *self.extra,
            *headers,
        ]
        return {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs],
        }


def to_json(value: object) -> bytes:
    """Returns compact JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _too_large(max_bytes: int) -> ApiError:
    return ApiError(
        413, "request_too_large", f"the request body must have at most {max_bytes} bytes"
    )
