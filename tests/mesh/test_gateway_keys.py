"""Who may call: the wrong-key and the cross-scope suite over real HTTP."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from arenalab.gateway.keys import KeyTerms
from arenalab.gateway.keys.key import NewKey, make_key
from arenalab.gateway.keys.pepper import Pepper, create_pepper, read_pepper
from arenalab.gateway.keys.store import KeyStore
from arenalab.gateway.limits.caps import Caps
from arenalab.mesh import ConfigError, PreconditionError, Telemetry
from tests.mesh.metered_mesh import OWNER, Gateway, Json, Mesh, bearer, error_of, running_peers

ANSWER = "resp_0198000000007000800000000000002a"
HEAD = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"


@pytest.fixture
def settings(tmp_path: Path) -> Json:
    """Settings of a gateway with a key store of its own, in which nobody needs no key."""
    return {
        "keys_url": f"sqlite:///{tmp_path}/keys.sqlite",
        "key_pepper_path": tmp_path / "pepper",
        "keys_poll_s": 0.01,
        "dev": False,
    }


@pytest.fixture
def store(settings: Json) -> Iterator[KeyStore]:
    create_pepper(settings["key_pepper_path"])
    found = KeyStore.open(settings["keys_url"], read_pepper(settings["key_pepper_path"]))
    yield found
    found.close()


@pytest_asyncio.fixture
async def mesh() -> AsyncIterator[Mesh]:
    async with running_peers() as found:
        found.now = time.time  # keys end by the same clock that they are made by
        yield found


def _make(store: KeyStore, **terms: object) -> NewKey:
    given: Json = {"name": "app"} | terms
    return store.create(KeyTerms(**given), datetime.now(UTC))


async def _status_becomes(gateway: Gateway, key: str, status: int) -> httpx.Response:
    """Asks until the answer has a status, for ten seconds at most."""
    end = time.monotonic() + 10
    while (response := await gateway.models(key)).status_code != status:
        assert time.monotonic() < end, response.text
    return response


async def test_a_wrong_key_reaches_nobody(mesh: Mesh, store: KeyStore, settings: Json) -> None:
    key = _make(store)
    gateway = await mesh.gateway(**settings)
    assert (await gateway.ask(key.text)).status_code == 200
    wrong = [
        "any",
        key.text[:-1],
        key.text + "A",
        key.text.upper(),
        key.text[3:],
        make_key(key.key_id).text,
        make_key().text,
        "x" * 20_000,
        key.text * 100,
        "null",
        "undefined",
    ]
    schemes = [f"Bearer {text}" for text in wrong] + [
        key.text,
        f"Basic {key.text}",
        f"Bearer{key.text}",
        f"Bearer {key.text} {key.text}",
        f"Bearer {key.text},{key.text}",
    ]
    for value in schemes:
        response = await gateway.http.post(
            "/v1/chat/completions",
            json={"messages": [{"role": "user", "content": "How?"}]},
            headers={"authorization": value},
        )
        assert response.status_code == 401, value[:40]
        assert error_of(response)["code"] == "invalid_api_key"
        assert error_of(response)["type"] == "authentication_error"
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.headers["x-should-retry"] == "false"
    assert len(mesh.ensemble.asked) == 1


async def test_a_key_that_is_no_ascii_is_wrong(mesh: Mesh, store: KeyStore, settings: Json) -> None:
    key = _make(store).text.encode()
    gateway = await mesh.gateway(**settings)
    statuses = {}
    for end in (key[-1:], b"", b"\xc3\xa9", b"\xff", b"\xd9\xa2", b"\x00", b"\x7f"):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(b"%bAuthorization: Bearer %b%b\r\n\r\n" % (HEAD, key[:-1], end))
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        statuses[end] = answer.split()[1]
    assert statuses.pop(key[-1:]) == b"200"
    assert set(statuses.values()) <= {b"400", b"401"}


async def test_a_key_in_the_url_or_another_header_is_none(
    mesh: Mesh, store: KeyStore, settings: Json
) -> None:
    key = _make(store).text
    gateway = await mesh.gateway(**settings)
    for response in (
        await gateway.http.get(f"/v1/models?api_key={key}"),
        await gateway.http.get("/v1/models", headers={"x-api-key": key}),
        await gateway.http.get("/v1/models", headers={"cookie": f"key={key}"}),
    ):
        assert response.status_code == 401


async def test_keys_come_and_go_while_the_gateway_runs(
    mesh: Mesh, store: KeyStore, settings: Json
) -> None:
    gateway = await mesh.gateway(**settings)
    key = _make(store)
    await _status_becomes(gateway, key.text, 200)
    fresh = store.rotate(key.key_id, timedelta(hours=1), datetime.now(UTC))
    await _status_becomes(gateway, fresh.text, 200)
    assert (await gateway.models(key.text)).status_code == 200  # it overlaps
    store.rotate(key.key_id, timedelta(0), datetime.now(UTC))
    await _status_becomes(gateway, key.text, 401)
    ended = await _status_becomes(gateway, fresh.text, 401)
    assert "expired" in error_of(ended)["message"]
    another = _make(store)
    await _status_becomes(gateway, another.text, 200)
    store.revoke(another.key_id, datetime.now(UTC))
    revoked = await _status_becomes(gateway, another.text, 401)
    assert "revoked" in error_of(revoked)["message"]


async def test_where_no_key_is_needed_one_that_was_revoked_is_refused(
    mesh: Mesh, store: KeyStore, settings: Json
) -> None:
    key = _make(store)
    store.revoke(key.key_id, datetime.now(UTC))
    gateway = await mesh.gateway(**settings | {"dev": True})
    assert (await gateway.models("any")).status_code == 200
    assert (await gateway.models(key.text)).status_code == 401


async def test_a_gateway_with_another_pepper_does_not_start(
    mesh: Mesh, store: KeyStore, settings: Json
) -> None:
    _make(store)
    other = settings | {"key_pepper": Pepper.random().secret.hex()}
    with pytest.raises(PreconditionError, match="another pepper"):
        await mesh.gateway(**other)
    with pytest.raises(ConfigError, match="PEPPER"):
        await mesh.gateway(**settings | {"key_pepper_path": None})


async def test_a_key_sees_its_own_tenant_only(mesh: Mesh, store: KeyStore, settings: Json) -> None:
    keys = {tenant: _make(store, tenant=tenant).text for tenant in ("acme", "beta")}
    gateway = await mesh.gateway(**settings, api_keys=("clear:gamma",))
    keys["gamma"] = "clear"
    for tenant, key in keys.items():
        listed = (await gateway.models(key)).json()["data"]
        assert [model["id"] for model in listed][1] == f"arenalab/of-{tenant}"
        for other in keys.keys() - {tenant}:
            path = f"/v1/models/arenalab/of-{other}"
            assert (await gateway.http.get(path, headers=bearer(key))).status_code == 404
            # Whatever else a request says of a tenant, the key decides.
            claims = {"x-tenant": other, "openai-organization": other, "openai-project": other}
            response = await gateway.http.post(
                "/v1/chat/completions",
                json={
                    "messages": [{"role": "user", "content": "How?"}],
                    "user": other,
                    "tenant": other,
                    "scope": {"tenant": other},
                },
                headers=bearer(key) | claims,
            )
            assert response.status_code == 200
            assert mesh.ensemble.asked[-1].scope.tenant == tenant
            forged = await gateway.ask(key, arenalab={"tenant": other})
            assert forged.status_code == 400
    assert {request.scope.tenant for request in mesh.ensemble.asked} == set(keys)


async def test_an_answer_of_another_tenant_is_not_found(
    mesh: Mesh, store: KeyStore, settings: Json
) -> None:
    gateway = await mesh.gateway(**settings)
    statuses = {}
    for tenant in (OWNER, "beta"):
        key = _make(store, tenant=tenant).text
        await _status_becomes(gateway, key, 200)
        feedback = {"prediction_id": ANSWER, "helpful": True}
        follow_up = {"model": "arenalab", "input": "And?", "previous_response_id": ANSWER}
        found = [
            await gateway.http.get(f"/v1/receipts/{ANSWER}", headers=bearer(key)),
            await gateway.http.post("/v1/feedback", json=feedback, headers=bearer(key)),
            await gateway.http.post("/v1/responses", json=follow_up, headers=bearer(key)),
        ]
        statuses[tenant] = [response.status_code for response in found]
    assert statuses == {OWNER: [200, 200, 200], "beta": [404, 404, 400]}
    assert error_of(found[2])["code"] == "response_not_found"
    assert {request.scope.tenant for request in mesh.ensemble.asked} == {OWNER}


async def test_responses_are_bound_by_the_key_as_chat_is(
    mesh: Mesh, store: KeyStore, settings: Json
) -> None:
    key = _make(store, models=("arenalab",), caps=Caps(usd_micros_total=100)).text
    gateway = await mesh.gateway(**settings)
    asked = {"input": "How?", "model": "arenalab", "store": False}
    answered = await gateway.http.post("/v1/responses", json=asked, headers=bearer(key))
    assert answered.status_code == 200
    assert mesh.ensemble.asked[-1].max_cost_usd_micros == 100
    other = asked | {"model": "openai/gpt"}
    refused = await gateway.http.post("/v1/responses", json=other, headers=bearer(key))
    assert refused.status_code == 403
    assert error_of(refused)["code"] == "model_not_allowed"


async def test_a_key_names_its_own_models_only(mesh: Mesh, store: KeyStore, settings: Json) -> None:
    key = _make(store, models=("arenalab", "openai/*")).text
    gateway = await mesh.gateway(**settings)
    assert (await gateway.ask(key)).status_code == 200
    assert (await gateway.ask(key, model="openai/gpt")).status_code == 200
    for stream in (False, True):
        refused = await gateway.ask(key, model="anthropic/claude", stream=stream)
        assert refused.status_code == 403
        assert error_of(refused)["type"] == "permission_error"
        assert error_of(refused)["code"] == "model_not_allowed"
        assert error_of(refused)["param"] == "model"
        assert refused.headers["x-should-retry"] == "false"
    assert len(mesh.ensemble.asked) == 2
    listed = (await gateway.models(key)).json()["data"]
    assert [model["id"] for model in listed] == ["arenalab", "openai/gpt"]
    embedding = {"input": "text", "model": "tiny"}
    response = await gateway.http.post("/v1/embeddings", json=embedding, headers=bearer(key))
    assert response.status_code == 403
    for path in ("/v1/models/arenalab/of-default", "/v1/models/none"):
        assert (await gateway.http.get(path, headers=bearer(key))).status_code == 404


def _all_files(folder: Path) -> str:
    return "".join(file.read_bytes().decode("latin-1") for file in folder.iterdir())


async def test_a_key_is_never_logged_traced_or_stored(
    mesh: Mesh,
    store: KeyStore,
    settings: Json,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry = Telemetry("gateway")
    telemetry.tracer = provider.get_tracer("test")
    key = _make(store)
    wrong = make_key(key.key_id)
    clear = "a-key-in-the-clear"
    gateway = await mesh.gateway(telemetry, **settings, api_keys=(clear,))
    answers = [
        await gateway.ask(text, model=model)
        for text in (key.text, wrong.text, clear)
        for model in ("arenalab", "missing", "paid-x-y")  # an answer, an error, a crash
    ]
    assert {answer.status_code for answer in answers} == {200, 401, 404, 500}
    metrics = (await gateway.http.get("/metrics")).text
    await gateway.stop.aclose()
    said = "".join(
        [
            caplog.text,
            metrics,
            *(span.to_json() for span in exporter.get_finished_spans()),
            *(f"{answer.text}{answer.headers}" for answer in answers),
            _all_files(tmp_path),
            *(str(request) for request in mesh.ensemble.asked),
        ]
    )
    assert key.key_id in said  # the id is public, and is in the store
    for text in (key.text, wrong.text):
        assert text[16:] not in said
    assert clear not in said
