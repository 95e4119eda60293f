"""How a completion is got: providers in order, one retry each, breakers, a bound on all.

Before the first piece of an answer, trouble is this module's: it asks again, or asks
the next provider. After it, text has been delivered, and trouble ends the call.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Final

from arenalab.fallback.attempt import Attempt
from arenalab.fallback.breaker import Breaker
from arenalab.fallback.chunks import Chunk, TextJoiner, Usage
from arenalab.fallback.citations import cited_span_ids
from arenalab.fallback.events import Delta, Event, Finished, Started
from arenalab.fallback.order import Order, body_of
from arenalab.fallback.prompt import Message, with_evidence
from arenalab.fallback.provider import Provider
from arenalab.fallback.refusals import ProviderError
from arenalab.fallback.retries import RetryBudget
from arenalab.mesh import (
    BudgetSpentError,
    MeshError,
    NotFoundError,
    NotReadyError,
    PreconditionError,
    Reason,
    Telemetry,
    deadline,
)

# Of one completion. No model writes so much; an endless stream must end somewhere.
MAX_COMPLETION_CHARS: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A provider with what is remembered of it between calls."""

    provider: Provider
    breaker: Breaker
    retries: RetryBudget

    @property
    def name(self) -> str:
        return self.provider.config.name


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one completion and all of them together may take."""

    max_concurrent: int
    retry_pause_s: float
    max_evidence_chars: int


@dataclass(frozen=True, slots=True)
class _Opened:
    """A provider that has begun to answer."""

    attempt: Attempt
    first: Chunk
    rest: AsyncGenerator[Chunk]
    attempts: int


class Completing:
    """Gets completions from the first endpoint that gives one."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        bounds: Bounds,
        observed: Telemetry,
        now: Callable[[], float],
    ) -> None:
        self.endpoints = endpoints
        self._bounds = bounds
        self._telemetry = observed
        self._now = now
        self._running = 0

    async def complete(self, order: Order) -> AsyncGenerator[Event]:
        """Yields one start, the deltas, one end. Closing it ends the provider's work.

        Raises:
            MeshError: As documented at FallbackService.Complete.
        """
        chosen = self._chosen(order.provider)
        messages, span_ids = with_evidence(
            order.messages, order.evidence, self._bounds.max_evidence_chars
        )
        with self._admitted():
            opened = await self._open(chosen, order, messages)
            async with (
                aclosing(opened.rest),
                aclosing(_chain(opened.first, opened.rest)) as chunks,
                aclosing(_events(opened, chunks, span_ids)) as events,
            ):
                async for event in events:
                    yield event

    def _chosen(self, name: str) -> Sequence[Endpoint]:
        chosen = [e for e in self.endpoints if name in ("", e.name)]
        if not chosen:
            message = f"no provider {name!r} is configured" if name else "no provider is configured"
            raise PreconditionError(message, Reason.NO_PROVIDER, provider=name)
        return chosen

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        if self._running >= self._bounds.max_concurrent:
            raise BudgetSpentError(
                f"{self._running} completions are running, which is the limit", queue="completions"
            )
        self._running += 1
        started_s = self._now()
        try:
            yield
        finally:
            self._running -= 1
            self._telemetry.metrics.part_duration.labels("fallback").observe(
                self._now() - started_s
            )

    async def _open(
        self, endpoints: Sequence[Endpoint], order: Order, messages: Sequence[Message]
    ) -> _Opened:
        """Returns the first answer that begins, asking each endpoint at most twice."""
        errors: list[MeshError] = []
        attempts = 0
        for endpoint in endpoints:
            for is_retry in (False, True):
                attempt = self._attempt(endpoint, order)
                if attempt is None:
                    if not is_retry:
                        errors.append(self._skipped(endpoint))
                    break
                attempts += 1
                if not is_retry:
                    endpoint.retries.called()
                found = await self._begin(attempt, endpoint.provider, order, messages)
                if isinstance(found, tuple):
                    return _Opened(attempt, *found, attempts)
                errors.append(found.as_mesh_error() if isinstance(found, ProviderError) else found)
                if is_retry or not await self._may_retry(found, endpoint.retries):
                    break
        # That a model is unknown to one provider matters less than that another failed.
        raise next((e for e in reversed(errors) if isinstance(e, NotReadyError)), errors[-1])

    async def _begin(
        self, attempt: Attempt, provider: Provider, order: Order, messages: Sequence[Message]
    ) -> tuple[Chunk, AsyncGenerator[Chunk]] | ProviderError | NotFoundError:
        """Returns the first chunk and the others, or why another provider must be asked.

        Raises:
            MeshError: No provider can do better.
        """
        body = body_of(order, messages, attempt.model)
        with attempt:
            try:
                first, rest = await provider.first_and_rest(
                    body, order.credentials.get(provider.config.name)
                )
            except ProviderError as error:
                attempt.failed(error.status, is_at_fault=error.is_at_fault)
                return error
            except NotFoundError as error:
                attempt.refused("unknown_model")
                return error
            except MeshError:
                attempt.refused("refused")
                raise
            attempt.begun()
            return first, rest

    async def _may_retry(self, error: ProviderError | NotFoundError, retries: RetryBudget) -> bool:
        """Returns whether to ask once more, when the time for it has come."""
        if isinstance(error, NotFoundError) or error.retry_after_s is None or not retries.take():
            return False
        # A pause that would outlast the call is cut by the call's deadline.
        pause_s = max(error.retry_after_s, self._bounds.retry_pause_s)
        await asyncio.sleep(deadline.remaining_s(pause_s))
        return True

    def _attempt(self, endpoint: Endpoint, order: Order) -> Attempt | None:
        ticket = endpoint.breaker.admit()
        if ticket is None:
            return None
        return Attempt(
            config=endpoint.provider.config,
            order=order,
            breaker=endpoint.breaker,
            ticket=ticket,
            observed=self._telemetry,
            now=self._now,
        )

    def _skipped(self, endpoint: Endpoint) -> NotReadyError:
        self._telemetry.metrics.provider_calls.labels(endpoint.name, "skipped").inc()
        return NotReadyError(
            f"{endpoint.name}: it failed repeatedly and is left alone for now",
            Reason.PROVIDER_FAILED,
            provider=endpoint.name,
            status="breaker_open",
        )


async def _events(
    opened: _Opened, chunks: AsyncGenerator[Chunk], span_ids: Sequence[str]
) -> AsyncGenerator[Event]:
    attempt = opened.attempt
    said: list[str] = []
    joiner, refusing = TextJoiner(), TextJoiner()
    usage = Usage()
    finish_reason = ""
    model = opened.first.model or attempt.model
    with attempt:
        try:
            yield Started(attempt.name, model, opened.attempts)
            size = 0
            async for chunk in chunks:
                text, refusal = joiner.feed(chunk.text), refusing.feed(chunk.refusal)
                size += len(text) + len(refusal) + len(chunk.tool_calls_json)
                if size > MAX_COMPLETION_CHARS:
                    raise attempt.error("its answer does not end", "endless")
                if text or refusal or chunk.tool_calls_json:
                    said.append(text)
                    yield Delta(text, chunk.tool_calls_json, refusal)
                finish_reason = chunk.finish_reason or finish_reason
                usage = usage.with_counts_of(chunk)
            text, refusal = joiner.finish(), refusing.finish()
            if text or refusal:
                said.append(text)
                yield Delta(text, "", refusal)
        except ProviderError as error:
            attempt.failed(error.status)
            raise error.as_mesh_error() from error
        finished = Finished(
            finish_reason or "stop",
            usage.prompt_tokens,
            usage.completion_tokens,
            tuple(cited_span_ids("".join(said), span_ids)),
            usage.cached_prompt_tokens,
            usage.reasoning_tokens,
        )
        attempt.succeeded(opened.first.completion_id, model, finished)
    yield finished


async def _chain(first: Chunk, rest: AsyncGenerator[Chunk]) -> AsyncGenerator[Chunk]:
    yield first
    async for chunk in rest:
        yield chunk
