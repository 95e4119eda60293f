import json
from typing import Any

import pytest

from arenalab.fallback.price_lists import table_of
from arenalab.fallback.prices import Entry, Price, PriceError, PriceTable, write_table

# The fields of the three formats that matter, and some that must not.
LITELLM: dict[str, Any] = {
    "sample_spec": {"mode": "chat", "litellm_provider": "one of …", "input_cost_per_token": 0.0},
    "gpt-4o-mini": {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 1.5e-07,
        "output_cost_per_token": 6e-07,
        "cache_read_input_token_cost": 7.5e-08,
    },
    "gemini/gemini-2.5-pro": {
        "litellm_provider": "gemini",
        "mode": "chat",
        "input_cost_per_token": 1.25e-06,
        "output_cost_per_token": 1e-05,
        "input_cost_per_token_above_200k_tokens": 2.5e-06,
        "output_cost_per_token_above_200k_tokens": 1.5e-05,
    },
    "text-embedding-3-small": {
        "litellm_provider": "openai",
        "mode": "embedding",
        "input_cost_per_token": 2e-08,
        "output_cost_per_token": 0.0,
    },
    "dall-e-3": {"litellm_provider": "openai", "mode": "image_generation"},
}
OPENROUTER: dict[str, Any] = {
    "data": [
        {
            "id": "openai/gpt-4o-mini",
            "pricing": {
                "prompt": "0.00000015",
                "completion": "0.0000006",
                "input_cache_read": "0.000000075",
            },
        },
        {"id": "some/model:free", "pricing": {"prompt": "0", "completion": "0"}},
        {"id": "openrouter/auto", "pricing": {"prompt": "-1", "completion": "-1"}},
        {"id": "x/y", "pricing": {"prompt": "?", "completion": "1"}},
        {"id": 7},
        "nothing",
    ]
}
GENAI: list[dict[str, Any]] = [
    {
        "id": "openai",
        "models": [
            {
                "id": "gpt-4o-mini",
                "match": {"or": [{"equals": "gpt-4o-mini"}, {"starts_with": "gpt-4o-mini-2024"}]},
                "prices": {"input_mtok": 0.15, "cache_read_mtok": 0.075, "output_mtok": 0.6},
            },
            {
                "id": "o3",
                "match": {"regex": "^o3"},
                "prices": [
                    {"prices": {"input_mtok": 10, "output_mtok": 40}},
                    {
                        "constraint": {"start_date": "2025-06-10"},
                        "prices": {"input_mtok": 2, "output_mtok": 8},
                    },
                ],
            },
            {"id": "embedding", "prices": {"input_mtok": 0.02}},
        ],
    },
    {
        "id": "google",
        "models": [
            {
                "id": "gemini-2.5-pro",
                "prices": {
                    "input_mtok": {"base": 1.25, "tiers": [{"start": 200000, "price": 2.5}]},
                    "output_mtok": {"base": 10, "tiers": [{"start": 200000, "price": 15}]},
                },
            }
        ],
    },
]
MINI = Price(input=150_000, output=600_000, cached_input=75_000)
PRO = Price(
    input=1_250_000,
    output=10_000_000,
    long_from=200_000,
    long=Price(input=2_500_000, output=15_000_000),
)


def read(found: object) -> PriceTable:
    return table_of(json.dumps(found), as_of="2026-11-28", source="here")


@pytest.mark.parametrize("found", [LITELLM, OPENROUTER, GENAI], ids=["litellm", "openrouter", "g"])
def test_each_list_gives_the_same_price(found: object) -> None:
    table = read(found)
    assert table.find("openai", "gpt-4o-mini") == MINI
    assert (table.as_of, table.source) == ("2026-11-28", "here")


@pytest.mark.parametrize("found", [LITELLM, GENAI], ids=["litellm", "genai"])
def test_prices_of_long_prompts_are_kept(found: object) -> None:
    assert read(found).find("google", "gemini-2.5-pro") == PRO


def test_what_has_no_price_for_text_is_left_out() -> None:
    assert {e.model for e in read(LITELLM).entries} == {"gpt-4o-mini", "gemini-2.5-pro"}
    assert {(e.provider, e.model) for e in read(OPENROUTER).entries} == {
        ("openrouter", "openai/gpt-4o-mini"),
        ("openai", "gpt-4o-mini"),
        ("openrouter", "some/model:free"),
    }


def test_patterns_and_days_of_genai_prices_are_understood() -> None:
    table = read(GENAI)
    assert table.find("openai", "gpt-4o-mini-2024-07-18") == MINI
    assert table.find("openai", "o3") == Price(input=2_000_000, output=8_000_000)
    assert table.find("openai", "embedding") is None


def test_a_table_of_our_own_stays_as_it_is() -> None:
    table = PriceTable([Entry("a", "m", MINI)], as_of="2026-01-01", source="there")
    assert table_of(write_table(table), as_of="2026-11-28", source="here") == table


@pytest.mark.parametrize(
    "found", ["", "{", "7", "{}", "[]", '{"data": []}', '{"a": {"mode": "chat"}}', '[{"id": "a"}]']
)
def test_a_list_without_a_price_is_refused(found: str) -> None:
    with pytest.raises(PriceError):
        table_of(found, as_of="", source="")
