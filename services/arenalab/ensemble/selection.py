"""What a model name selects. Pure.

arenalab                 every creature, the most confident answers, else the LLM
arenalab/memory-only     the same, but abstains instead of asking the LLM
arenalab/ensemble        creatures in order, the first that may answer, else the LLM
arenalab/<creature>      this creature, else the LLM
<provider>/<model>       this model of this provider; memory is not asked
<model>                  this model, of the providers that claim it by a pattern
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.mesh import InvalidInputError, NotFoundError, Reason

OURS: Final = "arenalab"
MEMORY_ONLY: Final = "memory-only"
ENSEMBLE: Final = "ensemble"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What runs for one request."""

    model: str
    creatures: tuple[str, ...] = ()
    strategy: pb.Strategy.ValueType = pb.STRATEGY_SINGLE_BEST
    fallback: pb.FallbackPolicy.ValueType = pb.FALLBACK_POLICY_LLM
    ledger: pb.LedgerPolicy.ValueType = pb.LEDGER_POLICY_REQUIRED
    provider: str = ""  # empty: any that has the model
    provider_model: str = ""  # set: memory is not asked

    @property
    def is_direct(self) -> bool:
        """Whether a provider is asked, and memory is not."""
        return bool(self.provider_model)


def select(
    model: str,
    policy: pb.AnswerPolicy,
    creatures: Sequence[str],
    providers: Collection[str],
    patterns: Collection[str] = (),
) -> Selection:
    """Resolves a model name, then lets the request's policy override parts of it.

    Args:
        model: As the client named it; empty means "arenalab".
        policy: Of the request.
        creatures: Names in the scope, the default one first.
        providers: Names of the configured fallback providers.
        patterns: Of the models that providers claim, in the style of a shell.

    Raises:
        NotFoundError: UNKNOWN_MODEL, for a model or a creature that is not there.
        InvalidInputError: The policy contradicts the model.
    """
    selection = _by_name(model or OURS, creatures, providers, patterns)
    if policy.creatures:
        if selection.is_direct:
            raise InvalidInputError(
                "policy.creatures cannot be used with a provider's model", field="policy.creatures"
            )
        for creature in policy.creatures:
            if creature not in creatures:
                raise _unknown(f"{OURS}/{creature}")
        selection = replace(selection, creatures=tuple(dict.fromkeys(policy.creatures)))
    return replace(
        selection,
        strategy=policy.strategy or selection.strategy,
        fallback=policy.fallback or selection.fallback,
        ledger=policy.ledger or selection.ledger,
    )


def _by_name(
    model: str, creatures: Sequence[str], providers: Collection[str], patterns: Collection[str]
) -> Selection:
    owner, _, name = model.partition("/")
    if owner == OURS:
        if not name and model == OURS:
            return Selection(model=model, creatures=tuple(creatures))
        if name == MEMORY_ONLY:
            return Selection(
                model=model, creatures=tuple(creatures), fallback=pb.FALLBACK_POLICY_NEVER
            )
        if name == ENSEMBLE:
            return Selection(model=model, creatures=tuple(creatures), strategy=pb.STRATEGY_CASCADE)
        if name in creatures:
            return Selection(model=model, creatures=(name,))
    elif name and owner in providers:
        return Selection(model=model, provider=owner, provider_model=name)
    elif any(fnmatchcase(model, pattern) for pattern in patterns):
        return Selection(model=model, provider_model=model)
    raise _unknown(model)


def _unknown(model: str) -> NotFoundError:
    return NotFoundError(
        f"the model {model[:200]!r} does not exist; GET /v1/models lists those that do",
        Reason.UNKNOWN_MODEL,
        model=model[:200],
    )
