"""Whom Fallback may ask: one endpoint's settings, and how they are read."""

import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from arenalab.fallback.terms import ProviderTerms, environment_of_terms
from arenalab.mesh import ConfigError

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
# The settings of a provider, besides its name, its key and its terms.
NAMES: Final = frozenset(
    {"api", "api_version", "base_url", "drop", "max_tokens", "model", "needs_key"}
)


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

# Gone from the newest: no Claude of it can be told how to sample, and most clients say it.
# Refusing them would be refusing the clients, so that they are left out if nothing else is said.
ANTHROPIC_DROP: Final = frozenset({"temperature", "top_p"})
_NONE: Final = "none"  # of the fields to drop, where some are dropped by default

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
    # To generate at most, thoughts included, for a format that must be told when the call
    # does not say.
    max_tokens: int = 8192
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


def read_provider(
    name: str,
    texts: Mapping[str, str],
    place: Callable[[str], str],
    env: Mapping[str, str],
    *,
    key: str | None,
    terms: ProviderTerms,
) -> ProviderConfig:
    """Returns the provider that texts describe; an absent or empty one leaves the default.

    Args:
        name: Of the provider. One that is called as an API is its maker's own, unless
            something else is said.
        texts: By the names of `NAMES`.
        place: Where a setting of a name was read, for messages.
        env: Has the keys that the makers' own libraries read.
        key: Of the provider; None: its maker's, if it is its maker's own.
        terms: On which it is asked.

    Raises:
        ConfigError: A value is missing, does not parse or is out of range.
    """
    read = _Reader(texts, place)
    base_url, model = read.text("base_url"), read.text("model")
    api = read.api() or _guessed_api(name, base_url)
    maker = _MAKERS[api]
    if api.value == name:
        key = key or makers_key(api, env)
        base_url = base_url or env.get(maker.base_url_variable, "") or maker.base_url
        model = model or maker.model
    for setting, value in (("base_url", base_url), ("model", model)):
        if not value:
            raise ConfigError(f"{place(setting)} must be set")
    version = read.text("api_version")
    return ProviderConfig(
        name=name,
        base_url=base_url,
        default_model=model,
        api_key=key,
        api=api,
        needs_key=read.flag("needs_key", default=base_url == maker.base_url),
        api_version=version,
        max_tokens=read.whole("max_tokens", ProviderConfig.max_tokens),
        drop=read.drop(ANTHROPIC_DROP if _cannot_sample(api, version) else frozenset()),
        terms=terms,
    )


def environment_of_provider(prefix: str, provider: ProviderConfig) -> dict[str, str]:
    """Returns the variables from which a process of its own reads this provider, key included."""
    found = {
        f"{prefix}_BASE_URL": provider.base_url,
        f"{prefix}_MODEL": provider.default_model,
        f"{prefix}_API": provider.api.value,
        f"{prefix}_API_VERSION": provider.api_version,
        f"{prefix}_NEEDS_KEY": str(provider.needs_key).lower(),
        f"{prefix}_MAX_TOKENS": str(provider.max_tokens),
        f"{prefix}_DROP": ",".join(sorted(provider.drop)) or _NONE,
    }
    if provider.api_key:
        found[f"{prefix}_API_KEY"] = provider.api_key
    return found | environment_of_terms(prefix, provider.terms)


def makers_key(api: Api, env: Mapping[str, str]) -> str | None:
    """Returns the key that the maker's own libraries would take from the environment."""
    keys = (env.get(variable, "").strip() for variable in _MAKERS[api].key_variables)
    return next((key for key in keys if key), None)


def _cannot_sample(api: Api, version: str) -> bool:
    return api is Api.ANTHROPIC and version in ("", ANTHROPIC_VERSIONS[0])


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


@dataclass(frozen=True, slots=True)
class _Reader:
    texts: Mapping[str, str]
    place: Callable[[str], str]

    def text(self, name: str) -> str:
        return self.texts.get(name, "").strip()

    def api(self) -> Api | None:
        text = self.text("api").lower()
        try:
            return Api(text) if text else None
        except ValueError as error:
            known = ", ".join(api.value for api in Api)
            raise ConfigError(f"{self.place('api')} must be one of {known}") from error

    def flag(self, name: str, *, default: bool) -> bool:
        text = self.text(name).lower()
        if text not in ("", "0", "1", "false", "true"):
            raise ConfigError(f"{self.place(name)} must be true or false")
        return text in ("1", "true") if text else default

    def drop(self, default: frozenset[str]) -> frozenset[str]:
        text = self.text("drop")
        if not text:
            return default
        names = (name.strip() for name in text.split(","))
        return frozenset() if text == _NONE else frozenset(filter(None, names))

    def whole(self, name: str, default: int) -> int:
        text = self.text(name)
        if text and not re.fullmatch(r"[0-9]{1,9}", text):
            raise ConfigError(f"{self.place(name)} must be a whole number")
        return int(text) if text else default
