"""How a completion is got: whom to ask, the answer that begins, and the events of it.

After the first token, text has been delivered, and trouble ends the call.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from typing import Final

from arenalab.fallback.attempt import Watch
from arenalab.fallback.bill import Estimate, prompt_tokens, sum_of
from arenalab.fallback.chunks import Chunk, Usage
from arenalab.fallback.citations import citations_of
from arenalab.fallback.endpoint import Endpoint
from arenalab.fallback.events import Delta, Event, Finished, Started
from arenalab.fallback.evidence import Source
from arenalab.fallback.opening import Asked, Opened, Opening, Retrying
from arenalab.fallback.options import Option, asked_for, options_of, sorted_options
from arenalab.fallback.order import Order
from arenalab.fallback.price_file import PriceFile
from arenalab.fallback.prompt import Message, is_formed, with_evidence
from arenalab.fallback.purse import Purse
from arenalab.fallback.refusals import ProviderError
from arenalab.fallback.routing import Strategy
from arenalab.mesh import BudgetSpentError, NotReadyError, Reason
from arenalab.pieces import TextJoiner

# Of one completion. No model writes so much; an endless stream must end somewhere.
MAX_COMPLETION_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one completion and all of them together may take."""

    max_concurrent: int
    total_s: float
    max_evidence_tokens: int
    expected_output_tokens: int  # of a call that does not say how many


@dataclass(frozen=True, slots=True)
class Means:
    """What a completion is got with."""

    prices: PriceFile
    purse: Purse
    watch: Watch
    rng: random.Random
    nonce: Callable[[], str]  # drawn anew for each prompt with evidence
    tokens_of: Callable[[str], int]  # counts the tokens of a text


class Completing:
    """Gets completions from the first endpoint that gives one."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        routing: Strategy,
        bounds: Bounds,
        retrying: Retrying,
        means: Means,
    ) -> None:
        self.endpoints = endpoints
        self.means = means
        self._routing = routing
        self._bounds = bounds
        self._retrying = retrying
        self._running = 0

    async def complete(self, order: Order) -> AsyncGenerator[Event]:
        """Yields one start, the deltas, one end. Closing it ends the provider's work.

        Raises:
            MeshError: As documented at FallbackService.Complete.
        """
        chosen = asked_for(order, self.endpoints)
        with self._admitted():
            ends_at_s = asyncio.get_running_loop().time() + self._bounds.total_s
            messages, sources = await self._prompt(order)
            prompt_size = prompt_tokens(messages, order.passthrough)
            opening = Opening(
                self._options(order, chosen, prompt_size),
                Asked(order, messages, prompt_size),
                retrying=self._retrying,
                purse=self.means.purse,
                watch=self.means.watch,
                rng=self.means.rng,
            )
            opened = await self._open(opening, ends_at_s)
            answer = _Answer(order, opened, opening, sources)
            async with (
                aclosing(opened.rest),
                aclosing(self._chunks(opened, ends_at_s)) as chunks,
                aclosing(_events(answer, chunks)) as events,
            ):
                async for event in events:
                    yield event

    async def _prompt(self, order: Order) -> tuple[list[Message], list[Source]]:
        if not order.evidence:
            return list(order.messages), []
        # In a thread: the first count reads a vocabulary, which takes half a second.
        return await asyncio.to_thread(
            with_evidence,
            order.messages,
            order.evidence,
            self._bounds.max_evidence_tokens,
            self.means.tokens_of,
            nonce=self.means.nonce(),
            fields=order.passthrough,
        )

    def _options(
        self, order: Order, chosen: Sequence[Endpoint], prompt_size: int
    ) -> Sequence[Option]:
        wanted = order.sampling.get("max_tokens", self._bounds.expected_output_tokens)
        table = self.means.prices.table()
        options = options_of(order, chosen, table, Estimate(prompt_size, wanted))
        strategy = order.routing or self._routing
        return sorted_options(options, strategy, self.means.watch.latencies, self.means.rng)

    async def _open(self, opening: Opening, ends_at_s: float) -> Opened:
        try:
            async with asyncio.timeout_at(ends_at_s) as timer:
                return await opening.open()
        except TimeoutError as error:
            if not timer.expired():
                raise
            raise NotReadyError(
                f"no provider has begun to answer within {self._bounds.total_s:g} s",
                Reason.PROVIDER_FAILED,
                status="timeout",
            ) from error

    async def _chunks(self, opened: Opened, ends_at_s: float) -> AsyncGenerator[Chunk]:
        """Yields the chunks of an answer, until its time is over."""
        for chunk in opened.head:
            yield chunk
        while True:
            try:
                async with asyncio.timeout_at(ends_at_s) as timer:
                    chunk = await anext(opened.rest)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                if not timer.expired():
                    raise
                raise ProviderError(
                    f"its answer takes longer than {self._bounds.total_s:g} s",
                    name=opened.attempt.name,
                    status="timeout",
                    is_at_fault=False,  # it has much to say
                ) from error
            yield chunk

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        if self._running >= self._bounds.max_concurrent:
            raise BudgetSpentError(
                f"{self._running} completions are running, which is the limit", queue="completions"
            )
        self._running += 1
        watch = self.means.watch
        started_s = watch.now()
        try:
            yield
        finally:
            self._running -= 1
            watch.telemetry.metrics.part_duration.labels("fallback").observe(
                watch.now() - started_s
            )


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer that has begun."""

    order: Order
    opened: Opened
    opening: Opening
    sources: Sequence[Source]

    def finished(self, finish_reason: str, usage: Usage, text: str) -> Finished:
        numbered: Mapping[int, Sequence[str]] = {s.number: s.span_ids for s in self.sources}
        cited = citations_of(text, numbered, is_formed=is_formed(self.order.passthrough))
        return Finished(
            finish_reason or "stop",
            usage.prompt_tokens,
            usage.completion_tokens,
            cited.span_ids,
            usage.cached_prompt_tokens,
            usage.reasoning_tokens,
            grounding=cited.grounding,
        )


async def _events(answer: _Answer, chunks: AsyncGenerator[Chunk]) -> AsyncGenerator[Event]:
    opened = answer.opened
    attempt = opened.attempt
    said: list[str] = []
    joiner, refusing = TextJoiner(), TextJoiner()
    usage = Usage()
    finish_reason = ""
    model = next((chunk.model for chunk in opened.head if chunk.model), attempt.model)
    completion_id = opened.head[0].completion_id
    with attempt:
        try:
            yield Started(attempt.name, model, opened.attempts, opened.is_hedged)
            size = 0
            async for chunk in chunks:
                text, refusal = joiner.feed(chunk.text), refusing.feed(chunk.refusal)
                size += len((text + refusal + chunk.tool_calls_json).encode(errors="replace"))
                usage = usage.with_counts_of(chunk)
                attempt.bill.counted(usage, size)
                if size > MAX_COMPLETION_BYTES:
                    raise attempt.error("its answer does not end", "endless")
                if text or refusal or chunk.tool_calls_json:
                    said.append(text)
                    yield Delta(text, chunk.tool_calls_json, refusal)
                finish_reason = chunk.finish_reason or finish_reason
            text, refusal = joiner.finish(), refusing.finish()
            if text or refusal:
                said.append(text)
                yield Delta(text, "", refusal)
        except ProviderError as error:
            attempt.failed(error.status, is_at_fault=error.is_at_fault)
            raise error.as_mesh_error() from error
        finished = answer.finished(finish_reason, usage, "".join(said))
        attempt.succeeded(completion_id, model, finished)
    yield replace(finished, cost_usd_micros=sum_of(answer.opening.costs()))
