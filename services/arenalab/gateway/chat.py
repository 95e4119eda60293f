"""POST /v1/chat/completions."""

from arenalab.gateway.annotations import of_chat
from arenalab.gateway.asking import Asking
from arenalab.gateway.completion import Chunks, answer_headers, completion
from arenalab.gateway.exchange import Exchange
from arenalab.gateway.extension import ROUTES, name_of
from arenalab.gateway.notices import warn_of_store, warn_of_unknown
from arenalab.gateway.openai import ChatRequest, parse_chat


class ChatEndpoint:
    """Tells the answer to a chat request, whole or as it comes."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    async def __call__(self, exchange: Exchange) -> None:
        body, strict = await self._asking.read(exchange)
        chat = parse_chat(body, strict=strict)
        warn_of_unknown(exchange, chat.unknown)
        warn_of_store(exchange, store=chat.passthrough.get("store"))
        await (self._tell_as_it_comes if chat.stream else self._tell_whole)(exchange, chat)

    async def _tell_whole(self, exchange: Exchange, chat: ChatRequest) -> None:
        async with self._asking.ask(exchange, chat) as asked:
            finished = await asked.whole()
            usage = (await asked.usage()).of_chat()
            annotations = [of_chat(citation) for citation in asked.citations()]
        body = completion(asked.answer, finished, usage, annotations)
        if chat.metadata is not None:
            body["metadata"] = dict(chat.metadata)
        await exchange.respond_json(200, body, answer_headers(finished, exchange.elapsed_ms()))

    async def _tell_as_it_comes(self, exchange: Exchange, chat: ChatRequest) -> None:
        async with self._asking.ask(exchange, chat) as asked:
            answer = asked.answer
            chunks = Chunks(answer, include_usage=chat.include_usage)
            await exchange.start_stream(
                [("x-arenalab-route", name_of(ROUTES, answer.started.route))]
            )
            await exchange.send_frames(chunks.first())
            async for piece in asked.pieces():
                await exchange.send_frames(chunks.piece(piece))
            frames = chunks.annotated([of_chat(citation) for citation in asked.citations()])
            frames.append(chunks.last(asked.finished))
            if chat.include_usage:
                frames.append(chunks.usage((await asked.usage()).of_chat()))
            await exchange.send_frames(*frames, done=True)
        await exchange.end_stream()
