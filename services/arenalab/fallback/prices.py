"""What tokens cost: a table of prices, and what a call costs by it. Whole numbers only.

Prices are in millionths of a US dollar for a million tokens: 2.50 dollars a million are
2,500,000, and one token of them 2.5 millionths. Costs are added up exactly and rounded up
once, to whole millionths.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Final

FORMAT: Final = "arenalab-prices-1"
MILLION: Final = 1_000_000
# 10,000 dollars for a million tokens: more is a mistake of units.
MAX_PRICE: Final = 10_000 * MILLION
MAX_ENTRIES: Final = 20_000
_GLOB: Final = frozenset("*?[")
_PRICES: Final = ("input", "output", "cached_input")
_UNIT: Final = "_usd_micros_per_million"


class PriceError(ValueError):
    """A table of prices is not in its format."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of a call."""

    prompt_tokens: int
    completion_tokens: int
    cached_prompt_tokens: int = 0  # of the prompt's


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a model's tokens cost, in millionths of a US dollar for a million of them."""

    input: int
    output: int
    cached_input: int | None = None  # None: as `input`
    long_from: int = 0  # prompts of more tokens cost as `long` says; 0: none do
    long: "Price | None" = None

    def cost_usd_micros(self, usage: Usage) -> int:
        """Returns what a call costs, rounded up."""
        if self.long is not None and usage.prompt_tokens > self.long_from:
            return self.long.cost_usd_micros(usage)
        cached = min(usage.cached_prompt_tokens, usage.prompt_tokens)
        cached_price = self.input if self.cached_input is None else self.cached_input
        total = (
            (usage.prompt_tokens - cached) * self.input
            + cached * cached_price
            + usage.completion_tokens * self.output
        )
        return -(-total // MILLION)


@dataclass(frozen=True, slots=True)
class Entry:
    """The price of the models of a provider whose names match a pattern."""

    provider: str
    model: str  # a name, or a pattern in the style of a shell
    price: Price


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices by provider and model."""

    entries: Sequence[Entry] = ()
    as_of: str = ""  # the day for which the source gives them, or on which they were fetched
    source: str = ""
    _exact: Mapping[tuple[str, str], Price] = field(init=False, repr=False, compare=False)
    _patterns: Mapping[str, Sequence[Entry]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        exact: dict[tuple[str, str], Price] = {}
        patterns: dict[str, list[Entry]] = {}
        for entry in self.entries:
            if _GLOB.isdisjoint(entry.model):
                exact[entry.provider, entry.model] = entry.price
            else:
                patterns.setdefault(entry.provider, []).append(entry)
        for entries in patterns.values():  # the most specific pattern first
            entries.sort(key=lambda entry: -len(entry.model))
        object.__setattr__(self, "_exact", exact)
        object.__setattr__(self, "_patterns", patterns)

    def find(self, provider: str, model: str) -> Price | None:
        """Returns the price of a model; None when the table does not have it.

        A name in full counts before patterns, and a longer pattern before a shorter one.
        """
        if (found := self._exact.get((provider, model))) is not None:
            return found
        for entry in self._patterns.get(provider, ()):
            if fnmatchcase(model, entry.model):
                return entry.price
        return None


def read_table(text: str) -> PriceTable:
    """Returns the table that a JSON text holds, in the format that `write_table` writes.

    Raises:
        PriceError: It is none; the message says where.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PriceError("the table is not JSON") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise PriceError(f"the table is not a JSON object whose format is {FORMAT!r}")
    models = found.get("models")
    if not isinstance(models, list) or len(models) > MAX_ENTRIES:
        raise PriceError(f"models must be an array of at most {MAX_ENTRIES} objects")
    return PriceTable(
        [_entry(f"models[{n}]", model) for n, model in enumerate(models)],
        as_of=_text(found, "as_of", "the table"),
        source=_text(found, "source", "the table"),
    )


def write_table(table: PriceTable) -> str:
    """Returns a table as JSON, one entry a line."""
    head = {"format": FORMAT, "as_of": table.as_of, "source": table.source}
    lines = ",\n".join(f"    {json.dumps(_form(entry))}" for entry in table.entries)
    return f'{json.dumps(head, indent=2)[:-2]},\n  "models": [\n{lines}\n  ]\n}}\n'


def checked_price(value: int, where: str) -> int:
    """Returns a price that is one.

    Raises:
        PriceError: It is negative, or more than 10,000 dollars for a million tokens.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_PRICE:
        raise PriceError(f"{where} must be a whole number in [0, {MAX_PRICE}], got {value!r}")
    return value


def _entry(where: str, found: Any) -> Entry:
    if not isinstance(found, dict):
        raise PriceError(f"{where} must be an object")
    provider, model = _text(found, "provider", where), _text(found, "model", where)
    if not provider or not model:
        raise PriceError(f"{where} needs a provider and a model")
    return Entry(provider, model, _price(where, found))


def _price(where: str, found: Mapping[str, Any]) -> Price:
    price = _flat_price(where, found)
    long = found.get("long")
    if long is None:
        return price
    if not isinstance(long, dict):
        raise PriceError(f"{where}.long must be an object")
    start = checked_price(long.get("from_prompt_tokens", -1), f"{where}.long.from_prompt_tokens")
    return replace(price, long_from=start, long=_flat_price(f"{where}.long", long))


def _flat_price(where: str, found: Mapping[str, Any]) -> Price:
    def given(name: str) -> int | None:
        value = found.get(name + _UNIT)
        return None if value is None else checked_price(value, f"{where}.{name}{_UNIT}")

    first, second = given("input"), given("output")
    if first is None or second is None:
        raise PriceError(f"{where} needs input{_UNIT} and output{_UNIT}")
    return Price(input=first, output=second, cached_input=given("cached_input"))


def _form(entry: Entry) -> dict[str, object]:
    return {"provider": entry.provider, "model": entry.model, **_price_form(entry.price)}


def _price_form(price: Price) -> dict[str, object]:
    form: dict[str, object] = {
        name + _UNIT: value for name in _PRICES if (value := getattr(price, name)) is not None
    }
    if price.long is not None:
        form["long"] = {"from_prompt_tokens": price.long_from, **_price_form(price.long)}
    return form


def _text(found: Mapping[str, Any], name: str, where: str) -> str:
    value = found.get(name, "")
    if not isinstance(value, str):
        raise PriceError(f"{name} of {where} must be a string")
    return value
