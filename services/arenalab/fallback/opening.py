"""Getting an answer to begin: options in order, retries, and a second one when one is slow.

Before the first token of an answer, trouble is this module's: it asks again, or asks the
next provider. When hedging is on and no token has come for a while, the next option is asked
beside the first, and whoever's first token comes sooner answers; the other is cut off.
"""

import asyncio
import random
from asyncio import sleep
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from arenalab.fallback.attempt import Attempt, Watch
from arenalab.fallback.bill import Bill
from arenalab.fallback.chunks import Chunk
from arenalab.fallback.endpoint import Endpoint
from arenalab.fallback.options import Option
from arenalab.fallback.order import Order, body_of
from arenalab.fallback.prompt import Message
from arenalab.fallback.provider import Provider
from arenalab.fallback.purse import Purse
from arenalab.fallback.refusals import ProviderError
from arenalab.fallback.spending import CapReachedError, Reservation
from arenalab.mesh import (
    BudgetSpentError,
    MeshError,
    NotFoundError,
    NotReadyError,
    Reason,
    deadline,
)

MAX_RETRY_PAUSE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Retrying:
    """How long and how often providers are asked before an answer begins."""

    first_token_s: float
    max_retries: int  # of each option
    retry_pause_s: float  # of which a random part is waited, twice as much each time
    hedge_after_s: float  # 0: never


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for."""

    order: Order
    messages: Sequence[Message]
    prompt_tokens: int  # about


@dataclass(frozen=True, slots=True)
class Opened:
    """A provider that has begun to answer."""

    attempt: Attempt
    head: Sequence[Chunk]  # at least one; the last one says something
    rest: AsyncGenerator[Chunk]
    attempts: int
    is_hedged: bool = False

    async def abandon(self) -> None:
        """Ends an answer that nobody reads."""
        self.attempt.given_up()
        await self.rest.aclose()


class Opening:
    """One call's way to an answer that begins."""

    def __init__(
        self,
        options: Sequence[Option],
        asked: Asked,
        *,
        retrying: Retrying,
        purse: Purse,
        watch: Watch,
        rng: random.Random,
    ) -> None:
        self._options = options
        self._next = 0
        self._asked = asked
        self._retrying = retrying
        self._purse = purse
        self._watch = watch
        self._rng = rng
        self._errors: list[MeshError] = []
        self._attempts: list[Attempt] = []

    def costs(self) -> list[int | None]:
        """Returns what the requests cost that have ended; None for one that is not known."""
        return [attempt.bill.cost_usd_micros for attempt in self._attempts]

    async def open(self) -> Opened:
        """Returns the first answer that begins.

        Raises:
            MeshError: None did, or the request itself is wrong.
        """
        if self._retrying.hedge_after_s and len(self._options) > 1:
            opened = await self._race()
        else:
            opened = await self._pursue()
        if opened is None:
            raise self._worst()
        return opened

    def _worst(self) -> MeshError:
        """Returns the error that says best why no option answered."""
        # That one failed matters more than that another is full, has no money left, or does
        # not know the model: the first passes soonest.
        return max(reversed(self._errors), key=_weight)

    async def _race(self) -> Opened | None:
        first = asyncio.create_task(self._pursue())
        lanes = [first]
        try:
            await asyncio.wait(lanes, timeout=self._retrying.hedge_after_s)
            if not first.done() and self._may_hedge():
                lanes.append(asyncio.create_task(self._pursue()))
            was_hedged = len(lanes) > 1
            while lanes:
                await asyncio.wait(lanes, return_when=asyncio.FIRST_COMPLETED)
                ended = next(lane for lane in lanes if lane.done())
                is_second = ended is not first
                lanes.remove(ended)
                if (opened := ended.result()) is not None:
                    if was_hedged:
                        self._watch.meter.hedged("won" if is_second else "lost")
                    return replace(opened, is_hedged=is_second, attempts=len(self._attempts))
            return None
        finally:
            await _cut_off(lanes)

    def _may_hedge(self) -> bool:
        """Returns whether the next option may be asked too, and takes a retry for it."""
        if self._next >= len(self._options):
            return False
        asked, following = self._options[self._next - 1], self._options[self._next]
        limit = self._asked.order.max_cost_usd_micros
        # Both may be billed. With a limit, all options have an expected cost.
        if (
            limit
            and (asked.expected_usd_micros or 0) + (following.expected_usd_micros or 0) > limit
        ):
            return False
        # The one to be asked must have a retry to spare: hedges of a slow hour must not
        # double its load.
        return following.endpoint.retries.take()

    async def _pursue(self) -> Opened | None:
        """Returns the first of the options left that answers."""
        while self._next < len(self._options):
            option = self._options[self._next]
            self._next += 1
            if (opened := await self._ask(option)) is not None:
                return opened
        return None

    async def _ask(self, option: Option) -> Opened | None:
        retries = option.endpoint.retries
        for n in range(self._retrying.max_retries + 1):
            attempt = await self._attempt(option, is_retry=n > 0)
            if attempt is None:
                return None
            if n == 0:
                retries.called()
            found = await self._begin(attempt, option.endpoint.provider)
            if isinstance(found, Opened):
                return found
            self._errors.append(
                found.as_mesh_error() if isinstance(found, ProviderError) else found
            )
            is_last = n == self._retrying.max_retries
            if is_last or not await self._may_retry(found, option.endpoint, n):
                return None
        return None

    async def _attempt(self, option: Option, *, is_retry: bool) -> Attempt | None:
        """Returns an attempt, or None when the option must be passed over."""
        endpoint = option.endpoint
        try:
            leave = endpoint.admit(option.model)
        except MeshError as error:
            outcome = "full" if isinstance(error, BudgetSpentError) else "skipped"
            self._pass_over(endpoint, error, outcome, is_retry=is_retry)
            return None
        try:
            reservation = await self._reserved(option)
        except BaseException as error:
            leave.abandoned()
            endpoint.left()
            if not isinstance(error, BudgetSpentError):
                raise
            self._pass_over(endpoint, error, "capped", is_retry=is_retry)
            return None
        bill = Bill(
            price=option.price,
            prompt_tokens=self._asked.prompt_tokens,
            purse=self._purse,
            reservation=reservation,
        )
        attempt = Attempt(
            endpoint=endpoint,
            model=option.model,
            leave=leave,
            bill=bill,
            order=self._asked.order,
            watch=self._watch,
        )
        self._attempts.append(attempt)
        return attempt

    def _pass_over(
        self, endpoint: Endpoint, error: MeshError, outcome: str, *, is_retry: bool
    ) -> None:
        if not is_retry:  # else its failure is known already
            self._watch.meter.skipped(endpoint.name, outcome)
            self._errors.append(error)

    async def _reserved(self, option: Option) -> Reservation | None:
        """Sets aside what the request is expected to cost; None when the caller pays.

        Raises:
            BudgetSpentError: A cap has no room for it, or no price is known to count by.
        """
        name = option.endpoint.name
        if name in self._asked.order.credentials:
            return None
        if option.expected_usd_micros is None and self._purse.is_capped(name):
            raise BudgetSpentError(
                f"{name}: the price of {option.model[:80]!r} is not known, so that a daily cap"
                " cannot hold: give it a price",
                Reason.SPEND_CAP,
                provider=name,
            )
        try:
            return await self._purse.reserve(name, option.expected_usd_micros or 0)
        except CapReachedError as error:
            whose = f"{name}'s" if error.name else "the"
            raise BudgetSpentError(
                f"{name}: {whose} daily cap of {error.cap_usd_micros} millionths of a US dollar"
                " has no room for this call",
                Reason.SPEND_CAP,
                provider=name,
                cap_usd_micros=str(error.cap_usd_micros),
            ) from error

    async def _begin(
        self, attempt: Attempt, provider: Provider
    ) -> Opened | ProviderError | NotFoundError:
        """Returns the answer that has begun, or why another provider must be asked.

        Raises:
            MeshError: No provider can do better.
        """
        order = self._asked.order
        body = body_of(order, self._asked.messages, attempt.model)
        with attempt:
            try:
                head, rest = await self._head_and_rest(
                    attempt, provider, body, order.credentials.get(attempt.name)
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
            return Opened(attempt, head, rest, len(self._attempts))

    async def _head_and_rest(
        self, attempt: Attempt, provider: Provider, body: dict[str, object], key: str | None
    ) -> tuple[list[Chunk], AsyncGenerator[Chunk]]:
        """Returns the chunks up to the first that says something, and those after it."""
        ends_at_s = asyncio.get_running_loop().time() + self._retrying.first_token_s
        first, rest = await provider.first_and_rest(body, key)
        head = [first]
        try:
            async with asyncio.timeout_at(ends_at_s) as timer:
                # Providers open a stream with a chunk that names the role, and may take
                # their time after it.
                while not _says_something(head[-1]):
                    chunk = await anext(rest, None)
                    if chunk is None:  # a whole answer without a word
                        break
                    head.append(chunk)
        except BaseException as error:
            await rest.aclose()
            if isinstance(error, TimeoutError) and timer.expired():
                raise attempt.error("it sent nothing in time", "timeout") from error
            raise
        return head, rest

    async def _may_retry(
        self, error: ProviderError | NotFoundError, endpoint: Endpoint, tries: int
    ) -> bool:
        """Returns whether to ask once more, when the time for it has come."""
        if isinstance(error, NotFoundError) or error.retry_after_s is None:
            return False
        if not endpoint.retries.take():
            return False
        # Full jitter, so that callers who failed together do not come back together. The
        # call's deadline cuts a pause that would outlast it.
        most_s = min(self._retrying.retry_pause_s * 2**tries, MAX_RETRY_PAUSE_S)
        pause_s = error.retry_after_s + self._rng.uniform(0.0, most_s)
        await sleep(deadline.remaining_s(pause_s))
        return True


def _weight(error: MeshError) -> int:
    if isinstance(error, NotReadyError):
        return 3
    if isinstance(error, BudgetSpentError):
        return 2 if error.reason is Reason.OVERLOADED else 1
    return 0


def _says_something(chunk: Chunk) -> bool:
    return bool(chunk.text or chunk.refusal or chunk.tool_calls_json or chunk.finish_reason)


async def _cut_off(lanes: "Sequence[asyncio.Task[Opened | None]]") -> None:
    """Ends what still runs, and waits until it has: only then its bill is settled."""
    for lane in lanes:
        lane.cancel()
    for ended in await asyncio.gather(*lanes, return_exceptions=True):
        if isinstance(ended, Opened):
            await ended.abandon()
