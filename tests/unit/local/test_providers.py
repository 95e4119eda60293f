from pathlib import Path

import pytest

from arenalab.fallback.config import Api, fallback_config
from arenalab.fallback.provider_config import ProviderConfig, environment_of_provider
from arenalab.local.configs import Settings
from arenalab.local.home import Home
from arenalab.mesh import ConfigError


def providers(
    tmp_path: Path, text: str, env: dict[str, str] | None = None
) -> tuple[ProviderConfig, ...]:
    (tmp_path / "arenalab.toml").write_text(text)
    return Settings.of(Home.open(tmp_path), env or {}).providers


def test_a_section_says_all_of_a_provider(tmp_path: Path) -> None:
    (provider,) = providers(
        tmp_path,
        """
        [providers.mine]
        base_url = "http://127.0.0.1:1/v1"
        model = "m"
        key_env = "MINE"
        api = "anthropic"
        api_version = "2023-06-01"
        max_tokens = 77
        needs_key = true
        drop = ["seed", "temperature"]
        """,
        {"MINE": "sk-1"},
    )
    assert provider == ProviderConfig(
        name="mine",
        base_url="http://127.0.0.1:1/v1",
        default_model="m",
        api_key="sk-1",
        api=Api.ANTHROPIC,
        api_version="2023-06-01",
        max_tokens=77,
        needs_key=True,
        drop=frozenset({"seed", "temperature"}),
    )
    variables = environment_of_provider("FALLBACK_MINE", provider)
    again = fallback_config(variables | {"FALLBACK_PROVIDERS": "mine"}).providers
    assert again == (provider,)  # in a process of its own


def test_a_makers_provider_needs_no_more_than_its_name(tmp_path: Path) -> None:
    env = {"ANTHROPIC_API_KEY": "sk-1"}
    (provider,) = providers(tmp_path, "[providers.anthropic]", env)
    assert (provider.api, provider.api_key) == (Api.ANTHROPIC, "sk-1")
    assert provider.base_url == "https://api.anthropic.com/v1"


@pytest.mark.parametrize(
    "section",
    [
        "providers.mine = 7",
        '[providers.mine]\nmodel = "m"',
        '[providers.mine]\nbase_url = "http://127.0.0.1:1"',
        '[providers.openai]\nneeds_key = "yes"',
        "[providers.openai]\nmax_tokens = true",
        '[providers.openai]\ndrop = "seed"',
        '[providers.openai]\ndrop = ["messages"]',
        '[providers.openai]\napi = "cohere"',
        '[providers.openai]\napi_key = "sk-1"',
    ],
)
def test_a_section_that_is_wrong_is_named(tmp_path: Path, section: str) -> None:
    with pytest.raises(ConfigError, match=r"providers\.(mine|openai)|provider openai") as caught:
        providers(tmp_path, section)
    assert "sk-1" not in str(caught.value)
