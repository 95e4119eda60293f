"""In which order endpoints are asked. Pure: chance is an argument.

ordered     as they are configured
weighted    drawn by their weights, without replacement; those of weight 0 last
cheapest    by what the call is expected to cost; those of unknown price last
fastest     by their recent time to the first token; those not yet asked first

Ties keep the configured order. Every endpoint is in the result once: the first is asked,
and the others are what is left to try when it fails.
"""

import enum
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final


class Strategy(enum.StrEnum):
    """The order in which endpoints are asked; the values are those of FALLBACK_ROUTING."""

    ORDERED = "ordered"
    WEIGHTED = "weighted"
    CHEAPEST = "cheapest"
    FASTEST = "fastest"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One provider's model, and what is known of it when a call comes in."""

    provider: str
    model: str
    weight: float = 1.0  # at least 0
    cost_usd_micros: int | None = None  # that the call is expected to cost; None: not known
    first_token_s: float = 0.0  # as `Latencies.expected_s` has it


def in_order(
    candidates: Sequence[Candidate], strategy: Strategy, rng: random.Random
) -> list[Candidate]:
    """Returns every candidate once, in the order in which to ask them."""
    if strategy is Strategy.ORDERED:
        return list(candidates)
    if strategy is Strategy.WEIGHTED:
        # The key of Efraimidis and Spirakis, "Weighted random sampling with a reservoir"
        # (2006), in logarithms: sorting by it draws by weight without replacement.
        drawn = {id(c): -math.log(1.0 - rng.random()) / c.weight for c in candidates if c.weight}
        return sorted(candidates, key=lambda c: drawn.get(id(c), math.inf))
    return sorted(candidates, key=_KEYS[strategy])


def _cost(candidate: Candidate) -> float:
    return math.inf if candidate.cost_usd_micros is None else candidate.cost_usd_micros


def _wait(candidate: Candidate) -> float:
    return candidate.first_token_s


_KEYS: Final[dict[Strategy, Callable[[Candidate], float]]] = {
    Strategy.CHEAPEST: _cost,
    Strategy.FASTEST: _wait,
}


def serves(model: str, patterns: Sequence[str], default_model: str) -> bool:
    """Returns whether a provider claims a model: its default, or one that a pattern matches.

    Args:
        model: A name without the provider's, e.g. "gpt-4o-mini".
        patterns: Of the provider, in the style of a shell: "gpt-*", "o[134]*".
        default_model: Of the provider.
    """
    return model == default_model or any(fnmatchcase(model, pattern) for pattern in patterns)
