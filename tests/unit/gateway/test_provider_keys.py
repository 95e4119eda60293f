import json
from pathlib import Path
from typing import Any

import pytest

from arenalab.gateway.errors import ApiError, api_error
from arenalab.gateway.exchange import Exchange
from arenalab.gateway.keys import Principal
from arenalab.gateway.provider_keys import HEADER, ProviderKeys, read_provider_keys
from arenalab.mesh import ConfigError, InvalidInputError, NotReadyError, PreconditionError, Reason

WHO = Principal("acme", "ci")
KEPT = {
    "ak1": {"openai": "sk-e"},
    "acme": {"openai": "sk-a", "gemini": "sk-b"},
    "acme/ci": {"openai": "sk-c"},
}


def keys_of(keys: ProviderKeys, *headers: str, who: Principal = WHO) -> dict[str, str]:
    return {each.provider: each.api_key for each in keys.of(who, headers)}


def test_a_header_brings_one_key_or_several() -> None:
    keys = ProviderKeys()
    assert keys_of(keys) == {}
    assert keys_of(keys, "openai=sk-1") == {"openai": "sk-1"}
    expected = {"openai": "sk-1", "my-llm": "a=b=="}
    assert keys_of(keys, "openai=sk-1, my-llm=a=b==") == expected
    assert keys_of(keys, "openai=sk-1", "my-llm=a=b==") == expected


@pytest.mark.parametrize(
    "headers",
    [
        ["sk-alone"],
        ["openai="],
        ["=sk-alone"],
        ["openai=sk one"],
        ["openai=sk-\xe9"],
        ["OPENAI=sk-one"],
        ["openai=sk-one,openai=sk-two"],
        ["openai=sk-one", "openai=sk-two"],
        ["openai=sk-one,,gemini=sk-two"],
        [""],
        ["sk-one/two=openai"],
        ["openai=" + "sk-" * 1366],
        [",".join(f"p{n}=sk-one" for n in range(17))],
    ],
)
def test_a_malformed_header_is_refused_without_showing_it(headers: list[str]) -> None:
    with pytest.raises(ApiError) as caught:
        ProviderKeys().of(WHO, headers)
    assert (caught.value.status, caught.value.param) == (400, HEADER)
    assert "sk-" not in str(caught.value)


def test_the_most_particular_key_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(KEPT))
    path.chmod(0o600)
    keys = read_provider_keys(path)
    assert keys_of(keys) == {"openai": "sk-c", "gemini": "sk-b"}
    assert keys_of(keys, who=Principal("acme", "web")) == KEPT["acme"]
    by_id = Principal("acme", "ci", key_id="ak1")
    assert keys_of(keys, who=by_id) == {"openai": "sk-e", "gemini": "sk-b"}
    assert keys_of(keys, who=Principal("beta", "ci")) == {}
    assert keys_of(keys, "gemini=sk-d") == {"openai": "sk-c", "gemini": "sk-d"}
    assert "sk-" not in repr(keys)


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(KEPT))
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(ConfigError, match="only its owner"):
            read_provider_keys(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        '["sk-1"]',
        '{"acme": "sk-1"}',
        '{"acme": {"openai": 7, "x": "sk-1"}}',
        '{"acme": {"openai": "sk-1 "}}',
        '{"sk-1": {"sk 1": "openai"}}',
        '{"acme": {"openai": "sk-1',
        '{"acme": ' + json.dumps({f"p{n}": "sk-1" for n in range(17)}) + "}",
    ],
)
def test_a_malformed_file_stops_the_start_without_showing_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        read_provider_keys(path)
    assert "sk" not in str(caught.value)
    assert caught.value.__cause__ is None  # nor does what it was made of


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match=r"absent\.json"):
        read_provider_keys(tmp_path / "absent.json")
    assert keys_of(read_provider_keys(None)) == {}


def test_a_request_keeps_them_apart_from_its_headers() -> None:
    scope: dict[str, Any] = {
        "method": "POST",
        "path": "/",
        "headers": [(HEADER.encode(), b"a=sk-1"), (HEADER.encode(), b"b=sk-2"), (b"x", b"y")],
    }

    async def unused(*_: Any) -> Any:
        raise NotImplementedError

    exchange = Exchange(scope, unused, unused, now=lambda: 0.0, write_timeout_s=1)
    assert exchange.headers == {"x": "y"}
    assert exchange.provider_keys == ["a=sk-1", "b=sk-2"]


def test_a_client_learns_that_a_key_is_missing_or_not_good() -> None:
    missing = PreconditionError("openai needs a key", Reason.MISSING_KEY, provider="openai")
    told = api_error(missing)
    assert (told.status, told.code, str(told)) == (400, "missing_provider_key", str(missing))
    ours = api_error(PreconditionError("x", Reason.MISSING_KEY, key="keys/ledger.ed25519"))
    assert ours.status == 503
    bad = api_error(InvalidInputError("openai: no", field="credentials[0].api_key"))
    assert (bad.status, bad.param) == (400, HEADER)
