import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.fallback.price_file import CHECK_S, PriceFile, shipped_table
from arenalab.fallback.prices import (
    MAX_PRICE,
    Entry,
    Price,
    PriceError,
    PriceTable,
    Usage,
    read_table,
    write_table,
)
from arenalab.mesh import ConfigError

EXAMPLES = 40
MINI = Price(input=150_000, output=600_000, cached_input=75_000)
_amounts = st.integers(0, MAX_PRICE)
_counts = st.integers(0, 10**6)
_flat = st.builds(Price, input=_amounts, output=_amounts, cached_input=st.none() | _amounts)
_prices = _flat | st.builds(
    Price, input=_amounts, output=_amounts, long_from=st.integers(1, 10**6), long=_flat
)
_names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
_tables = st.builds(
    PriceTable,
    st.lists(st.builds(Entry, _names, _names, _prices), max_size=5),
    as_of=_names,
    source=_names,
)


@pytest.mark.parametrize(
    ("usage", "usd_micros"),
    [
        (Usage(0, 0), 0),
        (Usage(1_000_000, 0), 150_000),
        (Usage(0, 1_000_000), 600_000),
        (Usage(1_000_000, 0, 1_000_000), 75_000),
        (Usage(1, 0), 1),  # 0.15 of a millionth
        (Usage(7, 5), 5),  # 1.05 + 3.0
        (Usage(10, 0, 4), 2),  # 0.9 + 0.3, rounded up once
        (Usage(10, 0, 400), 1),  # more cached than there were
    ],
)
def test_a_cost_is_rounded_up_once(usage: Usage, usd_micros: int) -> None:
    assert MINI.cost_usd_micros(usage) == usd_micros


@settings(max_examples=EXAMPLES)
@given(_flat, _counts, _counts, _counts)
def test_a_cost_is_the_least_whole_number_not_below_the_exact_one(
    price: Price, prompt: int, completion: int, cached: int
) -> None:
    cached = min(cached, prompt)
    cheap = price.input if price.cached_input is None else price.cached_input
    exact = Fraction(
        (prompt - cached) * price.input + cached * cheap + completion * price.output, 10**6
    )
    assert 0 <= price.cost_usd_micros(Usage(prompt, completion, cached)) - exact < 1


def test_a_long_prompt_has_prices_of_its_own() -> None:
    price = Price(input=1_000_000, output=0, long_from=100, long=Price(input=3_000_000, output=0))
    assert price.cost_usd_micros(Usage(100, 0)) == 100
    assert price.cost_usd_micros(Usage(101, 0)) == 303


def test_a_full_name_counts_before_a_pattern_and_a_longer_pattern_before_a_shorter() -> None:
    given = {"gpt-*": 1, "gpt-4o*": 2, "gpt-4o-mini": 3}
    table = PriceTable([Entry("openai", m, Price(input=n, output=n)) for m, n in given.items()])
    found = {m: table.find("openai", m) for m in ("gpt-5", "gpt-4o-2024", "gpt-4o-mini", "o3")}
    assert [p and p.input for p in found.values()] == [1, 2, 3, None]
    assert table.find("azure", "gpt-5") is None


@settings(max_examples=EXAMPLES)
@given(_tables)
def test_a_table_reads_back_as_it_was_written(table: PriceTable) -> None:
    assert read_table(write_table(table)) == table


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"provider": ""}, "provider and a model"),
        ({"model": 7}, "model of"),
        ({"input_usd_micros_per_million": 0.15}, r"models\[0\]\.input"),
        ({"input_usd_micros_per_million": True}, "whole number"),
        ({"output_usd_micros_per_million": -1}, "whole number"),
        ({"output_usd_micros_per_million": None}, "needs"),
        ({"cached_input_usd_micros_per_million": MAX_PRICE + 1}, "cached_input"),
        ({"long": 3}, "long must be an object"),
        ({"long": {"from_prompt_tokens": 1}}, r"models\[0\]\.long needs"),
    ],
)
def test_a_table_that_would_mislead_is_refused(change: dict[str, object], said: str) -> None:
    found = json.loads(write_table(PriceTable([Entry("openai", "gpt", MINI)])))
    found["models"][0] |= change
    with pytest.raises(PriceError, match=said):
        read_table(json.dumps(found))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "other"}', '{"format": "arenal'])
def test_what_is_no_table_is_refused(text: str) -> None:
    with pytest.raises(PriceError):
        read_table(text)


def test_the_shipped_table_says_of_when_and_whose_it_is() -> None:
    table = shipped_table()
    assert table.as_of
    assert "genai-prices" in table.source
    assert table.find("openai", "gpt-4o-mini") == MINI
    assert table.find("openai", "gpt-4o-mini-2024-07-18") == MINI
    assert table.find("openai", "gpt-4o-mini-audio-preview") is None


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def table_of(price: int) -> str:
    return write_table(PriceTable([Entry("a", "m", Price(input=price, output=price))]))


def input_of(file: PriceFile) -> int:
    price = file.table().find("a", "m")
    assert price is not None
    return price.input


def test_a_changed_file_is_read_again_after_a_second(tmp_path: Path) -> None:
    path, clock = tmp_path / "prices.json", Clock()
    path.write_text(table_of(1))
    file = PriceFile(path, clock)
    path.write_text(table_of(22))
    assert input_of(file) == 1
    clock.now_s += CHECK_S
    assert input_of(file) == 22


@pytest.mark.parametrize("damage", ["not json", None])
def test_a_file_that_is_damaged_or_gone_changes_nothing(tmp_path: Path, damage: str | None) -> None:
    path, clock = tmp_path / "prices.json", Clock()
    path.write_text(table_of(1))
    file = PriceFile(path, clock)
    if damage is None:
        path.unlink()
    else:
        path.write_text(damage)
    clock.now_s += CHECK_S
    assert input_of(file) == 1
    path.write_text(table_of(333))
    clock.now_s += CHECK_S
    assert input_of(file) == 333


def test_a_file_that_is_no_table_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        PriceFile(tmp_path)


def test_until_there_is_a_file_the_shipped_prices_hold(tmp_path: Path) -> None:
    path, clock = tmp_path / "prices.json", Clock()
    file = PriceFile(path, clock)
    assert file.table() == shipped_table()
    path.write_text(table_of(5))
    clock.now_s += CHECK_S
    assert input_of(file) == 5


def test_without_a_file_the_shipped_prices_hold() -> None:
    assert PriceFile(None).table() == shipped_table()
