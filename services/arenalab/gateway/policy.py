"""The `arenalab` object of a request: how this one answer may be made."""

from dataclasses import dataclass
from typing import Any, Final

from arenalab.gateway.errors import bad_request
from arenalab.gateway.fields import Fields, wrong_type

MAX_RISK: Final = 0.5
MAX_EVIDENCE: Final = 50
MAX_CREATURES: Final = 64
MAX_NAME: Final = 256
MAX_AGE_S: Final = 315_576_000_000  # ten thousand years, as the wire takes
STRATEGIES: Final = ("single_best", "cascade")
FALLBACKS: Final = ("llm", "never")
LEDGERS: Final = ("required", "best_effort")
GUARANTEE_KINDS: Final = ("high_probability", "expectation")
GUARANTEE_SCOPES: Final = ("all", "group")
REPHRASES: Final = ("never", "llm")
STAKES: Final = ("low", "medium", "high")
ROUTINGS: Final = ("ordered", "weighted", "cheapest", "fastest")
CACHES: Final = ("use", "bypass")
MAX_COST_USD: Final = 1_000_000
KNOWN: Final = frozenset(
    {
        "alpha", "delta", "strategy", "fallback", "ledger", "creatures", "max_evidence",
        "strict", "refusal", "context", "guarantee_kind", "guarantee_scope",
        "max_age_s", "rephrase", "routing", "cache", "max_cost_usd",
    }
)  # fmt: skip
_KNOWN_CONTEXT: Final = frozenset({"environment", "stakes", "emotional_state"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The situation that the question is asked in. Empty means: infer it."""

    environment: str = ""
    stakes: str = ""
    emotional_state: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the request changes of the model's own policy. None and empty change nothing."""

    alpha: float | None = None
    delta: float | None = None
    guarantee_kind: str | None = None
    guarantee_scope: str | None = None
    strategy: str | None = None
    fallback: str | None = None
    ledger: str | None = None
    creatures: tuple[str, ...] = ()
    max_evidence: int | None = None
    max_age_s: float | None = None  # of the newest span that an answer rests on
    rephrase: str | None = None
    routing: str | None = None  # among the fallback's providers
    cache: str | None = None  # of memory's outputs
    max_cost_usd: float | None = None  # that a provider may be expected to charge
    strict: bool = False  # unknown fields of the request are errors
    refusal: bool = False  # an abstention is told as a refusal
    context: Context | None = None


def parse_policy(value: Any) -> Policy:
    """Reads the `arenalab` object of a request.

    A member that is not known is an error even when not strict: a misspelt `alpha`
    would promise another guarantee than the one that was asked for.

    Raises:
        ApiError: 400; `param` names the member that is wrong.
    """
    if value is None:
        return Policy()
    if not isinstance(value, dict):
        raise wrong_type("arenalab", value, dict)
    fields = Fields(value, "arenalab")
    _refuse_unknown(fields, KNOWN)
    return Policy(
        alpha=fields.number("alpha", 0, MAX_RISK, above_low=True),
        delta=fields.number("delta", 0, MAX_RISK, above_low=True),
        guarantee_kind=fields.choice("guarantee_kind", GUARANTEE_KINDS),
        guarantee_scope=fields.choice("guarantee_scope", GUARANTEE_SCOPES),
        strategy=fields.choice("strategy", STRATEGIES),
        fallback=fields.choice("fallback", FALLBACKS),
        ledger=fields.choice("ledger", LEDGERS),
        creatures=fields.strings("creatures", max_items=MAX_CREATURES, max_chars=MAX_NAME),
        max_evidence=fields.integer("max_evidence", 1, MAX_EVIDENCE),
        max_age_s=fields.number("max_age_s", 0, MAX_AGE_S, above_low=True),
        rephrase=fields.choice("rephrase", REPHRASES),
        routing=fields.choice("routing", ROUTINGS),
        cache=fields.choice("cache", CACHES),
        max_cost_usd=fields.number("max_cost_usd", 0, MAX_COST_USD, above_low=True),
        strict=bool(fields.boolean("strict")),
        refusal=bool(fields.boolean("refusal")),
        context=_parse_context(fields.nested("context")),
    )


def _parse_context(fields: Fields | None) -> Context | None:
    if fields is None:
        return None
    _refuse_unknown(fields, _KNOWN_CONTEXT)
    return Context(
        environment=fields.string("environment", max_chars=MAX_NAME) or "",
        stakes=fields.choice("stakes", STAKES) or "",
        emotional_state=fields.string("emotional_state", max_chars=MAX_NAME) or "",
    )


def _refuse_unknown(fields: Fields, known: frozenset[str]) -> None:
    for name in fields.unknown(known):
        place = fields.at(name[:80])
        raise bad_request(f"{place} is not known", param=place, code="unknown_parameter")
