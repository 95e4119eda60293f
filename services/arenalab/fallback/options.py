"""Who may be asked for a call: the providers it is for, with what each is expected to cost."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from arenalab.fallback.bill import Estimate
from arenalab.fallback.endpoint import Endpoint
from arenalab.fallback.latency import Latencies
from arenalab.fallback.order import Order
from arenalab.fallback.prices import Price, PriceTable
from arenalab.fallback.routing import Candidate, Strategy, in_order, serves
from arenalab.fallback.terms import makers_name
from arenalab.mesh import BudgetSpentError, NotFoundError, PreconditionError, Reason


@dataclass(frozen=True, slots=True)
class Option:
    """One provider's model that may be asked."""

    endpoint: Endpoint
    model: str
    price: Price | None  # None: not known
    expected_usd_micros: int | None


def price_of(endpoint: Endpoint, model: str, table: PriceTable) -> Price | None:
    """Returns what a provider's model costs: as it is configured, else by the table."""
    config, terms = endpoint.config, endpoint.config.terms
    name = makers_name(config.name, config.base_url, terms.prices_of)
    return terms.price or table.find(name, model)


def asked_for(order: Order, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """Returns the endpoints that an order is for.

    Without a provider's name, a model's name selects the providers that claim it; if none
    does, those that claim no models at all, since any of them may have it.

    Raises:
        PreconditionError: No provider is configured, or none of that name.
        NotFoundError: Providers claim models, and none claims this one.
    """
    chosen = [e for e in endpoints if order.provider in ("", e.name)]
    if not chosen:
        name = order.provider
        message = f"no provider {name!r} is configured" if name else "no provider is configured"
        raise PreconditionError(message, Reason.NO_PROVIDER, provider=name)
    if order.provider or not order.model:
        return chosen
    claiming = [
        e for e in chosen if serves(order.model, e.config.terms.models, e.config.default_model)
    ]
    found = claiming or [e for e in chosen if not e.config.terms.models]
    if not found:
        raise NotFoundError(
            f"no provider is configured for the model {order.model[:200]!r}",
            Reason.UNKNOWN_MODEL,
            model=order.model[:200],
        )
    return found


def options_of(
    order: Order, endpoints: Sequence[Endpoint], table: PriceTable, estimate: Estimate
) -> list[Option]:
    """Returns the options that an order's limit of cost allows, as they are configured.

    Raises:
        BudgetSpentError: It allows none.
    """
    found = []
    for endpoint in endpoints:
        model = order.model or endpoint.config.default_model
        price = price_of(endpoint, model, table)
        found.append(Option(endpoint, model, price, estimate.cost_usd_micros(price)))
    limit = order.max_cost_usd_micros
    if not limit:
        return found
    allowed = [
        o for o in found if o.expected_usd_micros is not None and o.expected_usd_micros <= limit
    ]
    if not allowed:
        costs = ", ".join(f"{o.endpoint.name} {_told(o.expected_usd_micros)}" for o in found)
        raise BudgetSpentError(
            f"no provider is expected to cost at most {limit} millionths of a US dollar: {costs}",
            Reason.SPEND_CAP,
            provider=found[0].endpoint.name,
            max_cost_usd_micros=str(limit),
        )
    return allowed


def _told(usd_micros: int | None) -> str:
    return "unknown" if usd_micros is None else str(usd_micros)


def sorted_options(
    options: Sequence[Option], strategy: Strategy, latencies: Latencies, rng: random.Random
) -> list[Option]:
    """Returns the options in the order in which to ask them."""
    by_candidate = {
        Candidate(
            provider=o.endpoint.name,
            model=o.model,
            weight=o.endpoint.config.terms.weight,
            cost_usd_micros=o.expected_usd_micros,
            first_token_s=latencies.expected_s(o.endpoint.name, o.model),
        ): o
        for o in options
    }  # providers' names are unique
    return [by_candidate[candidate] for candidate in in_order(list(by_candidate), strategy, rng)]
