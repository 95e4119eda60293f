"""How Fallback is run, and whom it may ask: read once, at start, from the environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from arenalab.mesh import ConfigError, address_of, ports, read_config

OPENAI_BASE_URL: Final = "https://api.openai.com/v1"
OPENAI_MODEL: Final = "gpt-4o-mini"

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_LIST: Final = "FALLBACK_PROVIDERS"


@dataclass(frozen=True, kw_only=True)
class ProviderConfig:
    """One OpenAI-compatible endpoint. The key never shows in a repr, a log or an error."""

    name: str
    base_url: str  # up to and with the version, e.g. "https://api.openai.com/v1"
    default_model: str
    api_key: str | None = field(default=None, repr=False)

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
    first_byte_timeout_s: float = 30.0  # from the request to the first event of the answer
    idle_timeout_s: float = 60.0  # between two pieces of the answer
    retry_pause_s: float = 0.2  # before the one retry; a Retry-After may make it longer
    max_concurrent: int = 64  # completions at the same time; one more is refused
    breaker_failures: int = 5  # in a row, before a provider is skipped
    breaker_pause_s: float = 5.0  # first pause; it doubles each time the trial call fails
    breaker_max_pause_s: float = 120.0
    max_evidence_chars: int = 8_000  # of evidence in a prompt, about 2,000 tokens

    def __post_init__(self) -> None:
        for name in ("connect_timeout_s", "first_byte_timeout_s", "idle_timeout_s"):
            _require(getattr(self, name) > 0, name, "> 0")
        _require(self.retry_pause_s >= 0, "retry_pause_s", ">= 0")
        _require(self.max_concurrent >= 1, "max_concurrent", ">= 1")
        _require(self.breaker_failures >= 1, "breaker_failures", ">= 1")
        _require(self.breaker_pause_s > 0, "breaker_pause_s", "> 0")
        _require(
            self.breaker_max_pause_s >= self.breaker_pause_s,
            "breaker_max_pause_s",
            ">= FALLBACK_BREAKER_PAUSE_S",
        )
        _require(self.max_evidence_chars >= 200, "max_evidence_chars", ">= 200")  # noqa: PLR2004
        names = [provider.name for provider in self.providers]
        if len(set(names)) < len(names):
            raise ConfigError(f"{_LIST}: a name occurs twice in {','.join(names)}")


def _require(holds: bool, name: str, rule: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not holds:  # NaN fails every comparison
        raise ConfigError(f"FALLBACK_{name.upper()} must be {rule}")


def fallback_config(env: Mapping[str, str]) -> FallbackConfig:
    """Returns all settings that `env` holds, providers and keys included.

    `FALLBACK_PROVIDERS` names the providers in order; of each,
    `FALLBACK_<NAME>_BASE_URL`, `FALLBACK_<NAME>_MODEL`, and, if it wants one,
    `FALLBACK_<NAME>_API_KEY` or `FALLBACK_<NAME>_API_KEY_FILE`. When it names none
    and `OPENAI_API_KEY` is set, there is one provider, "openai".

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
    if names:
        return tuple(_provider(name, env) for name in names)
    if key := env.get("OPENAI_API_KEY"):
        return (
            ProviderConfig(
                name="openai",
                base_url=env.get("OPENAI_BASE_URL") or OPENAI_BASE_URL,
                default_model=env.get("FALLBACK_OPENAI_MODEL") or OPENAI_MODEL,
                api_key=key.strip(),
            ),
        )
    return ()


def _provider(name: str, env: Mapping[str, str]) -> ProviderConfig:
    prefix = f"FALLBACK_{name}".upper().replace("-", "_")
    for variable in (f"{prefix}_BASE_URL", f"{prefix}_MODEL"):
        if not env.get(variable):
            raise ConfigError(f"{_LIST} names {name!r}, so {variable} must be set")
    return ProviderConfig(
        name=name,
        base_url=env[f"{prefix}_BASE_URL"],
        default_model=env[f"{prefix}_MODEL"],
        api_key=_api_key(f"{prefix}_API_KEY", env),
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
