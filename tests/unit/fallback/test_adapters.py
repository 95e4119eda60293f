"""Which adapter a provider gets, and with which of its settings."""

from typing import Any

import pytest

from arenalab.fallback.provider_config import Api, ProviderConfig
from arenalab.fallback.wire.adapter import WireRequest
from arenalab.fallback.wire.choosing import adapter_of


def told(api: Api, **settings: Any) -> WireRequest:
    config = ProviderConfig(
        name="p", base_url="http://p/v1", default_model="m", api=api, **settings
    )
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    return adapter_of(config).request(body)


@pytest.mark.parametrize(
    ("api", "path"),
    [
        (Api.OPENAI, "/chat/completions"),
        (Api.ANTHROPIC, "/messages"),
        (Api.GEMINI, "/models/m:streamGenerateContent?alt=sse"),
    ],
)
def test_a_provider_is_asked_where_its_api_listens(api: Api, path: str) -> None:
    assert told(api).path == path


def test_the_version_and_the_bound_of_messages_are_the_providers() -> None:
    newest = told(Api.ANTHROPIC)
    assert newest.headers == {"anthropic-version": "2026-10-21"}
    assert newest.body["max_tokens"] == 8192
    older = told(Api.ANTHROPIC, api_version="2023-06-01", max_tokens=7)
    assert older.headers == {"anthropic-version": "2023-06-01"}
    assert older.body["max_tokens"] == 7
