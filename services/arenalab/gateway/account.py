"""What one request may use, and what it used: the one place where limits are applied.

The application counts the request before it reads it. An endpoint that costs tokens or
money holds what it may need, and says what it used:

    exchange.account.check_model(model)
    async with exchange.account.hold(tokens) as hold:
        request.max_cost_usd_micros = hold.max_cost_usd_micros
        ...
        hold.used(tokens=120, usd_micros=40)
"""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from arenalab.gateway.errors import ApiError
from arenalab.gateway.keys.record import Principal
from arenalab.gateway.limits.caps import DAY_MS, Caps, Unit
from arenalab.gateway.limits.headers import limit_headers, reached
from arenalab.gateway.limits.limiter import (
    Account,
    Demand,
    Limiter,
    LimitReachedError,
    LimitsUnavailableError,
    Reservation,
)
from arenalab.gateway.limits.usage import UsageBook, Used

_RETRY_S: Final = 1.0


@dataclass(slots=True, kw_only=True)
class Hold:
    """What an endpoint may use, and used. Settled when its block ends."""

    max_cost_usd_micros: int  # 0: there is no budget
    # Whether anybody counts: where not, an endpoint need not either.
    counts_tokens: bool
    tokens: int = 0
    usd_micros: int = 0

    def used(self, *, tokens: int, usd_micros: int | None) -> None:
        """Notes what was used in all so far.

        Args:
            tokens: Of the prompt and the answer.
            usd_micros: None is a cost that is not known: it counts as all that was held,
                which is what it was promised to stay under.
        """
        self.tokens = tokens
        self.usd_micros = self.max_cost_usd_micros if usd_micros is None else usd_micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """Counts what keys use."""

    limiter: Limiter
    usage: UsageBook
    caps: Caps = field(default_factory=Caps)  # of keys that have none of their own
    completion_tokens: int  # reserved for an answer whose request sets no bound
    call_usd_micros: int  # reserved for a call under a budget
    now: Callable[[], float] = field(default=time.time)  # Unix seconds

    def account(self, principal: Principal, headers: list[tuple[str, str]]) -> "KeyAccount":
        """Returns the account of one request; its limits are told in `headers`."""
        return KeyAccount(self, principal, headers)


class KeyAccount:
    """The account of one request."""

    def __init__(self, meter: Meter, principal: Principal, headers: list[tuple[str, str]]) -> None:
        self._meter = meter
        self._principal = principal
        self._headers = headers
        self._caps = principal.caps.or_else(meter.caps)
        self._day = int(meter.now() * 1000) // DAY_MS

    def check_model(self, model: str) -> None:
        """Refuses a model that the key may not name.

        Raises:
            ApiError: 403.
        """
        if not self._principal.allows(model):
            raise ApiError(
                403,
                "model_not_allowed",
                f"this API key may not use the model {model[:200]!r}",
                param="model",
                should_retry=False,
            )

    async def count_request(self) -> None:
        """Counts the request itself; what is refused later stays counted.

        Raises:
            ApiError: 429 or 503.
        """
        if self._caps.set_for(Unit.REQUESTS):
            await self._reserve(Demand(requests=1))
        self._meter.usage.add(self._principal.key_id, self._day, Used(requests=1))

    def tokens_of(self, prompt: int, max_completion: int | None) -> int:
        """Returns the most tokens that a completion may use."""
        return prompt + (max_completion or self._meter.completion_tokens)

    @property
    def counts_tokens(self) -> bool:
        """Whether anybody wants to know how many tokens are used."""
        return bool(self._principal.key_id) or self._caps.set_for(Unit.TOKENS)

    @asynccontextmanager
    async def hold(self, tokens: int, *, may_cost: bool = True) -> AsyncGenerator[Hold]:
        """Holds the most that a request may use, for the length of the block.

        What the block says to have used is counted when it ends, however it ends.

        Args:
            tokens: As `tokens_of` has them.
            may_cost: Whether a provider may be asked.

        Raises:
            ApiError: 429 or 503.
        """
        has_budget = may_cost and self._caps.set_for(Unit.USD_MICROS)
        reservation = None
        if has_budget or self._caps.set_for(Unit.TOKENS):
            money = self._meter.call_usd_micros if has_budget else 0
            reservation = await self._reserve(Demand(tokens=tokens, usd_micros=money))
        hold = Hold(
            max_cost_usd_micros=reservation.usd_micros if reservation and has_budget else 0,
            counts_tokens=self.counts_tokens,
        )
        try:
            yield hold
        finally:
            used = Used(0, hold.tokens, hold.usd_micros)
            self._meter.usage.add(self._principal.key_id, self._day, used)
            if reservation is not None:
                await self._meter.limiter.settle(
                    reservation, tokens=hold.tokens, usd_micros=hold.usd_micros
                )

    async def _reserve(self, demand: Demand) -> Reservation:
        account = Account(
            key=self._principal.account,
            caps=self._caps,
            spent=self._meter.usage.spent(self._principal.key_id, self._day),
        )
        try:
            reservation = await self._meter.limiter.reserve(account, demand)
        except LimitReachedError as error:
            raise reached(error) from error
        except LimitsUnavailableError as error:
            raise ApiError(
                503,
                "limits_unavailable",
                "the limits of this key cannot be checked now; try again soon",
                retry_after_s=_RETRY_S,
            ) from error
        self._headers += limit_headers(reservation.readings)
        return reservation
