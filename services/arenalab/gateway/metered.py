"""One question to the ensemble under the limits of its key: held before, settled after."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Final

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.gateway.account import Hold, KeyAccount
from arenalab.gateway.openai import ChatRequest
from arenalab.gateway.usage import asked_text
from arenalab.mesh import MeshError
from arenalab.tokens import Tokens

Events = AsyncGenerator[pb.AnswerResponse]

# Beyond this much text, counting tokens takes milliseconds: not on the event loop.
_COUNT_INLINE_CHARS: Final = 20_000
_OF_PROVIDERS: Final = (pb.ROUTE_FALLBACK, pb.ROUTE_PROVIDER)


@asynccontextmanager
async def metered(
    account: KeyAccount, chat: ChatRequest, request: pb.AnswerRequest, tokens: Tokens
) -> AsyncGenerator[Callable[[Events], Events]]:
    """Holds what an answer may use, for the length of the block.

    Args:
        account: Of the key that asks.
        chat: What is asked.
        request: The same for the ensemble; gets what is left of a budget.
        tokens: Counts.

    Yields:
        What the ensemble's events are to be passed through: it sees what they used.

    Raises:
        ApiError: 403, 429 or 503; nothing was asked.
    """
    account.check_model(chat.model)
    prompt = 0
    if account.counts_tokens:
        prompt = await _count(tokens, asked_text(chat))
    limit = account.tokens_of(prompt, chat.sampling.max_tokens)
    async with account.hold(limit) as hold:
        if hold.max_cost_usd_micros:
            # Nobody may raise what is left; the request itself may lower it.
            own = request.max_cost_usd_micros or hold.max_cost_usd_micros
            request.max_cost_usd_micros = min(own, hold.max_cost_usd_micros)
        yield lambda events: _watched(events, hold, prompt, tokens)


async def _watched(events: Events, hold: Hold, prompt: int, tokens: Tokens) -> Events:
    said: list[str] = []
    # Until it is known who answers, a provider may be at work, and will be paid even if
    # the client goes away now.
    hold.used(tokens=prompt, usd_micros=None)
    is_started = is_finished = False
    try:
        async with aclosing(events):
            async for event in events:
                if event.HasField("started"):
                    is_started = True
                    is_paid = event.started.route in _OF_PROVIDERS
                    hold.used(tokens=prompt, usd_micros=None if is_paid else 0)
                elif event.HasField("delta"):
                    delta = event.delta
                    said.append(delta.text + delta.refusal + delta.tool_calls_json)
                elif event.HasField("finished"):
                    is_finished = True
                    await _finish(hold, event.finished, prompt, "".join(said), tokens)
                yield event
    except MeshError:
        if not is_started:
            hold.used(tokens=0, usd_micros=0)
        raise
    finally:
        if said and not is_finished and hold.counts_tokens:
            hold.tokens = prompt + _count_start(tokens, "".join(said))


async def _finish(
    hold: Hold, finished: pb.AnswerFinished, prompt: int, said: str, tokens: Tokens
) -> None:
    if finished.HasField("usage"):
        used = finished.usage.prompt_tokens + finished.usage.completion_tokens
    else:
        used = prompt + (await _count(tokens, said) if hold.counts_tokens else 0)
    is_known = finished.HasField("cost_usd_micros")
    is_paid = finished.route in _OF_PROVIDERS or bool(finished.provider)
    cost = finished.cost_usd_micros if is_known else None if is_paid else 0
    hold.used(tokens=used, usd_micros=cost)


async def _count(tokens: Tokens, text: str) -> int:
    if len(text) > _COUNT_INLINE_CHARS:
        return await asyncio.to_thread(tokens.count, text)
    return tokens.count(text)


def _count_start(tokens: Tokens, text: str) -> int:
    # An answer that was cut off is counted while its task ends, which must not take long:
    # of a long text the start is counted, and the rest in proportion.
    start = text[:_COUNT_INLINE_CHARS]
    return -(-tokens.count(start) * len(text) // len(start)) if start else 0
