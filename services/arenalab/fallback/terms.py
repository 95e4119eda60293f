"""On what terms a provider is asked: which models it is for, how often, and what it may cost."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final
from urllib.parse import urlsplit

from arenalab.fallback.prices import MAX_PRICE, MILLION, Price
from arenalab.mesh import ConfigError

# Whose prices hold at an address. A provider elsewhere has those of its own name.
_MAKERS: Final = {
    "api.anthropic.com": "anthropic",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral",
    "api.openai.com": "openai",
    "api.together.xyz": "together",
    "api.x.ai": "xai",
    "generativelanguage.googleapis.com": "google",
    "openrouter.ai": "openrouter",
}
_NAMES: Final = {"gemini": "google"}
# A million dollars a day: more is a mistake of units.
MAX_CAP_USD_MICROS: Final = MILLION * MILLION


@dataclass(frozen=True, kw_only=True)
class ProviderTerms:
    """Terms of one provider."""

    weight: float = 1.0  # in weighted routing; 0: only when the others fail
    max_concurrent: int = 0  # completions at the same time; 0: no bound but the service's
    daily_cap_usd_micros: int | None = None  # a day of UTC
    models: tuple[str, ...] = ()  # patterns of what it is asked for when only a model is named
    prices_of: str = ""  # its name in the price table; empty: told by its address or its name
    price: Price | None = None  # of all its models; replaces the table


# The settings of the terms, as they are named in a file.
NAMES: Final = frozenset(
    {"weight", "max_concurrent", "daily_cap_usd", "models", "prices_of", "price_usd"}
)


def terms_of(prefix: str, env: Mapping[str, str]) -> ProviderTerms:
    """Returns the terms of the provider whose variables begin with `prefix`.

    `_WEIGHT`, `_MAX_CONCURRENT`, `_DAILY_CAP_USD`, `_MODELS` (patterns, by commas),
    `_PRICES_OF` (a name in the price table), and `_PRICE_USD` in dollars for a million
    tokens: "0.15/0.60" for input and output, "0.15/0.60/0.075" with cached input, "0/0" for
    a server of one's own.

    Raises:
        ConfigError: A value does not parse or is out of range; the message names it.
    """
    texts = {name: env.get(f"{prefix}_{name}".upper(), "") for name in NAMES}
    return read_terms(texts, lambda name: f"{prefix}_{name}".upper())


def read_terms(texts: Mapping[str, str], place: Callable[[str], str]) -> ProviderTerms:
    """Returns the terms that texts say; an absent or empty one leaves the default.

    Args:
        texts: By the names of `NAMES`.
        place: Where a setting of a name was read, for messages.

    Raises:
        ConfigError: As `terms_of`.
    """
    read = _Reader({name: text.strip() for name, text in texts.items()}, place)
    weight = read.number("weight", 1.0)
    if not (weight >= 0 and math.isfinite(weight)):
        raise ConfigError(f"{place('weight')} must be a number >= 0, got {weight}")
    return ProviderTerms(
        weight=weight,
        max_concurrent=read.whole("max_concurrent"),
        daily_cap_usd_micros=read.cap("daily_cap_usd"),
        models=tuple(
            pattern.strip() for pattern in read.text("models").split(",") if pattern.strip()
        ),
        prices_of=read.text("prices_of"),
        price=read.price("price_usd"),
    )


def environment_of_terms(prefix: str, terms: ProviderTerms) -> dict[str, str]:
    """Returns the variables from which `terms_of` reads these terms."""
    found = {
        f"{prefix}_WEIGHT": str(terms.weight),
        f"{prefix}_MAX_CONCURRENT": str(terms.max_concurrent),
        f"{prefix}_MODELS": ",".join(terms.models),
        f"{prefix}_PRICES_OF": terms.prices_of,
    }
    if terms.daily_cap_usd_micros is not None:
        found[f"{prefix}_DAILY_CAP_USD"] = _dollars(terms.daily_cap_usd_micros)
    if (price := terms.price) is not None:
        parts = [price.input, price.output]
        parts += [] if price.cached_input is None else [price.cached_input]
        found[f"{prefix}_PRICE_USD"] = "/".join(map(_dollars, parts))
    return found


def makers_name(name: str, base_url: str, prices_of: str) -> str:
    """Returns under which name the price table has a provider."""
    host = urlsplit(base_url).hostname or ""
    return prices_of or _MAKERS.get(host) or _NAMES.get(name, name)


def usd_micros(text: str, variable: str, limit: int) -> int:
    """Returns an amount in dollars as millionths.

    Raises:
        ConfigError: It is no number in [0, limit], or finer than a millionth.
    """
    try:
        value = Decimal(text.strip()) * MILLION
    except InvalidOperation as error:
        raise ConfigError(f"{variable} must be a number of dollars, got {text!r}") from error
    if not value.is_finite() or not 0 <= value <= limit or value != int(value):
        most = limit // MILLION
        raise ConfigError(
            f"{variable} must be in [0, {most}] dollars, in whole millionths; got {text!r}"
        )
    return int(value)


def _dollars(micros: int) -> str:
    return format(Decimal(micros) / MILLION, "f")


@dataclass(frozen=True, slots=True)
class _Reader:
    texts: Mapping[str, str]
    place: Callable[[str], str]

    def text(self, name: str) -> str:
        return self.texts.get(name, "")

    def cap(self, name: str) -> int | None:
        text = self.text(name)
        return usd_micros(text, self.place(name), MAX_CAP_USD_MICROS) if text else None

    def price(self, name: str) -> Price | None:
        text = self.text(name)
        if not text:
            return None
        parts = [usd_micros(part, self.place(name), MAX_PRICE) for part in text.split("/")]
        if len(parts) not in (2, 3):
            raise ConfigError(
                f"{self.place(name)} must be INPUT/OUTPUT or INPUT/OUTPUT/CACHED, got {text!r}"
            )
        return Price(input=parts[0], output=parts[1], cached_input=parts[2] if parts[2:] else None)

    def number(self, name: str, default: float) -> float:
        text = self.text(name)
        try:
            return float(text) if text else default
        except ValueError as error:
            raise ConfigError(f"{self.place(name)} must be a number, got {text!r}") from error

    def whole(self, name: str) -> int:
        text = self.text(name)
        if text and not text.isdecimal():
            raise ConfigError(f"{self.place(name)} must be a whole number >= 0, got {text!r}")
        return int(text) if text else 0
