"""One OpenAI-compatible provider over HTTP: a request, and the chunks of its answer."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import httpx

from arenalab.fallback.chunks import Chunk, MalformedError, ReportedError, read_chunk
from arenalab.fallback.config import ProviderConfig
from arenalab.fallback.refusals import ProviderError, refusal
from arenalab.fallback.sse import SseError, SseEvent, SseReader
from arenalab.mesh import MeshError

MAX_BODY_BYTES: Final = 4 * 1024 * 1024  # of an answer that is not a stream
MAX_ERROR_BYTES: Final = 64 * 1024
_DONE: Final = "[DONE]"
# How long the end of the body is waited for after [DONE]: reading it keeps the
# connection for the next call.
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
    async with httpx.AsyncClient(timeout=timeout, limits=limits, mounts=direct) as client:
        yield client


class Provider:
    """Asks one endpoint; knows nothing of retries, breakers or other providers."""

    def __init__(
        self, config: ProviderConfig, client: httpx.AsyncClient, patience: Patience
    ) -> None:
        self.config = config
        self._client = client
        self._patience = patience
        self._url = config.base_url.rstrip("/") + "/chat/completions"
        self._headers = {
            "content-type": "application/json",
            "accept": "text/event-stream, application/json",
            "accept-encoding": "identity",  # compression holds tokens back
            "user-agent": "arenalab",
        }
        if config.api_key:
            self._headers["authorization"] = f"Bearer {config.api_key}"

    async def chunks(self, body: Mapping[str, Any]) -> AsyncGenerator[Chunk]:
        """Yields the completion, piece by piece; closing it ends the request.

        Raises:
            ProviderError: The provider cannot be reached, failed, was too slow, or
                broke off.
            InvalidInputError: It refused the request.
            NotFoundError: It does not know the model.
        """
        try:
            # ASCII escapes, because a caller's JSON may hold half characters.
            content = json.dumps(body).encode()
            async with (
                self._client.stream(
                    "POST", self._url, content=content, headers=self._headers
                ) as response,
                aclosing(self._read(response, str(body["model"]))) as chunks,
            ):
                async for chunk in chunks:
                    yield chunk
        except httpx.HTTPError as error:
            raise self._transport_error(error) from error
        except (MalformedError, SseError) as error:
            raise self._error(f"its answer is malformed: {error}", "malformed") from error
        except ReportedError as error:
            raise self._error(str(error) or "it reported an error", "error") from error

    async def first_and_rest(self, body: Mapping[str, Any]) -> tuple[Chunk, AsyncGenerator[Chunk]]:
        """Returns the first chunk, and the ones after it, which the caller must close.

        Raises:
            ProviderError: Also when the first chunk does not come in time.
            MeshError: As `chunks`.
        """
        chunks = self.chunks(body)
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

    async def _read(self, response: httpx.Response, model: str) -> AsyncGenerator[Chunk]:
        if response.status_code != httpx.codes.OK:
            raise await self._refusal(response, model)
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":  # it does not stream
            yield self._chunk((await _body(response, MAX_BODY_BYTES)).decode(errors="replace"))
            return
        if kind != "text/event-stream":
            raise MalformedError(f"it is {kind[:80] or 'of no type'}, not an event stream")
        finished = False
        async with aclosing(_events(response)) as events:
            async for event in events:
                if event.data == _DONE:
                    await _drain(events)
                    return
                chunk = self._chunk(event.data)
                finished = finished or bool(chunk.finish_reason)
                yield chunk
        if not finished:
            raise self._error("its answer broke off", "broken")

    def _chunk(self, data: str) -> Chunk:
        # Before it is cut to length: half a key is still a secret.
        return read_chunk(self._redact(data) if '"error"' in data else data)

    async def _refusal(self, response: httpx.Response, model: str) -> ProviderError | MeshError:
        try:
            body = await _body(response, MAX_ERROR_BYTES)
        except MalformedError:  # too long to be a message: the status alone must do
            body = b""
        return refusal(
            response.status_code,
            response.headers,
            self._redact(body.decode(errors="replace")).encode(),
            name=self.config.name,
            model=model,
        )

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

    def _redact(self, text: str) -> str:
        key = self.config.api_key
        return text.replace(key, "[key]") if key else text


async def _events(response: httpx.Response) -> AsyncGenerator[SseEvent]:
    reader = SseReader()
    async for piece in response.aiter_bytes():
        for event in reader.feed(piece):
            yield event
    for event in reader.finish():
        yield event


async def _drain(events: AsyncIterator[SseEvent]) -> None:
    # The answer is whole: at worst the connection is lost.
    with suppress(TimeoutError, httpx.HTTPError, SseError):
        async with asyncio.timeout(_DRAIN_S):
            async for _ in events:
                pass


async def _body(response: httpx.Response, limit: int) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > limit:
            raise MalformedError(f"it is larger than {limit} bytes")
    return bytes(body)
