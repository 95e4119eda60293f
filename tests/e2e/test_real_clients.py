"""The OpenAI SDK and curl against the whole mesh; `make conformance` has more clients."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest

from arenalab.fallback.config import ProviderConfig
from arenalab.local.configs import Settings
from arenalab.local.home import Home, Running
from tests.conformance.clients.running import CLIENTS, Client, limited_key_of, run_client, told
from tests.stub_provider import MODEL, running_stub
from tests.whole_mesh import ClosedConfigs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def words(
    published_home: Callable[[str], Home],
    start_mesh: Callable[..., AbstractContextManager[Running]],
) -> Iterator[str]:
    """What the scripts are told of a mesh that wants keys and has a provider."""
    home = published_home("clients")
    with running_stub() as stub:
        provider = ProviderConfig(name="stub", base_url=stub, default_model=MODEL)
        settings = replace(Settings.of(home, {}), otlp_endpoint=None, providers=(provider,))
        key, limited_key = limited_key_of(home, 100_000), limited_key_of(home, 1)
        with start_mesh(home, settings, ClosedConfigs) as running:
            yield told(f"{running.gateway}/v1", key, limited_key)


@pytest.mark.parametrize(
    "client", [c for c in CLIENTS if not c.packages], ids=lambda client: client.module
)
def test_every_feature_works_with_a_real_client(client: Client, words: str) -> None:
    lines = run_client(client, words)
    assert len(lines) > 5
    assert [line for line in lines if not line["ok"]] == []
