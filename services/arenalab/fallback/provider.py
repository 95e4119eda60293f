"""One provider over HTTP: a request, and the chunks of its answer.

Whatever format it speaks, the connection, the bounds, the errors and the key are dealt
with here; an adapter only says what to send and what the answer says.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

import httpx

from arenalab.fallback.chunks import Chunk, MalformedError, ReportedError, presentable
from arenalab.fallback.config import ProviderConfig
from arenalab.fallback.refusals import ProviderError, Refusing, missing_key, untellable
from arenalab.fallback.sse import SseError, SseEvent, SseReader
from arenalab.fallback.wire.adapter import Adapter, StreamReader, UntellableError
from arenalab.mesh import MeshError

MAX_BODY_BYTES: Final = 4 * 1024 * 1024  # of an answer that is not a stream
MAX_ERROR_BYTES: Final = 64 * 1024
# How long the end of the body is waited for after the last event that matters: reading it
# keeps the connection for the next call.
_DRAIN_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a provider may take, in seconds."""

    connect_s: float
    first_byte_s: float
    idle_s: float


@asynccontextmanager
async def http_client(
    patience: Patience, max_connections: int
) -> AsyncGenerator[httpx.AsyncClient]:
    """Opens the connections that all providers share."""
    timeout = httpx.Timeout(patience.idle_s, connect=patience.connect_s, pool=patience.connect_s)
    limits = httpx.Limits(max_connections=max_connections, max_keepalive_connections=16)
    # A proxy of the environment is for the world, not for a model server on this host.
    direct = {f"all://{host}": None for host in ("127.0.0.1", "localhost", "[::1]")}
    # Callers share the connections, so nothing that one of them is given may be sent for
    # another: a cookie could tie both to one session.
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    async with httpx.AsyncClient(
        timeout=timeout, limits=limits, mounts=direct, cookies=no_cookies
    ) as client:
        yield client


class Provider:
    """Asks one endpoint; knows nothing of retries, breakers or other providers."""

    def __init__(
        self,
        config: ProviderConfig,
        client: httpx.AsyncClient,
        patience: Patience,
        adapter: Adapter,
    ) -> None:
        self.config = config
        self._client = client
        self._patience = patience
        self._adapter = adapter
        self._base_url = config.base_url.rstrip("/")

    async def chunks(
        self, body: Mapping[str, Any], callers_key: str | None = None
    ) -> AsyncGenerator[Chunk]:
        """Yields the completion, piece by piece; closing it ends the request.

        Args:
            body: Of a chat completion of the OpenAI API.
            callers_key: Replaces the configured key for this call, and is kept nowhere.

        Raises:
            ProviderError: The provider cannot be reached, failed, was too slow, or
                broke off; it lacks a key; or the request cannot be told to it.
            InvalidInputError: It refused the request.
            NotFoundError: It does not know the model.
        """
        refusing = Refusing(
            self.config.name, str(body["model"]), self._adapter, is_callers=bool(callers_key)
        )
        key = callers_key or self.config.api_key
        if key is None and self.config.needs_key:
            raise missing_key(self.config.name)
        redact = _Redacting(key, self.config.api_key)
        try:
            async with (
                self._opened(body, key) as response,
                aclosing(self._read(response, refusing, redact)) as chunks,
            ):
                async for chunk in chunks:
                    yield chunk
        except UntellableError as error:
            raise untellable(self.config.name, error) from error
        except httpx.HTTPError as error:
            raise self._transport_error(error) from error
        except (MalformedError, SseError) as error:
            raise self._error(f"its answer is malformed: {error}", "malformed") from error
        except ReportedError as error:
            said = presentable(redact(str(error)))
            raise self._error(said or "it reported an error", "error") from error

    @asynccontextmanager
    async def _opened(
        self, body: Mapping[str, Any], key: str | None
    ) -> AsyncGenerator[httpx.Response]:
        told = self._adapter.request(
            {name: value for name, value in body.items() if name not in self.config.drop}
        )
        headers = {
            "content-type": "application/json",
            "accept": "text/event-stream, application/json",
            "accept-encoding": "identity",  # compression holds tokens back
            "user-agent": "arenalab",
            **told.headers,
            **(self._adapter.key_headers(key) if key else {}),
        }
        # ASCII escapes, because a caller's JSON may hold half characters.
        content = json.dumps(told.body).encode()
        url = self._base_url + told.path
        async with self._client.stream("POST", url, content=content, headers=headers) as response:
            yield response

    async def first_and_rest(
        self, body: Mapping[str, Any], callers_key: str | None = None
    ) -> tuple[Chunk, AsyncGenerator[Chunk]]:
        """Returns the first chunk, and the ones after it, which the caller must close.

        Raises:
            ProviderError: Also when the first chunk does not come in time.
            MeshError: As `chunks`.
        """
        chunks = self.chunks(body, callers_key)
        try:
            async with asyncio.timeout(self._patience.first_byte_s) as timer:
                return await anext(chunks), chunks
        except BaseException as error:
            await chunks.aclose()
            if isinstance(error, TimeoutError) and timer.expired():
                raise self._error("it sent nothing in time", "timeout") from error
            if isinstance(error, StopAsyncIteration):
                raise self._error("its answer is empty", "malformed") from error
            raise

    async def _read(
        self, response: httpx.Response, refusing: Refusing, redact: "_Redacting"
    ) -> AsyncGenerator[Chunk]:
        if response.status_code != httpx.codes.OK:
            raise await _refusal(response, refusing, redact)
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":  # it does not stream
            data = (await _body(response, MAX_BODY_BYTES)).decode(errors="replace")
            for chunk in self._adapter.whole(data):
                yield chunk
            return
        if kind != "text/event-stream":
            raise MalformedError(f"it is {kind[:80] or 'of no type'}, not an event stream")
        reader = self._adapter.reader()
        async with aclosing(_arrivals(response)) as arrivals:
            async for events in arrivals:
                for found in _said(reader, events):
                    yield found
                if reader.is_done:
                    await _drain(arrivals)
                    return
        if not reader.may_end:
            raise self._error("its answer broke off", "broken")

    def _transport_error(self, error: httpx.HTTPError) -> ProviderError:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return self._error("it cannot be reached", "connect", retry_after_s=0.0)
        if isinstance(error, httpx.TimeoutException):
            return self._error("it sent nothing in time", "timeout")
        return self._error("the connection to it broke", "broken", retry_after_s=0.0)

    def _error(
        self, message: str, status: str, *, retry_after_s: float | None = None
    ) -> ProviderError:
        return ProviderError(
            message, name=self.config.name, status=status, retry_after_s=retry_after_s
        )


class _Redacting:
    """Takes keys out of what a provider says, before it is cut: half a key is still a secret."""

    def __init__(self, *keys: str | None) -> None:
        self._keys = [key for key in keys if key]

    def __call__(self, text: str) -> str:
        for key in self._keys:
            text = text.replace(key, "[key]")
        return text


async def _refusal(
    response: httpx.Response, refusing: Refusing, redact: _Redacting
) -> ProviderError | MeshError:
    try:
        body = await _body(response, MAX_ERROR_BYTES)
    except MalformedError:  # too long to be a message: the status alone must do
        body = b""
    return refusing.refusal(response.status_code, response.headers, body, redact)


async def _arrivals(response: httpx.Response) -> AsyncGenerator[Iterator[SseEvent]]:
    """Yields the events that arrived together."""
    reader = SseReader()
    async for piece in response.aiter_bytes():
        yield reader.feed(piece)
    yield reader.finish()


def _said(reader: StreamReader, events: Iterator[SseEvent]) -> Iterator[Chunk]:
    """Yields what events say that arrived together, in as few chunks as it takes.

    Every chunk goes through three services as a message of its own. What is here already
    is told at once, and nothing waits.
    """
    held: Chunk | None = None
    try:
        for event in events:
            found = reader.read(event)
            if held is not None and found is not None and not held.joins(found):
                yield held
                held = None
            if found is not None:
                held = found if held is None else held.joined(found)
            if reader.is_done:
                break
    except (MalformedError, ReportedError, SseError):
        if held is not None:  # it came before the event that is wrong
            yield held
        raise
    if held is not None:
        yield held


async def _drain(arrivals: AsyncIterator[Iterator[SseEvent]]) -> None:
    # The answer is whole: at worst the connection is lost.
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(_DRAIN_S):
            async for _ in arrivals:
                pass


async def _body(response: httpx.Response, limit: int) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > limit:
            raise MalformedError(f"it is larger than {limit} bytes")
    return bytes(body)
