"""POST /v1/chat/completions."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.gateway.body import parse_object
from arenalab.gateway.completion import Answer, Chunks, answer_headers, completion
from arenalab.gateway.errors import ApiError
from arenalab.gateway.exchange import Exchange
from arenalab.gateway.extension import ROUTES, name_of
from arenalab.gateway.metered import metered
from arenalab.gateway.openai import ChatRequest, parse_chat
from arenalab.gateway.translate import answer_request
from arenalab.mesh import MeshError
from arenalab.tokens import Tokens

if TYPE_CHECKING:
    from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as pb_grpc

_MAX_WARNINGS: Final = 8
# Beyond this much text, counting tokens takes milliseconds: not on the event loop.
_COUNT_INLINE_CHARS: Final = 20_000
# Stands for a silence in the stream; the ensemble never sends an empty event.
_SILENCE: Final = pb.AnswerResponse()

_Events = AsyncIterator[pb.AnswerResponse]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatLimits:
    """Bounds of one request."""

    max_body_bytes: int
    body_timeout_s: float
    answer_timeout_s: float
    keep_alive_s: float


class ChatEndpoint:
    """Asks the ensemble, and tells the answer whole or as it comes."""

    def __init__(
        self,
        ensemble: "pb_grpc.EnsembleServiceAsyncStub",
        tokens: Tokens,
        limits: ChatLimits,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._ensemble = ensemble
        self._tokens = tokens
        self._limits = limits
        self._wall_clock = wall_clock

    async def __call__(self, exchange: Exchange) -> None:
        limits = self._limits
        body = await exchange.read_json_bytes(limits.max_body_bytes, limits.body_timeout_s)
        strict = exchange.headers.get("x-arenalab-strict", "").lower() in ("1", "true")
        chat = parse_chat(parse_object(body), strict=strict)
        exchange.extra += _warnings(chat.unknown)
        request = answer_request(
            chat, exchange.principal.tenant, exchange.request_id, exchange.credentials
        )
        async with metered(exchange.account, chat, request, self._tokens) as watched:
            stream = self._ensemble.Answer(request, timeout=limits.answer_timeout_s)
            # The mesh's streams iterate as async generators: closing one ends the call.
            told = watched(cast("AsyncGenerator[pb.AnswerResponse]", aiter(stream)))
            async with aclosing(told) as events:
                tell = self._tell_as_it_comes if chat.stream else self._tell_whole
                await tell(exchange, chat, events)

    async def _tell_whole(self, exchange: Exchange, chat: ChatRequest, events: _Events) -> None:
        async with exchange.while_connected():
            answer, rest = await self._open(chat, events)
            async for event in rest:
                _take(answer, event)
            finished = _finished(answer)
            usage = await self._usage(chat, answer, finished)
        body = completion(answer, finished, usage)
        if chat.metadata is not None:
            body["metadata"] = dict(chat.metadata)
        await exchange.respond_json(200, body, answer_headers(finished, exchange.elapsed_ms()))

    async def _tell_as_it_comes(
        self, exchange: Exchange, chat: ChatRequest, events: _Events
    ) -> None:
        async with exchange.while_connected():
            answer, rest = await self._open(chat, events)
            chunks = Chunks(answer, include_usage=chat.include_usage)
            await exchange.start_stream(
                [("x-arenalab-route", name_of(ROUTES, answer.started.route))]
            )
            await exchange.send_frames(chunks.first())
            async with aclosing(with_silences(rest, self._limits.keep_alive_s)) as told:
                async for event in told:
                    piece = _take(answer, event)
                    if piece or event is _SILENCE:
                        await exchange.send_frames(chunks.piece(piece))
            finished = _finished(answer)
            frames = [chunks.last(finished)]
            if chat.include_usage:
                frames.append(chunks.usage(await self._usage(chat, answer, finished)))
            await exchange.send_frames(*frames, done=True)
        await exchange.end_stream()

    async def _open(self, chat: ChatRequest, events: _Events) -> tuple[Answer, _Events]:
        """Waits until the route is known: errors before that still have a status."""
        first = await anext(events, None)
        if first is None or not first.HasField("started"):
            raise MeshError("the ensemble's stream does not begin with AnswerStarted")
        answer = Answer(
            created=int(self._wall_clock()),
            started=first.started,
            # Who forces a format reads prose as a refusal only.
            as_refusal=chat.policy.refusal or chat.response_format != "text",
        )
        if chat.response_format == "text" or first.started.route != pb.ROUTE_ABSTAIN:
            return answer, events
        rest = [event async for event in events]
        _check_format(chat, rest)
        return answer, _replay(rest)

    async def _usage(
        self, chat: ChatRequest, answer: Answer, finished: pb.AnswerFinished
    ) -> dict[str, Any]:
        if finished.HasField("usage"):
            usage = finished.usage
            return _usage_object(usage.prompt_tokens, usage.completion_tokens)
        prompt = "\n".join(message.content for message in chat.messages)
        said = answer.text
        if len(prompt) + len(said) > _COUNT_INLINE_CHARS:
            asked_tokens = await asyncio.to_thread(self._tokens.count, prompt)
            said_tokens = await asyncio.to_thread(self._tokens.count, said)
        else:
            asked_tokens, said_tokens = self._tokens.count(prompt), self._tokens.count(said)
        return _usage_object(asked_tokens, said_tokens)


async def _replay(events: Sequence[pb.AnswerResponse]) -> _Events:
    for event in events:
        yield event


def _take(answer: Answer, event: pb.AnswerResponse) -> dict[str, Any]:
    """Adds an event to the answer; returns it as a chunk's delta."""
    if event.HasField("delta"):
        return answer.take(event.delta)
    if event.HasField("finished"):
        answer.finished = event.finished
    return {}


def _finished(answer: Answer) -> pb.AnswerFinished:
    if answer.finished is None:
        raise MeshError("the ensemble's stream does not end with AnswerFinished")
    return answer.finished


def _check_format(chat: ChatRequest, events: Sequence[pb.AnswerResponse]) -> None:
    """Refuses to tell a client that forces a format that there is no answer, in prose.

    Raises:
        ApiError: 400; nobody could honour the format. The words up to the colon are
            those by which clients recognise the case.
    """
    abstention = events[-1].finished.abstention if events else answer_pb2.Abstention()
    if abstention.reason == answer_pb2.ABSTAIN_REASON_UNSUPPORTED_REQUEST:
        raise ApiError(
            400,
            "unsupported_value",
            f"'response_format' of type '{chat.response_format}' is not supported with this "
            f"model: {abstention.explanation}",
            param="response_format",
        )


async def with_silences(events: _Events, after_s: float) -> AsyncGenerator[pb.AnswerResponse]:
    """Yields the events, and an empty one whenever none came for `after_s` seconds.

    Clients give up on a stream that is silent for long, and a provider may think
    for longer than that.
    """
    pending: asyncio.Task[pb.AnswerResponse | None] | None = None
    try:
        while True:
            pending = asyncio.create_task(_next(events))
            while not (await asyncio.wait({pending}, timeout=after_s))[0]:
                yield _SILENCE
            event = pending.result()
            if event is None:
                return
            yield event
    finally:
        if pending is not None and not pending.done():
            pending.cancel()
            await asyncio.wait({pending})


async def _next(events: _Events) -> pb.AnswerResponse | None:
    return await anext(events, None)


def _usage_object(prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def _warnings(unknown: Sequence[str]) -> list[tuple[str, str]]:
    # As JSON, so that no name can break out of the header.
    return [
        ("x-arenalab-warning", f"unknown field {json.dumps(name[:80])} ignored")
        for name in unknown[:_MAX_WARNINGS]
    ]
