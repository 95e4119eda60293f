"""How Fallback is run, and whom it may ask: read once, at start, from the environment."""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from arenalab.fallback.routing import Strategy
from arenalab.fallback.spending import TOTAL
from arenalab.fallback.terms import MAX_CAP_USD_MICROS, ProviderTerms, terms_of, usd_micros
from arenalab.mesh import ConfigError, address_of, ports, read_config


class Api(enum.Enum):
    """What a provider speaks."""

    OPENAI = "openai"  # chat completions, of OpenAI or compatible with it
    ANTHROPIC = "anthropic"  # Messages
    GEMINI = "gemini"  # generateContent


@dataclass(frozen=True, slots=True)
class _Maker:
    """Who made an API: where it is, what to ask when nothing is set."""

    base_url: str
    model: str
    key_variables: tuple[str, ...]  # of the environment, as its own libraries read them
    base_url_variable: str = ""


_MAKERS: Final = {
    Api.OPENAI: _Maker(
        "https://api.openai.com/v1", "gpt-4o-mini", ("OPENAI_API_KEY",), "OPENAI_BASE_URL"
    ),
    Api.ANTHROPIC: _Maker(
        "https://api.anthropic.com/v1", "claude-haiku-5-5", ("ANTHROPIC_API_KEY",)
    ),
    Api.GEMINI: _Maker(
        "https://generativelanguage.googleapis.com/v1beta",
        "gemini-3.8-flash",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    ),
}
# Versions of the Messages API. The newer one knows neither temperature nor top_p, and nor
# do the models since Claude 4.7 in the older one, but for their defaults.
ANTHROPIC_VERSIONS: Final = ("2026-10-21", "2023-06-01")

# What makes an answer differ but not be another answer.
DROPPABLE: Final = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "reasoning_effort",
        "seed",
        "stop",
        "temperature",
        "top_p",
        "verbosity",
    }
)

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_LIST: Final = "FALLBACK_PROVIDERS"
MAX_RETRIES: Final = 5
MIN_EVIDENCE_TOKENS: Final = 100


@dataclass(frozen=True, kw_only=True)
class ProviderConfig:
    """One endpoint. The key never shows in a repr, a log or an error."""

    name: str
    base_url: str  # up to and with the version, e.g. "https://api.openai.com/v1"
    default_model: str
    api_key: str | None = field(default=None, repr=False)
    api: Api = Api.OPENAI
    needs_key: bool = False  # without one, here or with the call, it is not asked
    api_version: str = ""  # of the wire format, where it has versions; empty: the newest
    # To generate at most, for a format that must be told when the call does not say.
    max_tokens: int = 4096
    # Request fields that are left out for this provider, which it would refuse.
    drop: frozenset[str] = frozenset()
    terms: ProviderTerms = field(default_factory=ProviderTerms)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"a provider's name must match {_NAME.pattern}, got {self.name!r}")
        if not self.default_model:
            raise ConfigError(f"provider {self.name}: the model must not be empty")
        # Neither value is shown: both may hold a secret.
        if not _is_plain_url(self.base_url):
            raise ConfigError(
                f"provider {self.name}: the base URL must be http(s)://host[:port][/path],"
                " without user, password, query or fragment"
            )
        if self.max_tokens < 1:
            raise ConfigError(f"provider {self.name}: max_tokens must be >= 1")
        versions = ANTHROPIC_VERSIONS if self.api is Api.ANTHROPIC else ()
        if self.api_version not in ("", *versions):
            raise ConfigError(
                f"provider {self.name}: the API version must be one of {list(versions)}"
            )
        if unknown := self.drop - DROPPABLE:
            raise ConfigError(f"provider {self.name}: {min(unknown)!r} cannot be dropped")
        if self.api_key is not None and not re.fullmatch(r"[\x21-\x7e]+", self.api_key):
            raise ConfigError(
                f"provider {self.name}: the key must be visible ASCII characters, without spaces"
            )


def _is_plain_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return (
            url.scheme in ("http", "https")
            and bool(url.hostname)
            and (url.port is None or url.port > 0)
            and "@" not in url.netloc
            and not (url.query or url.fragment)
        )
    except ValueError:  # a port or an IPv6 address that is none
        return False


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
    `_API_VERSION`, `_MAX_TOKENS` and `_DROP` (names, by commas) set the rest of
    `ProviderConfig`; a key is needed, if nothing else is said, at a maker's own address.
    The terms on which it is asked are read as `terms_of` says.

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
        names = [api.value for api, maker in _MAKERS.items() if _makers_key(maker, env)]
    return tuple(_provider(name, env) for name in names)


def _provider(name: str, env: Mapping[str, str]) -> ProviderConfig:
    prefix = f"FALLBACK_{name}".upper().replace("-", "_")
    base_url = env.get(f"{prefix}_BASE_URL", "")
    api = _api(f"{prefix}_API", env) or _guessed_api(name, base_url)
    key = _api_key(f"{prefix}_API_KEY", env)
    model = env.get(f"{prefix}_MODEL", "")
    maker = _MAKERS[api]
    if api.value == name:  # its maker's own, unless something else is said
        key = key or _makers_key(maker, env)
        base_url = base_url or env.get(maker.base_url_variable, "") or maker.base_url
        model = model or maker.model
    for variable, value in ((f"{prefix}_BASE_URL", base_url), (f"{prefix}_MODEL", model)):
        if not value:
            raise ConfigError(f"{_LIST} names {name!r}, so {variable} must be set")
    return ProviderConfig(
        name=name,
        base_url=base_url,
        default_model=model,
        api_key=key,
        api=api,
        needs_key=_needs_key(f"{prefix}_NEEDS_KEY", env, is_makers=base_url == maker.base_url),
        api_version=env.get(f"{prefix}_API_VERSION", ""),
        max_tokens=_count(f"{prefix}_MAX_TOKENS", env, ProviderConfig.max_tokens),
        drop=frozenset(n.strip() for n in env.get(f"{prefix}_DROP", "").split(",") if n.strip()),
        terms=terms_of(prefix, env),
    )


def _api(variable: str, env: Mapping[str, str]) -> Api | None:
    value = env.get(variable, "").strip().lower()
    if not value:
        return None
    try:
        return Api(value)
    except ValueError as error:
        known = ", ".join(api.value for api in Api)
        raise ConfigError(f"{variable} must be one of {known}") from error


def _guessed_api(name: str, base_url: str) -> Api:
    """Returns what a provider speaks by where it is, else by its name."""
    try:
        url = urlsplit(base_url)
        host, path = url.hostname or "", url.path.rstrip("/")
    except ValueError:  # refused later, without showing it
        return Api.OPENAI
    if path.endswith("/openai"):  # Gemini's own translation of the OpenAI API
        return Api.OPENAI
    for api, maker in _MAKERS.items():
        if host == urlsplit(maker.base_url).hostname:
            return api
    return Api(name) if name in {api.value for api in Api} else Api.OPENAI


def _makers_key(maker: _Maker, env: Mapping[str, str]) -> str | None:
    keys = (env.get(variable, "").strip() for variable in maker.key_variables)
    return next((key for key in keys if key), None)


def _needs_key(variable: str, env: Mapping[str, str], *, is_makers: bool) -> bool:
    value = env.get(variable, "").strip().lower()
    if value not in ("", "0", "1", "false", "true"):
        raise ConfigError(f"{variable} must be true or false")
    return value in ("1", "true") if value else is_makers


def _count(variable: str, env: Mapping[str, str], default: int) -> int:
    value = env.get(variable, "").strip()
    if not value:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise ConfigError(f"{variable} must be a whole number")
    return int(value)


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
