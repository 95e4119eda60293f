"""A Fallback whose providers are real HTTP servers that behave as each test says."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from arenalab.api.common.v1 import message_pb2
from arenalab.api.fallback.v1 import fallback_service_pb2 as pb
from arenalab.api.fallback.v1 import fallback_service_pb2_grpc as pb_grpc
from arenalab.fallback.config import FallbackConfig, ProviderConfig
from arenalab.fallback.terms import ProviderTerms
from arenalab.fallback.wiring import running_fallback
from arenalab.mesh import Telemetry, connect

KEY = "sk-do-not-show"


@dataclass
class Exchange:
    """One request that the provider got, and the connection to answer it on."""

    path: str
    headers: dict[str, str]
    body: Any
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    left: asyncio.Event  # set once the client has closed the connection

    async def send(self, *pieces: str | bytes) -> None:
        for piece in pieces:
            self.writer.write(piece.encode() if isinstance(piece, str) else piece)
            await self.writer.drain()

    async def answer(self, status: int, body: Any, *headers: str) -> None:
        content = json.dumps(body)
        lines = [f"HTTP/1.1 {status} -", "content-type: application/json", *headers]
        lines += [f"content-length: {len(content)}", "connection: close", "", content]
        await self.send("\r\n".join(lines))

    async def stream(self, *pieces: str | bytes) -> None:
        """Begins an event stream; the end of the connection is its end."""
        await self.send(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
            *pieces,
        )

    async def stream_and_keep(self, data: bytes, *headers: str) -> None:
        """Sends a whole event stream, after which the connection serves on."""
        lines = ["HTTP/1.1 200 OK", "content-type: text/event-stream", *headers]
        lines += [f"content-length: {len(data)}", "", ""]
        await self.send("\r\n".join(lines), data)


Play = Callable[[Exchange], Awaitable[None]]


@dataclass
class Provider:
    """An HTTP server on a free port: a play for each request, and the last one for all others."""

    plays: Sequence[Play]
    settings: dict[str, Any] = field(default_factory=dict)  # of its ProviderConfig
    keeps_alive: bool = False  # a play says how long its answer is, and the next one follows
    base_url: str = ""
    connections: int = 0
    got: list[Exchange] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Provider"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._answer(reader, writer)
            while self.keeps_alive:
                await self._answer(reader, writer)
        except asyncio.IncompleteReadError:
            pass  # the client has closed the connection
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        assert method == "POST"
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        exchange = Exchange(path, headers, body, reader, writer, self.left)
        self.got.append(exchange)
        self.asked.set()
        await self.plays[min(len(self.got), len(self.plays)) - 1](exchange)


def frame(**chunk: Any) -> str:
    return f"data: {json.dumps({'id': 'c1', 'model': 'real-name', **chunk})}\n\n"


def delta(text: str, **more: Any) -> str:
    return frame(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": None, **more}])


HELLO = (
    frame(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}}]),
    ": keep-alive\n\n",
    delta("See [2]"),
    delta(" and [1]."),
    frame(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]),
    frame(choices=[], usage={"prompt_tokens": 7, "completion_tokens": 5}),
    "data: [DONE]\n\n",
)


async def hello(exchange: Exchange) -> None:
    await exchange.stream(*HELLO)


async def drop(exchange: Exchange) -> None:
    exchange.writer.transport.abort()


def status(code: int, message: str = "why", *headers: str) -> Play:
    async def play(exchange: Exchange) -> None:
        await exchange.answer(code, {"error": {"message": message}}, *headers)

    return play


def stream(*pieces: str | bytes) -> Play:
    async def play(exchange: Exchange) -> None:
        await exchange.stream(*pieces)

    return play


def hanging(*pieces: str) -> Play:
    """Streams the pieces, if any, then nothing, until the client leaves."""

    async def play(exchange: Exchange) -> None:
        if pieces:
            await exchange.stream(*pieces)
        assert await exchange.reader.read() == b""
        exchange.left.set()

    return play


@dataclass
class Case:
    """A running Fallback, its stub and what it left behind."""

    stub: "pb_grpc.FallbackServiceAsyncStub"
    telemetry: Telemetry
    spans: InMemorySpanExporter

    async def complete(self, timeout_s: float = 20, **fields: Any) -> list[pb.CompleteResponse]:
        fields.setdefault("messages", [user("Which port?")])
        request = pb.CompleteRequest(**fields)
        return [event async for event in self.stub.Complete(request, timeout=timeout_s)]

    def calls(self, provider: str, outcome: str) -> float:
        labels = {"provider": provider, "outcome": outcome}
        registry = self.telemetry.metrics.registry
        return registry.get_sample_value("arenalab_provider_calls_total", labels) or 0.0

    def sample(self, name: str, **labels: str) -> float:
        registry = self.telemetry.metrics.registry
        return registry.get_sample_value(name, labels) or 0.0

    async def listed(self) -> dict[str, pb.Provider]:
        response = await self.stub.ListProviders(pb.ListProvidersRequest())
        return {provider.name: provider for provider in response.providers}

    async def idle(self) -> None:
        """Waits until no completion is running: what was cut off is settled then."""
        while any(provider.running for provider in (await self.listed()).values()):
            pass  # each look at it lets the others go on

    def chats(self) -> list[ReadableSpan]:
        return [s for s in self.spans.get_finished_spans() if s.name.startswith("chat ")]


def user(text: str) -> message_pb2.Message:
    return message_pb2.Message(role=message_pb2.ROLE_USER, content=text)


def text_of(events: Sequence[pb.CompleteResponse]) -> str:
    return "".join(event.delta.text for event in events)


@asynccontextmanager
async def fallback(
    *providers: Provider, terms: Mapping[str, ProviderTerms] | None = None, **settings: Any
) -> AsyncIterator[Case]:
    """Runs the providers "a", "b" … and a Fallback that asks them in this order.

    `terms` are those of the providers, by name.
    """
    async with AsyncExitStack() as stack:
        for provider in providers:
            await stack.enter_async_context(provider.running())
        configs = tuple(
            ProviderConfig(
                **{"name": name, "default_model": "small", "api_key": KEY} | p.settings,
                base_url=p.base_url,
                terms=(terms or {}).get(name, ProviderTerms()),
            )
            for name, p in zip("abc", providers, strict=False)
        )
        telemetry = Telemetry("fallback")
        tracing, spans = TracerProvider(), InMemorySpanExporter()
        tracing.add_span_processor(SimpleSpanProcessor(spans))
        telemetry.tracer = tracing.get_tracer("test")
        stack.callback(tracing.shutdown)
        config = FallbackConfig(
            address="127.0.0.1:0", providers=configs, **{"retry_pause_s": 0, **settings}
        )
        port = await stack.enter_async_context(running_fallback(config, telemetry))
        channel = await stack.enter_async_context(connect(f"127.0.0.1:{port}", Telemetry("test")))
        yield Case(pb_grpc.FallbackServiceStub(channel), telemetry, spans)
