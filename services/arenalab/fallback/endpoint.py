"""A provider with what is remembered of it between calls.

It has a breaker of its own, for what concerns all its models (it cannot be reached, its key
is not good), and one for each model. So a model that is overloaded, or answers with errors,
leaves the others alone. What concerns all models is told by the failure's status.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from arenalab.fallback.breaker import Breaker, State, Ticket
from arenalab.fallback.config import ProviderConfig
from arenalab.fallback.provider import Provider
from arenalab.fallback.recent import Recent
from arenalab.fallback.retries import RetryBudget
from arenalab.mesh import BudgetSpentError, NotReadyError, Reason

# Of one provider: callers name models, and a breaker is kept for each.
MAX_MODELS: Final = 256
# Before an answer begins, these say something of the provider, whatever the model.
_OF_ALL_MODELS: Final = frozenset({"connect", "broken", "401", "402", "403"})
_BADNESS: Final = (State.CLOSED, State.HALF_OPEN, State.OPEN)


@dataclass(frozen=True, slots=True)
class Leave:
    """Leave to make one call, of the provider and of the model."""

    provider: Breaker
    provider_ticket: Ticket
    model: Breaker
    model_ticket: Ticket

    def succeeded(self) -> None:
        """Records that both did their work."""
        self.provider.succeeded(self.provider_ticket)
        self.model.succeeded(self.model_ticket)

    def failed(self, status: str) -> None:
        """Records which of them did not do its work."""
        if status in _OF_ALL_MODELS:
            self.provider.failed(self.provider_ticket)
            self.model.abandoned(self.model_ticket)
            return
        self.model.failed(self.model_ticket)
        if status == "timeout":  # nothing was heard of the provider
            self.provider.abandoned(self.provider_ticket)
        else:
            self.provider.succeeded(self.provider_ticket)

    def refused(self) -> None:
        """Records that the provider works, and says nothing of the model."""
        self.provider.succeeded(self.provider_ticket)
        self.model.abandoned(self.model_ticket)

    def abandoned(self) -> None:
        """Records that the call was given up before either showed what it does."""
        self.provider.abandoned(self.provider_ticket)
        self.model.abandoned(self.model_ticket)


class Endpoint:
    """One provider: its breakers, its budget of retries, its calls at work."""

    def __init__(self, provider: Provider, new_breaker: Callable[[], Breaker]) -> None:
        self.provider = provider
        self.retries = RetryBudget()
        self.running = 0
        self._own = new_breaker()
        self._models: Recent[str, Breaker] = Recent(MAX_MODELS, lambda _: new_breaker())

    @property
    def config(self) -> ProviderConfig:
        return self.provider.config

    @property
    def name(self) -> str:
        return self.provider.config.name

    def admit(self, model: str) -> Leave:
        """Returns leave to ask for a model; the call counts as running until `left`.

        Raises:
            BudgetSpentError: As many calls as may be are running.
            NotReadyError: The provider or the model failed repeatedly.
        """
        limit = self.config.terms.max_concurrent
        if limit and self.running >= limit:
            raise BudgetSpentError(
                f"{self.name}: {self.running} completions are running, which is its limit",
                queue=self.name,
            )
        breaker = self._models.get(model)
        ticket = self._own.admit()
        if ticket is None:
            raise self._left_alone("it")
        model_ticket = breaker.admit()
        if model_ticket is None:
            self._own.abandoned(ticket)
            raise self._left_alone(f"its model {model[:80]!r}")
        self.running += 1
        return Leave(self._own, ticket, breaker, model_ticket)

    def left(self) -> None:
        """Records that an admitted call is over."""
        self.running -= 1

    def states(self) -> Mapping[str, State]:
        """Returns the breakers' states of the models that were asked for lately."""
        return {model: breaker.state for model, breaker in self._models.items()}

    def worst_state(self) -> State:
        """Returns the worst state of the provider and its models."""
        return max([self._own.state, *self.states().values()], key=_BADNESS.index)

    def _left_alone(self, who: str) -> NotReadyError:
        return NotReadyError(
            f"{self.name}: {who} failed repeatedly and is left alone for now",
            Reason.PROVIDER_FAILED,
            provider=self.name,
            status="breaker_open",
        )
