"""How Fallback is run, and whom it may ask: read once, at start, from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from arenalab.fallback.provider_config import (
    NAMES,
    Api,
    ProviderConfig,
    makers_key,
    read_provider,
)
from arenalab.fallback.routing import Strategy
from arenalab.fallback.spending import TOTAL
from arenalab.fallback.terms import MAX_CAP_USD_MICROS, terms_of, usd_micros
from arenalab.mesh import ConfigError, address_of, ports, read_config

__all__ = ["Api", "FallbackConfig", "ProviderConfig"]  # and the functions that read them

_LIST: Final = "FALLBACK_PROVIDERS"
MAX_RETRIES: Final = 5
MIN_EVIDENCE_TOKENS: Final = 100


@dataclass(frozen=True, kw_only=True)
class FallbackConfig:
    """Settings of one Fallback process. The variable of `x` is `FALLBACK_X`."""

    address: str = address_of(ports.FALLBACK)
    providers: tuple[ProviderConfig, ...] = ()  # in the order in which they are asked
    connect_timeout_s: float = 5.0
    first_token_timeout_s: float = 30.0  # from the request to the first token of the answer
    idle_timeout_s: float = 60.0  # between two pieces of the answer
    total_timeout_s: float = 110.0  # of a completion, with all that is asked for it
    max_retries: int = 1  # of each provider, before its first token
    # A retry waits a random part of this, twice as much each time; a Retry-After comes on top.
    retry_pause_s: float = 0.2
    # After so long without a first token the next provider is asked too; 0: never.
    hedge_after_s: float = 0.0
    max_concurrent: int = 64  # completions at the same time; one more is refused
    routing: str = Strategy.ORDERED.value  # ordered, weighted, cheapest or fastest
    daily_cap_usd: str = ""  # that all providers may cost a day of UTC; empty: no cap
    # Where the day's spending is kept. Needed where there is a cap: it must outlast a restart.
    spending_path: Path | None = None
    prices_path: Path | None = None  # of the price table; None: the one that is shipped
    # What a call without max_tokens is expected to generate, to reckon its cost beforehand.
    expected_output_tokens: int = 1024
    breaker_failures: int = 5  # in a row, before a provider is skipped
    breaker_pause_s: float = 5.0  # first pause; it doubles each time the trial call fails
    breaker_max_pause_s: float = 120.0
    max_evidence_tokens: int = 2_000  # of evidence in a prompt, by OpenAI's o200k vocabulary

    def __post_init__(self) -> None:
        for name in (
            "connect_timeout_s", "first_token_timeout_s", "idle_timeout_s", "total_timeout_s",
            "breaker_pause_s",
        ):  # fmt: skip
            _require(getattr(self, name) > 0, name, "> 0")
        for name in ("retry_pause_s", "hedge_after_s"):
            _require(getattr(self, name) >= 0, name, ">= 0")
        for name in ("max_concurrent", "breaker_failures", "expected_output_tokens"):
            _require(getattr(self, name) >= 1, name, ">= 1")
        _require(0 <= self.max_retries <= MAX_RETRIES, "max_retries", f"in [0, {MAX_RETRIES}]")
        _require(self.routing in list(Strategy), "routing", f"one of {', '.join(Strategy)}")
        _require(
            self.breaker_max_pause_s >= self.breaker_pause_s,
            "breaker_max_pause_s",
            ">= FALLBACK_BREAKER_PAUSE_S",
        )
        _require(
            self.max_evidence_tokens >= MIN_EVIDENCE_TOKENS,
            "max_evidence_tokens",
            f">= {MIN_EVIDENCE_TOKENS}",
        )
        _require(
            not self.caps() or self.spending_path is not None,
            "spending_path",
            "set where a daily cap is",
        )
        names = [provider.name for provider in self.providers]
        if len(set(names)) < len(names):
            raise ConfigError(f"{_LIST}: a name occurs twice in {','.join(names)}")

    def caps(self) -> dict[str, int]:
        """Returns the daily caps in millionths of a US dollar, as `Spending` has them."""
        found = {
            provider.name: cap
            for provider in self.providers
            if (cap := provider.terms.daily_cap_usd_micros) is not None
        }
        if self.daily_cap_usd.strip():
            found[TOTAL] = usd_micros(
                self.daily_cap_usd, "FALLBACK_DAILY_CAP_USD", MAX_CAP_USD_MICROS
            )
        return found


def _require(holds: bool, name: str, rule: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not holds:  # NaN fails every comparison
        raise ConfigError(f"FALLBACK_{name.upper()} must be {rule}")


def fallback_config(env: Mapping[str, str]) -> FallbackConfig:
    """Returns all settings that `env` holds, providers and keys included.

    `FALLBACK_PROVIDERS` names the providers in order; of each,
    `FALLBACK_<NAME>_BASE_URL`, `FALLBACK_<NAME>_MODEL`, and, if it wants one,
    `FALLBACK_<NAME>_API_KEY` or `FALLBACK_<NAME>_API_KEY_FILE`. "openai", "anthropic"
    and "gemini" know where they are, and read the variables of their makers' own
    libraries: OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY or GOOGLE_API_KEY. When
    none is named, those of the three are there whose key is set, in this order.

    `FALLBACK_<NAME>_API` (openai, anthropic or gemini) says what a provider speaks;
    unset, it is told by its address or its name. `FALLBACK_<NAME>_NEEDS_KEY`,
    `_API_VERSION`, `_MAX_TOKENS` and `_DROP` (names by commas, or "none") set the rest
    of `ProviderConfig`. A key is needed, if nothing else is said, at a maker's own
    address; of Anthropic's newest version, temperature and top_p are dropped. The terms
    on which a provider is asked are read as `terms_of` says.

    Raises:
        ConfigError: A value is missing, does not parse, or is out of range.
    """
    return with_providers(read_config(FallbackConfig, "fallback", without_providers(env)), env)


def without_providers(env: Mapping[str, str]) -> dict[str, str]:
    """Returns `env` without the list of providers, which is more than one value a name."""
    return {name: value for name, value in env.items() if name != _LIST}


def with_providers(config: FallbackConfig, env: Mapping[str, str]) -> FallbackConfig:
    """Returns `config` with the providers of `env`.

    Raises:
        ConfigError: As `fallback_config`.
    """
    return replace(config, providers=_providers(env))


def _providers(env: Mapping[str, str]) -> tuple[ProviderConfig, ...]:
    names = [name.strip() for name in env.get(_LIST, "").split(",") if name.strip()]
    if not names:
        names = [api.value for api in Api if makers_key(api, env)]
    return tuple(_provider(name, env) for name in names)


def _provider(name: str, env: Mapping[str, str]) -> ProviderConfig:
    prefix = f"FALLBACK_{name}".upper().replace("-", "_")
    return read_provider(
        name,
        {setting: env.get(f"{prefix}_{setting}".upper(), "") for setting in NAMES},
        lambda setting: f"{prefix}_{setting}".upper(),
        env,
        key=_api_key(f"{prefix}_API_KEY", env),
        terms=terms_of(prefix, env),
    )


def _api_key(variable: str, env: Mapping[str, str]) -> str | None:
    if key := env.get(variable, "").strip():
        return key
    path = env.get(f"{variable}_FILE")
    if not path:
        return None
    try:
        key = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{variable}_FILE: {path} cannot be read as text") from error
    if not key:
        raise ConfigError(f"{variable}_FILE: {path} is empty")
    return key
