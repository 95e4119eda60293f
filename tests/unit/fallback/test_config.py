from pathlib import Path

import pytest

from arenalab.fallback.config import Api, FallbackConfig, ProviderConfig, fallback_config
from arenalab.fallback.provider_config import environment_of_provider
from arenalab.mesh import ConfigError

LOCAL = {
    "FALLBACK_PROVIDERS": "local",
    "FALLBACK_LOCAL_BASE_URL": "http://127.0.0.1:8090/v1",
    "FALLBACK_LOCAL_MODEL": "smol",
}


def test_without_settings_there_is_no_provider() -> None:
    assert fallback_config({}) == FallbackConfig()
    assert fallback_config({"FALLBACK_PROVIDERS": ""}).providers == ()


def test_providers_are_asked_in_the_order_in_which_they_are_named() -> None:
    env = LOCAL | {
        "FALLBACK_PROVIDERS": "my-llm, local",
        "FALLBACK_MY_LLM_BASE_URL": "https://llm.example.org/v1",
        "FALLBACK_MY_LLM_MODEL": "big",
        "FALLBACK_MY_LLM_API_KEY": "sk-1",
        "FALLBACK_ADDRESS": "127.0.0.1:0",
        "FALLBACK_MAX_CONCURRENT": "3",
    }
    config = fallback_config(env)
    assert config.address == "127.0.0.1:0"
    assert config.max_concurrent == 3
    assert config.providers == (
        ProviderConfig(
            name="my-llm",
            base_url="https://llm.example.org/v1",
            default_model="big",
            api_key="sk-1",
        ),
        ProviderConfig(name="local", base_url="http://127.0.0.1:8090/v1", default_model="smol"),
    )


def test_an_openai_key_alone_makes_a_provider() -> None:
    (provider,) = fallback_config({"OPENAI_API_KEY": "sk-1\n"}).providers
    assert provider.name == "openai"
    assert provider.base_url == "https://api.openai.com/v1"
    assert provider.api_key == "sk-1"
    moved = {"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": "http://proxy/v1"}
    assert fallback_config(moved).providers[0].base_url == "http://proxy/v1"


def test_an_openai_key_does_not_add_to_providers_that_are_named() -> None:
    (provider,) = fallback_config(LOCAL | {"OPENAI_API_KEY": "sk-1"}).providers
    assert (provider.name, provider.api_key) == ("local", None)


def test_the_keys_of_the_makers_make_their_providers_in_order() -> None:
    env = {"GOOGLE_API_KEY": "g2", "ANTHROPIC_API_KEY": "a", "OPENAI_API_KEY": "o"}
    providers = fallback_config(env).providers
    assert [(p.name, p.api, p.api_key) for p in providers] == [
        ("openai", Api.OPENAI, "o"),
        ("anthropic", Api.ANTHROPIC, "a"),
        ("gemini", Api.GEMINI, "g2"),
    ]
    assert all(p.needs_key and p.default_model for p in providers)
    assert [p.base_url for p in providers] == [
        "https://api.openai.com/v1",
        "https://api.anthropic.com/v1",
        "https://generativelanguage.googleapis.com/v1beta",
    ]
    both = env | {"GEMINI_API_KEY": "g1", "FALLBACK_GEMINI_MODEL": "big"}
    assert fallback_config(both).providers[2].api_key == "g1"
    assert fallback_config(both).providers[2].default_model == "big"


def test_a_makers_provider_needs_no_settings_and_no_key_of_its_own() -> None:
    names = {"FALLBACK_PROVIDERS": "gemini,openai"}
    gemini, openai = fallback_config(names).providers
    assert (gemini.api, gemini.needs_key, gemini.api_key) == (Api.GEMINI, True, None)
    own = names | {"FALLBACK_GEMINI_API_KEY": "own", "GEMINI_API_KEY": "shared"}
    assert fallback_config(own).providers[0].api_key == "own"
    moved = fallback_config(names | {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}).providers[1]
    assert not moved.needs_key
    assert openai.needs_key


@pytest.mark.parametrize(
    ("name", "base_url", "api"),
    [
        ("claude", "https://api.anthropic.com/v1", Api.ANTHROPIC),
        ("anthropic", "http://127.0.0.1:9/v1", Api.ANTHROPIC),
        ("google", "https://generativelanguage.googleapis.com/v1beta", Api.GEMINI),
        ("google", "https://generativelanguage.googleapis.com/v1beta/openai/", Api.OPENAI),
        ("gemini", "https://generativelanguage.googleapis.com/v1beta/openai", Api.OPENAI),
        ("anthropic", "https://api.openai.com/v1", Api.OPENAI),
        ("openrouter", "https://openrouter.ai/api/v1", Api.OPENAI),
        ("vllm", "http://127.0.0.1:8000/v1", Api.OPENAI),
    ],
)
def test_what_a_provider_speaks_is_told_by_its_address_or_its_name(
    name: str, base_url: str, api: Api
) -> None:
    prefix = f"FALLBACK_{name.upper()}"
    env = {
        "FALLBACK_PROVIDERS": name,
        f"{prefix}_BASE_URL": base_url,
        f"{prefix}_MODEL": "m",
    }
    assert fallback_config(env).providers[0].api is api
    assert fallback_config(env | {f"{prefix}_API": "gemini"}).providers[0].api is Api.GEMINI


def test_the_rest_of_a_provider_is_set_by_its_name() -> None:
    env = LOCAL | {
        "FALLBACK_LOCAL_API": "Anthropic",
        "FALLBACK_LOCAL_API_VERSION": "2023-06-01",
        "FALLBACK_LOCAL_NEEDS_KEY": "true",
        "FALLBACK_LOCAL_MAX_TOKENS": "77",
        "FALLBACK_LOCAL_DROP": "temperature, seed",
    }
    (provider,) = fallback_config(env).providers
    assert provider.api is Api.ANTHROPIC
    assert provider.api_version == "2023-06-01"
    assert provider.needs_key
    assert provider.max_tokens == 77
    assert provider.drop == {"temperature", "seed"}


def test_what_anthropic_no_longer_knows_is_left_out_unless_it_is_said() -> None:
    env = {"ANTHROPIC_API_KEY": "a"}
    sampling = {"temperature", "top_p"}
    assert fallback_config(env).providers[0].drop == sampling
    for variable, value, dropped in (
        ("DROP", "none", set()),
        ("DROP", "seed", {"seed"}),
        ("API_VERSION", "2026-10-21", sampling),
        ("API_VERSION", "2023-06-01", set()),
    ):
        changed = fallback_config(env | {f"FALLBACK_ANTHROPIC_{variable}": value})
        assert changed.providers[0].drop == dropped
        (provider,) = changed.providers
        variables = environment_of_provider("FALLBACK_ANTHROPIC", provider)
        variables["FALLBACK_PROVIDERS"] = "anthropic"
        assert fallback_config(variables).providers == (provider,)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("API", "cohere"),
        ("API_VERSION", "2023-06-01"),
        ("NEEDS_KEY", "perhaps"),
        ("MAX_TOKENS", "0"),
        ("MAX_TOKENS", "-1"),
        ("DROP", "messages"),
    ],
)
def test_a_setting_of_a_provider_out_of_its_range_stops_the_start(
    variable: str, value: str
) -> None:
    with pytest.raises(ConfigError, match=r"FALLBACK_LOCAL|provider local"):
        fallback_config(LOCAL | {f"FALLBACK_LOCAL_{variable}": value})


def test_a_key_may_come_from_a_file(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-from-file\n")
    (provider,) = fallback_config(LOCAL | {"FALLBACK_LOCAL_API_KEY_FILE": str(key)}).providers
    assert provider.api_key == "sk-from-file"


def test_a_key_is_in_no_repr() -> None:
    config = fallback_config(LOCAL | {"FALLBACK_LOCAL_API_KEY": "sk-secret"})
    assert "sk-secret" not in repr(config)


@pytest.mark.parametrize("missing", ["FALLBACK_LOCAL_BASE_URL", "FALLBACK_LOCAL_MODEL"])
def test_a_named_provider_needs_its_variables(missing: str) -> None:
    env = {name: value for name, value in LOCAL.items() if name != missing}
    with pytest.raises(ConfigError, match=missing):
        fallback_config(env)


@pytest.mark.parametrize(
    "url",
    [
        "llm.example.org/v1",
        "ftp://llm.example.org",
        "https://",
        "https://user:secret@llm.example.org/v1",
        "https://llm.example.org/v1?key=secret",
        "https://llm.example.org/v1#secret",
        "https://llm.example.org:secret/v1",
        "https://[secret/v1",
    ],
)
def test_a_url_that_is_not_plain_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigError, match="local: the base URL") as caught:
        fallback_config(LOCAL | {"FALLBACK_LOCAL_BASE_URL": url})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["sk secret", "sk-secret\nx: y", "sk-sécret"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigError, match="visible ASCII") as caught:
        fallback_config(LOCAL | {"FALLBACK_LOCAL_API_KEY": key})
    assert "cret" not in str(caught.value)


def test_a_key_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(ConfigError, match="FALLBACK_LOCAL_API_KEY_FILE"):
            fallback_config(LOCAL | {"FALLBACK_LOCAL_API_KEY_FILE": str(path)})
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        fallback_config(LOCAL | {"FALLBACK_LOCAL_API_KEY_FILE": str(tmp_path / "empty")})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FALLBACK_CONNECT_TIMEOUT_S", "0"),
        ("FALLBACK_FIRST_TOKEN_TIMEOUT_S", "nan"),
        ("FALLBACK_IDLE_TIMEOUT_S", "-1"),
        ("FALLBACK_RETRY_PAUSE_S", "-0.1"),
        ("FALLBACK_MAX_CONCURRENT", "0"),
        ("FALLBACK_MAX_CONCURRENT", "many"),
        ("FALLBACK_BREAKER_FAILURES", "0"),
        ("FALLBACK_BREAKER_PAUSE_S", "0"),
        ("FALLBACK_BREAKER_MAX_PAUSE_S", "1"),
        ("FALLBACK_MAX_EVIDENCE_TOKENS", "10"),
    ],
)
def test_a_value_out_of_range_stops_the_start(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=variable):
        fallback_config({variable: value})


@pytest.mark.parametrize("names", ["Local", "a b", "-x", "x/y"])
def test_a_name_that_is_no_token_is_refused(names: str) -> None:
    with pytest.raises(ConfigError):
        fallback_config(LOCAL | {"FALLBACK_PROVIDERS": names})


def test_a_provider_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="occurs twice"):
        fallback_config(LOCAL | {"FALLBACK_PROVIDERS": "local,local"})
