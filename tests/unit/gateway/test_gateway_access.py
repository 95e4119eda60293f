import hashlib
from pathlib import Path

import pytest

from arenalab.gateway.config import GatewayConfig
from arenalab.gateway.cors import cors_headers, is_preflight
from arenalab.gateway.keys import KeyRing, Principal, read_keys
from arenalab.mesh import ConfigError, NotReadyError, read_config


def _line(key: str, rest: str) -> str:
    return f"{hashlib.sha256(key.encode()).hexdigest()} {rest}\n"


def test_keys_are_found_in_the_file_and_in_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("# ours\n\n" + _line("one", "acme first key") + _line("two", "default second"))
    keys = read_keys(path, ["three", "four:beta"])
    assert keys.find("one") == Principal("acme", "first key")
    assert keys.find("two") == Principal("default", "second")
    assert keys.find("three") == Principal("default", "key-1")
    assert keys.find("four") == Principal("beta", "key-2")
    assert keys.find("five") is None
    assert keys.find("") is None


def test_a_key_is_never_kept(tmp_path: Path) -> None:
    assert "secret" not in repr(GatewayConfig(api_keys=("secret",)))
    assert "secret" not in str(vars(read_keys(None, ["secret"])))
    assert not read_keys(None, [])
    assert not KeyRing()
    with pytest.raises(NotReadyError, match="cannot read the API keys"):
        read_keys(tmp_path / "absent", [])


@pytest.mark.parametrize(
    "line", ["abc default name", _line("k", "default"), _line("k", "NoTenant name")]
)
def test_a_malformed_line_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "keys"
    path.write_text(f"\n{line}")
    with pytest.raises(ConfigError, match="keys:2"):
        read_keys(path, [])


@pytest.mark.parametrize("entry", [":acme", "k:NoTenant"])
def test_a_malformed_key_is_named_by_its_number(entry: str) -> None:
    with pytest.raises(ConfigError, match="entry 1"):
        read_keys(None, [entry])


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
