"""One question to the ensemble, and its answer as it comes: what chat and responses share."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.gateway.annotations import Annotator
from arenalab.gateway.body import parse_object
from arenalab.gateway.completion import Answer
from arenalab.gateway.errors import ApiError
from arenalab.gateway.exchange import Exchange
from arenalab.gateway.metered import metered
from arenalab.gateway.notices import warn_of_ignored
from arenalab.gateway.openai import ChatRequest
from arenalab.gateway.translate import answer_request
from arenalab.gateway.usage import Usage, asked_text, reported, said_text
from arenalab.mesh import MeshError
from arenalab.tokens import Tokens

if TYPE_CHECKING:
    from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as pb_grpc

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


class Asking:
    """Asks the ensemble, and accounts for what it said."""

    def __init__(
        self,
        ensemble: "pb_grpc.EnsembleServiceAsyncStub",
        tokens: Tokens,
        limits: ChatLimits,
        annotator: Annotator,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._ensemble = ensemble
        self._tokens = tokens
        self._limits = limits
        self._annotator = annotator
        self._wall_clock = wall_clock

    async def read(self, exchange: Exchange) -> tuple[Mapping[str, Any], bool]:
        """Returns the body of a request, and whether its unknown fields are errors.

        Raises:
            ApiError: 400, 408 or 413.
        """
        limits = self._limits
        body = await exchange.read_json_bytes(limits.max_body_bytes, limits.body_timeout_s)
        warn_of_ignored(exchange)
        return parse_object(body), exchange.is_strict

    @asynccontextmanager
    async def ask(self, exchange: Exchange, chat: ChatRequest) -> AsyncGenerator["Asked"]:
        """Asks for the length of the block, which ends when the client goes away.

        The key's limits are held before anything is asked, and settled with what was
        delivered when the block ends, however it ends.

        Yields:
            The answer, once its route is known. Errors before that still have a status.
        """
        request = answer_request(
            chat, exchange.principal.tenant, exchange.request_id, exchange.credentials
        )
        async with metered(exchange.account, chat, request, self._tokens) as watched:
            stream = self._ensemble.Answer(request, timeout=self._limits.answer_timeout_s)
            # The mesh's streams iterate as async generators: closing one ends the call.
            told = watched(cast("AsyncGenerator[pb.AnswerResponse]", aiter(stream)))
            async with aclosing(told) as events, exchange.while_connected():
                answer, rest = await self._open(chat, events)
                asked = Asked(chat, answer, rest, self._tokens, self._annotator)
                asked.keep_alive_s = self._limits.keep_alive_s
                yield asked

    async def _open(self, chat: ChatRequest, events: _Events) -> tuple[Answer, _Events]:
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


class Asked:
    """An answer on its way."""

    keep_alive_s: float = 15.0

    def __init__(
        self,
        chat: ChatRequest,
        answer: Answer,
        events: _Events,
        tokens: Tokens,
        annotator: Annotator,
    ) -> None:
        self.answer = answer
        self._chat = chat
        self._events = events
        self._tokens = tokens
        self._annotator = annotator

    async def whole(self) -> pb.AnswerFinished:
        """Takes all of the answer.

        Raises:
            MeshError: The stream broke.
        """
        async for event in self._events:
            _take(self.answer, event)
        return self.finished

    async def pieces(self) -> AsyncGenerator[dict[str, Any]]:
        """Yields what comes, as deltas of a chat chunk; {} after each silence.

        Raises:
            MeshError: The stream broke.
        """
        async with aclosing(with_silences(self._events, self.keep_alive_s)) as told:
            async for event in told:
                piece = _take(self.answer, event)
                if piece or event is _SILENCE:
                    yield piece

    @property
    def finished(self) -> pb.AnswerFinished:
        """What closed the stream.

        Raises:
            MeshError: Nothing did.
        """
        if self.answer.finished is None:
            raise MeshError("the ensemble's stream does not end with AnswerFinished")
        return self.answer.finished

    def citations(self) -> list[dict[str, Any]]:
        """Returns the citations of the whole answer."""
        return self._annotator.citations(self.answer.text, self.finished)

    async def usage(self) -> Usage:
        """Returns the tokens so far, counted the same for a stream and a whole answer."""
        finished = self.answer.finished
        if finished is not None and finished.HasField("usage"):
            return reported(finished.usage)
        asked, said = asked_text(self._chat), said_text(self.answer)
        if len(asked) + len(said) > _COUNT_INLINE_CHARS:
            return await asyncio.to_thread(self._count, asked, said)
        return self._count(asked, said)

    def _count(self, asked: str, said: str) -> Usage:
        return Usage(self._tokens.count(asked), self._tokens.count(said))


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
