"""Price tables made of the lists that others publish.

LiteLLM      model_prices_and_context_window.json: one object, a key for each model
OpenRouter   the answer of /api/v1/models: {"data": [{"id", "pricing"}]}
genai-prices data.json or data_slim.json: an array of providers with their models

Each is known by its shape. What has no price for text tokens (images, audio, embeddings)
is left out; so is what is not a number. Numbers are read as decimals: a price in binary
would be off by a millionth here and there.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from arenalab.fallback.prices import (
    MAX_ENTRIES,
    MAX_PRICE,
    MILLION,
    Entry,
    Price,
    PriceError,
    PriceTable,
    read_table,
)

# What LiteLLM calls a provider, where others call it otherwise.
_NAMES: Final = {
    "vertex_ai-language-models": "google",
    "gemini": "google",
    "text-completion-openai": "openai",
    "mistralai": "mistral",
    "x-ai": "xai",
}
_CHAT: Final = frozenset({"chat", "completion", "responses"})
_PER_TOKEN: Final = Decimal(MILLION) * MILLION  # dollars a token → millionths a million
_PER_MILLION: Final = Decimal(MILLION)  # dollars a million → millionths a million
_LONG: Final = ("_above_128k_tokens", "_above_200k_tokens", "_above_256k_tokens")
_THOUSAND: Final = 1000


def table_of(text: str, *, as_of: str, source: str) -> PriceTable:
    """Returns the prices of a published list, or of a table in our own format.

    Args:
        text: JSON.
        as_of: The day on which it was fetched, "2026-11-28". A table of our own has its own.
        source: Where it was fetched.

    Raises:
        PriceError: It is in none of the formats, or holds no price.
    """
    try:
        found = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise PriceError("the list is not JSON") from error
    if isinstance(found, dict) and "format" in found:
        return read_table(text)
    entries = {(e.provider, e.model): e for e in _entries(found)}
    if not entries:
        raise PriceError(
            "the list holds no prices that are understood: it must be LiteLLM's, OpenRouter's, "
            "genai-prices' or a table of our own"
        )
    if len(entries) > MAX_ENTRIES:
        raise PriceError(f"the list holds more than {MAX_ENTRIES} prices")
    return PriceTable([entries[key] for key in sorted(entries)], as_of=as_of, source=source)


def _entries(found: Any) -> Iterator[Entry]:
    if isinstance(found, list):
        return _genai_prices(found)
    if isinstance(found, dict) and isinstance(found.get("data"), list):
        return _openrouter(found["data"])
    return _litellm(found) if isinstance(found, dict) else iter(())


def _litellm(found: Mapping[str, Any]) -> Iterator[Entry]:
    for key, model in found.items():
        if not isinstance(model, dict) or model.get("mode") not in _CHAT:
            continue
        provider = str(model.get("litellm_provider", ""))
        # "gemini/gemini-2.5-pro": the provider's name may come before the model's.
        name = key.removeprefix(f"{provider}/")
        price = _price(
            model.get("input_cost_per_token"),
            model.get("output_cost_per_token"),
            model.get("cache_read_input_token_cost"),
            _PER_TOKEN,
        )
        if price is not None and provider and name != "sample_spec":
            yield Entry(_NAMES.get(provider, provider), name, _with_long(price, model))


def _with_long(price: Price, model: Mapping[str, Any]) -> Price:
    for suffix in _LONG:
        long = _price(
            model.get(f"input_cost_per_token{suffix}"),
            model.get(f"output_cost_per_token{suffix}"),
            model.get(f"cache_read_input_token_cost{suffix}"),
            _PER_TOKEN,
        )
        if long is not None:
            start = int(suffix.removeprefix("_above_").removesuffix("k_tokens")) * _THOUSAND
            return _lengthened(price, start, long)
    return price


def _openrouter(models: Iterable[Any]) -> Iterator[Entry]:
    for model in models:
        pricing = model.get("pricing") if isinstance(model, dict) else None
        name = model.get("id") if isinstance(model, dict) else None
        if not isinstance(pricing, dict) or not isinstance(name, str):
            continue
        price = _price(
            pricing.get("prompt"),
            pricing.get("completion"),
            pricing.get("input_cache_read"),
            _PER_TOKEN,
        )
        if price is None:
            continue
        # OpenRouter's own price of a model; without a variant (":free") it is the maker's too.
        yield Entry("openrouter", name, price)
        maker, _, rest = name.partition("/")
        if rest and ":" not in rest:
            yield Entry(_NAMES.get(maker, maker), rest, price)


def _genai_prices(providers: Iterable[Any]) -> Iterator[Entry]:
    for provider in providers:
        if not isinstance(provider, dict) or not isinstance(provider.get("models"), list):
            continue
        owner = str(provider.get("id", ""))
        for model in provider["models"]:
            price = _genai_price(model.get("prices")) if isinstance(model, dict) else None
            if price is None:
                continue
            for pattern in {str(model.get("id", "")), *_patterns(model.get("match"))} - {""}:
                yield Entry(_NAMES.get(owner, owner), pattern, price)


def _genai_price(prices: Any) -> Price | None:
    if isinstance(prices, list):  # by the day from which they hold; the last one does now
        prices = prices[-1].get("prices") if prices and isinstance(prices[-1], dict) else None
    if not isinstance(prices, dict):
        return None
    named = [prices.get(name) for name in ("input_mtok", "output_mtok", "cache_read_mtok")]
    given, made, cached = (
        value.get("base") if isinstance(value, dict) else value for value in named
    )
    price = _price(given, made, cached, _PER_MILLION)
    tiers = [tier for value in named if (tier := _tier(value)) is not None]
    if price is None or not tiers:
        return price
    given, made, cached = (
        value if (tier := _tier(value)) is None else tier.get("price") for value in named
    )
    long = _price(given, made, cached, _PER_MILLION)
    return price if long is None else _lengthened(price, int(tiers[0].get("start", 0)), long)


def _tier(value: Any) -> Mapping[str, Any] | None:
    tiers = value.get("tiers") if isinstance(value, dict) else None
    return tiers[0] if isinstance(tiers, list) and tiers and isinstance(tiers[0], dict) else None


def _patterns(match: Any) -> Iterator[str]:
    """Yields the patterns of a clause; a regular expression has none here."""
    if not isinstance(match, dict):
        return
    for kind, value in match.items():
        if kind == "or" and isinstance(value, list):
            for clause in value:
                yield from _patterns(clause)
        elif isinstance(value, str) and kind in _SHAPES and not set(value) & set("*?["):
            yield _SHAPES[kind].format(value)


_SHAPES: Final = {
    "equals": "{}",
    "starts_with": "{}*",
    "ends_with": "*{}",
    "contains": "*{}*",
}


def _lengthened(price: Price, start: int, long: Price) -> Price:
    return replace(price, long_from=start, long=long)


def _price(given: Any, made: Any, cached: Any, unit: Decimal) -> Price | None:
    first, second = _micros(given, unit), _micros(made, unit)
    if first is None or second is None:
        return None
    return Price(input=first, output=second, cached_input=_micros(cached, unit))


def _micros(value: Any, unit: Decimal) -> int | None:
    """Returns a price in our unit, rounded up; None for what is none."""
    if value is None or isinstance(value, bool):
        return None
    try:
        price = Decimal(value) * unit
    except (InvalidOperation, TypeError, ValueError):
        return None
    # OpenRouter's -1 means that the price depends on the model that it picks.
    if not price.is_finite() or not 0 <= price <= MAX_PRICE:
        return None
    return int(price.to_integral_value(rounding="ROUND_CEILING"))
