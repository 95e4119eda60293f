import pytest

from arenalab.gateway.config import GatewayConfig
from arenalab.gateway.cors import cors_headers, is_preflight
from arenalab.mesh import ConfigError, read_config


@pytest.mark.parametrize(
    ("host", "dev", "needed"),
    [
        ("127.0.0.1", None, False),
        ("localhost", None, False),
        ("::1", None, False),
        ("127.0.0.1", False, True),
        ("0.0.0.0", None, True),  # noqa: S104
        ("0.0.0.0", False, True),  # noqa: S104
        ("gateway", None, True),
    ],
)
def test_keys_are_needed_beyond_dev_mode_on_loopback(
    host: str,
    dev: bool | None,  # noqa: FBT001
    needed: bool,  # noqa: FBT001
) -> None:
    assert GatewayConfig(host=host, dev=dev).needs_keys is needed


@pytest.mark.parametrize(
    "env",
    [
        {"GATEWAY_PORT": "70000"},
        {"GATEWAY_MAX_IN_FLIGHT": "0"},
        {"GATEWAY_ANSWER_TIMEOUT_S": "0"},
        {"GATEWAY_KEEP_ALIVE_S": "-1"},
        {"GATEWAY_REQUESTS_PER_MINUTE": "-1"},
        {"GATEWAY_MAX_CONNECTIONS": "0"},
        {"GATEWAY_HEAD_TIMEOUT_S": "0"},
        {"GATEWAY_KEYS_POLL_S": "0"},
        {"GATEWAY_REDIS_AWAY": "hope"},
        {"GATEWAY_TLS_CERT_PATH": "cert.pem"},
        {"GATEWAY_DEV": "true", "GATEWAY_HOST": "0.0.0.0"},  # noqa: S104
    ],
)
def test_a_bad_setting_is_named(env: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=next(iter(env))):
        read_config(GatewayConfig, "gateway", env)


def test_only_listed_origins_may_read() -> None:
    origin = {"origin": "https://a.example"}
    assert cors_headers(origin, ()) == []
    assert cors_headers({}, ("*",)) == []
    assert dict(cors_headers(origin, ("*",)))["access-control-allow-origin"] == origin["origin"]
    assert cors_headers(origin, ("https://b.example",)) == [("vary", "Origin")]


def test_a_plain_options_is_no_preflight() -> None:
    assert not is_preflight("OPTIONS", {"origin": "https://a.example"})
    assert not is_preflight("POST", {"origin": "x", "access-control-request-method": "POST"})


def test_secrets_of_the_settings_are_not_shown() -> None:
    shown = repr(
        GatewayConfig(
            api_keys=("secret",),
            key_pepper="secret",
            keys_url="postgresql://u:secret@h/d",
            redis_url="redis://:secret@h",
        )
    )
    assert "secret" not in shown
