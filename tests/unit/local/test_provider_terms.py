from pathlib import Path

import pytest

from arenalab.fallback.config import fallback_config
from arenalab.fallback.prices import Price
from arenalab.fallback.terms import ProviderTerms, environment_of_terms
from arenalab.local.configs import FREE_ADDRESSES, Configs, Settings, environment_of
from arenalab.local.home import Home
from arenalab.mesh import ConfigError

PROVIDER = '[providers.local]\nbase_url = "http://127.0.0.1:1/v1"\nmodel = "smol"\n'


def settings(tmp_path: Path, text: str) -> Configs:
    (tmp_path / "arenalab.toml").write_text(text)
    home = Home.open(tmp_path)
    return Configs(home, Settings.of(home, {}))


def test_the_homes_settings_reach_the_fallback(tmp_path: Path) -> None:
    configs = settings(
        tmp_path,
        '[fallback]\nrouting = "cheapest"\nhedge_after_s = 2\ndaily_cap_usd = 7.5\n'
        + PROVIDER
        + 'models = ["gpt-*", "o3*"]\nweight = 2\nmax_concurrent = 3\ndaily_cap_usd = 1\n'
        + 'price_usd = "0/0"\n',
    )
    config = configs.fallback(FREE_ADDRESSES)
    assert (config.routing, config.hedge_after_s) == ("cheapest", 2.0)
    assert config.caps() == {"": 7_500_000, "local": 1_000_000}
    assert config.spending_path == tmp_path / "fallback" / "spending.json"
    (provider,) = config.providers
    assert provider.terms == ProviderTerms(
        models=("gpt-*", "o3*"),
        weight=2.0,
        max_concurrent=3,
        daily_cap_usd_micros=1_000_000,
        price=Price(input=0, output=0),
    )


def test_a_process_of_its_own_reads_the_same_settings(tmp_path: Path) -> None:
    configs = settings(tmp_path, "[fallback]\ndaily_cap_usd = 7.5\n" + PROVIDER + "weight = 2\n")
    config = configs.fallback(FREE_ADDRESSES)
    variables = environment_of("fallback", config)
    variables |= {
        "FALLBACK_PROVIDERS": "local",
        "FALLBACK_LOCAL_BASE_URL": "http://127.0.0.1:1/v1",
        "FALLBACK_LOCAL_MODEL": "smol",
        **environment_of_terms("FALLBACK_LOCAL", config.providers[0].terms),
    }
    assert fallback_config(variables) == config


def test_without_settings_there_is_no_cap_and_no_race(tmp_path: Path) -> None:
    config = settings(tmp_path, PROVIDER).fallback(FREE_ADDRESSES)
    assert not config.caps()
    assert config.hedge_after_s == 0
    assert config.providers[0].terms == ProviderTerms()


@pytest.mark.parametrize(
    "line",
    [
        "weight = -1",
        'weight = "2"',
        "max_concurrent = 1.5",
        "max_concurrent = true",
        'models = "gpt-*"',
        "price_usd = 0.15",
        'price_usd = "1"',
        "daily_cap_usd = -1",
        "wieght = 1",
    ],
)
def test_a_term_that_is_wrong_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match=r"providers\.local"):
        settings(tmp_path, PROVIDER + line + "\n")
