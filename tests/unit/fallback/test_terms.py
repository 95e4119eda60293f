import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arenalab.fallback.config import fallback_config
from arenalab.fallback.prices import MAX_PRICE, Price
from arenalab.fallback.terms import (
    MAX_CAP_USD_MICROS,
    ProviderTerms,
    environment_of_terms,
    makers_name,
    terms_of,
)
from arenalab.mesh import ConfigError

EXAMPLES = 40
LOCAL = {
    "FALLBACK_PROVIDERS": "local",
    "FALLBACK_LOCAL_BASE_URL": "http://127.0.0.1:8090/v1",
    "FALLBACK_LOCAL_MODEL": "smol",
}
_amounts = st.integers(0, MAX_PRICE)
_prices = st.builds(Price, input=_amounts, output=_amounts, cached_input=st.none() | _amounts)
_terms = st.builds(
    ProviderTerms,
    weight=st.floats(0, 1e6),
    max_concurrent=st.integers(0, 1000),
    daily_cap_usd_micros=st.none() | st.integers(0, MAX_CAP_USD_MICROS),
    models=st.lists(st.sampled_from(["gpt-*", "o[13]*", "x/y"]), max_size=3).map(tuple),
    prices_of=st.sampled_from(["", "openai"]),
    price=st.none() | _prices,
)


def test_terms_are_read_from_the_providers_variables() -> None:
    (provider,) = fallback_config(
        LOCAL
        | {
            "FALLBACK_LOCAL_WEIGHT": "2.5",
            "FALLBACK_LOCAL_MAX_CONCURRENT": "4",
            "FALLBACK_LOCAL_DAILY_CAP_USD": "1.50",
            "FALLBACK_LOCAL_MODELS": "gpt-*, o3*",
            "FALLBACK_LOCAL_PRICES_OF": "openai",
            "FALLBACK_LOCAL_PRICE_USD": "0.15/0.60/0.075",
            "FALLBACK_SPENDING_PATH": "spending.json",
        }
    ).providers
    assert provider.terms == ProviderTerms(
        weight=2.5,
        max_concurrent=4,
        daily_cap_usd_micros=1_500_000,
        models=("gpt-*", "o3*"),
        prices_of="openai",
        price=Price(input=150_000, output=600_000, cached_input=75_000),
    )


def test_without_variables_the_terms_are_the_usual_ones() -> None:
    assert terms_of("FALLBACK_X", {}) == ProviderTerms()


@settings(max_examples=EXAMPLES)
@given(_terms)
def test_terms_read_back_as_they_were_told(terms: ProviderTerms) -> None:
    assert terms_of("FALLBACK_X", environment_of_terms("FALLBACK_X", terms)) == terms


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WEIGHT", "-1"),
        ("WEIGHT", "nan"),
        ("WEIGHT", "much"),
        ("MAX_CONCURRENT", "-1"),
        ("MAX_CONCURRENT", "1.5"),
        ("DAILY_CAP_USD", "-1"),
        ("DAILY_CAP_USD", "inf"),
        ("DAILY_CAP_USD", "0.0000001"),
        ("DAILY_CAP_USD", "five"),
        ("PRICE_USD", "0.15"),
        ("PRICE_USD", "1/2/3/4"),
        ("PRICE_USD", "1/20000"),
    ],
)
def test_a_term_out_of_range_stops_the_start(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match="FALLBACK_LOCAL_"):
        fallback_config(LOCAL | {f"FALLBACK_LOCAL_{variable}": value})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FALLBACK_ROUTING", "random"),
        ("FALLBACK_HEDGE_AFTER_S", "-1"),
        ("FALLBACK_TOTAL_TIMEOUT_S", "0"),
        ("FALLBACK_MAX_RETRIES", "6"),
        ("FALLBACK_DAILY_CAP_USD", "lots"),
        ("FALLBACK_EXPECTED_OUTPUT_TOKENS", "0"),
    ],
)
def test_a_setting_of_routing_out_of_range_stops_the_start(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=variable):
        fallback_config({variable: value})


@pytest.mark.parametrize(
    "cap", [{"FALLBACK_DAILY_CAP_USD": "5"}, LOCAL | {"FALLBACK_LOCAL_DAILY_CAP_USD": "5"}]
)
def test_a_cap_needs_a_file_that_outlasts_a_restart(cap: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="FALLBACK_SPENDING_PATH"):
        fallback_config(cap)
    assert fallback_config(cap | {"FALLBACK_SPENDING_PATH": "s.json"}).caps()


@pytest.mark.parametrize(
    ("name", "base_url", "prices_of", "found"),
    [
        ("openai", "https://api.openai.com/v1", "", "openai"),
        ("team", "https://api.openai.com/v1", "", "openai"),
        ("gemini", "https://generativelanguage.googleapis.com/v1beta", "", "google"),
        ("gemini", "http://proxy/v1", "", "google"),
        ("openai", "http://127.0.0.1:1/v1", "", "openai"),
        ("mine", "http://127.0.0.1:1/v1", "", "mine"),
        ("mine", "https://api.openai.com/v1", "groq", "groq"),
    ],
)
def test_whose_prices_hold_is_told_by_address_or_name(
    name: str, base_url: str, prices_of: str, found: str
) -> None:
    assert makers_name(name, base_url, prices_of) == found
