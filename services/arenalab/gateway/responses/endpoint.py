"""The endpoint: a Responses request is asked as the chat request that it stands for."""

from arenalab.gateway.asking import Asking
from arenalab.gateway.completion import answer_headers
from arenalab.gateway.errors import ApiError, api_error
from arenalab.gateway.exchange import Exchange
from arenalab.gateway.extension import ROUTES, name_of
from arenalab.gateway.notices import warn_of_ignored_fields, warn_of_store, warn_of_unknown
from arenalab.gateway.openai import ChatRequest
from arenalab.gateway.responses.events import Events
from arenalab.gateway.responses.history import Histories
from arenalab.gateway.responses.request import (
    ResponsesRequest,
    chat_of,
    own_param,
    parse_responses,
)
from arenalab.gateway.responses.response import response
from arenalab.mesh import MeshError


class ResponsesEndpoint:
    """Tells the answer as a response, whole or as it comes."""

    def __init__(self, asking: Asking, histories: Histories) -> None:
        self._asking = asking
        self._histories = histories

    async def __call__(self, exchange: Exchange) -> None:
        body, strict = await self._asking.read(exchange)
        request = parse_responses(body, strict=strict)
        warn_of_unknown(exchange, request.unknown)
        warn_of_ignored_fields(exchange, request.ignored)
        warn_of_store(exchange, store=request.store)
        # Checked before the ledger is asked, so that what is wrong is told at once.
        user = chat_of(request, (), "").user
        tenant = exchange.principal.tenant
        history = await self._histories.read(request.previous, tenant, user)
        chat = chat_of(request, history.messages, history.user)
        try:
            await (self._tell_as_it_comes if request.stream else self._tell_whole)(
                exchange, request, chat
            )
        except (ApiError, MeshError) as error:
            told = error if isinstance(error, ApiError) else api_error(error)
            told.param = own_param(told.param)
            raise told from error

    async def _tell_whole(
        self, exchange: Exchange, request: ResponsesRequest, chat: ChatRequest
    ) -> None:
        async with self._asking.ask(exchange, chat) as asked:
            finished = await asked.whole()
            usage = await asked.usage()
            body = response(asked.answer, request.echo, usage, asked.citations())
        await exchange.respond_json(200, body, answer_headers(finished, exchange.elapsed_ms()))

    async def _tell_as_it_comes(
        self, exchange: Exchange, request: ResponsesRequest, chat: ChatRequest
    ) -> None:
        async with self._asking.ask(exchange, chat) as asked:
            events = Events(asked.answer, request.echo)
            exchange.tell_failure = events.fail
            route = name_of(ROUTES, asked.answer.started.route)
            await exchange.start_stream([("x-arenalab-route", route)])
            await exchange.send_events(*events.begin())
            async for piece in asked.pieces():
                await exchange.send_events(*events.piece(piece))
            citations = asked.citations()
            await exchange.send_events(*events.end(await asked.usage(), citations))
        await exchange.end_stream()
