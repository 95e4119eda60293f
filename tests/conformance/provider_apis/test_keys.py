"""Keys that callers bring: sent to their provider for one call, and shown to nobody else."""

import asyncio
import json
import logging
from typing import Any

import pytest
from prometheus_client import generate_latest

from arenalab.api.common.v1.credential_pb2 import ProviderCredential
from arenalab.api.fallback.v1 import fallback_service_pb2 as pb
from arenalab.mesh import InvalidInputError, MeshError, NotReadyError, PreconditionError, Reason
from tests.conformance.provider_apis.apis import APIS, OPENAI, ProviderApi
from tests.conformance.provider_apis.conftest import Desk
from tests.mesh.scripted_provider import KEY, Case, Exchange, Play, fallback, text_of

pytestmark = pytest.mark.asyncio(loop_scope="package")

THEIRS = 'sk-callers/"own\\'  # as JSON writes it, it is another text


def bringing(api: ProviderApi, key: str = THEIRS) -> dict[str, Any]:
    return {"credentials": [ProviderCredential(provider=api.name, api_key=key)]}


async def test_a_callers_key_replaces_the_configured_one_for_its_call(
    desk: Desk, api: ProviderApi
) -> None:
    asked = (await desk.complete(api, api.streamed("text"), **bringing(api))).asked
    assert api.key_of(asked) == THEIRS
    assert KEY not in json.dumps(asked.headers)
    assert THEIRS not in asked.path
    assert api.key_of((await desk.complete(api, api.streamed("text"))).asked) == KEY


async def test_a_key_without_a_name_is_for_the_provider_that_the_call_names(
    desk: Desk, api: ProviderApi
) -> None:
    credentials = [ProviderCredential(api_key=THEIRS)]
    asked = (await desk.complete(api, api.streamed("text"), credentials=credentials)).asked
    assert api.key_of(asked) == THEIRS


async def test_a_key_is_sent_to_no_other_provider(desk: Desk, api: ProviderApi) -> None:
    others = [other for other in APIS if other is not api]
    fields = {"credentials": [c for other in others for c in bringing(other)["credentials"]]}
    asked = (await desk.complete(api, api.streamed("text"), **fields)).asked
    assert api.key_of(asked) == KEY
    assert THEIRS not in json.dumps([asked.headers, asked.body])


async def test_callers_on_the_same_connections_never_share_a_key(api: ProviderApi) -> None:
    """Forty callers at once, some with a key of their own, over a few connections twice."""
    data = api.recording("text.sse")
    all_here = asyncio.Event()

    async def play(exchange: Exchange) -> None:
        if len(provider.got) >= 20:
            all_here.set()
        await all_here.wait()
        await exchange.stream_and_keep(data, "set-cookie: session=1; path=/")

    provider = api.provider(play)
    provider.keeps_alive = True
    async with fallback(provider) as case:
        for wave in (0, 1):
            await asyncio.gather(*(_ask(case, api, wave * 20 + n) for n in range(20)))
    sent = {api.model_of(exchange): api.key_of(exchange) for exchange in provider.got}
    assert sent == {f"m{n}": KEY if n % 4 == 0 else f"key-of-{n}" for n in range(40)}
    assert provider.connections < len(provider.got)  # they did share
    assert not any("cookie" in exchange.headers for exchange in provider.got)


async def _ask(case: Case, api: ProviderApi, n: int) -> None:
    fields = bringing(api, f"key-of-{n}") if n % 4 else {}
    events = await case.complete(model=f"m{n}", **fields)
    assert text_of(events) == "Hello, world!"


async def test_a_provider_without_a_key_needs_the_callers(api: ProviderApi) -> None:
    provider = api.provider(api.streamed("text"), api_key=None, needs_key=True)
    async with fallback(provider) as case:
        with pytest.raises(PreconditionError) as caught:
            await case.complete()
        assert not provider.got
        await case.complete(**bringing(api))
        listed = (await case.stub.ListProviders(pb.ListProvidersRequest())).providers[0]
    assert caught.value.reason is Reason.MISSING_KEY
    assert caught.value.metadata == {"provider": api.name}
    assert [api.key_of(exchange) for exchange in provider.got] == [THEIRS]
    assert not listed.has_key
    assert listed.breaker == pb.BREAKER_STATE_CLOSED


async def test_a_provider_that_lacks_a_key_is_passed_over() -> None:
    lacking = OPENAI.provider(OPENAI.streamed("text"), api_key=None, needs_key=True)
    async with fallback(lacking, OPENAI.provider(OPENAI.streamed("text"), name="b")) as case:
        events = await case.complete()
    assert events[0].started.provider == "b"
    assert not lacking.got


@pytest.mark.parametrize("status", [401, 402, 403, 429])
async def test_trouble_with_a_callers_key_does_not_count_against_the_provider(status: int) -> None:
    plays: list[Play] = [OPENAI.failing(status, "No.")] * 3 + [OPENAI.streamed("text")]
    async with fallback(OPENAI.provider(*plays), breaker_failures=1) as case:
        for _ in range(3):
            with pytest.raises(MeshError):
                await case.complete(**bringing(OPENAI))
        assert text_of(await case.complete()) == "Hello, world!"
        assert case.calls("openai", "skipped") == 0


async def test_trouble_with_the_configured_key_does_count(api: ProviderApi) -> None:
    async with fallback(api.provider(api.failing(401, "No.")), breaker_failures=1) as case:
        for _ in range(2):
            with pytest.raises(NotReadyError):
                await case.complete()
        assert case.calls(api.name, "skipped") == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_a_caller_whose_key_is_not_good_learns_so(
    desk: Desk, api: ProviderApi, status: int
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await desk.complete(api, api.failing(status, f"Bad key {THEIRS}."), **bringing(api))
    assert str(caught.value) == f"{api.name}: it does not accept the key that the call brings"
    assert caught.value.metadata["field"] == "credentials"


@pytest.mark.parametrize("status", [400, 429, 500])
async def test_what_a_provider_says_is_told_without_the_key(
    desk: Desk, api: ProviderApi, status: int
) -> None:
    play = api.failing(status, f"{THEIRS} and {KEY}?", "retry-after: 60")
    with pytest.raises(MeshError, match=r"\[key\] and \[key\]\?"):
        await desk.complete(api, play, **bringing(api))
    said = api.error(500, "x" * 490 + THEIRS)

    async def inside(exchange: Exchange) -> None:
        told = said if api.name != "anthropic" else {"type": "error", **said}
        await exchange.stream(f"data: {json.dumps(told)}\n\n")

    with pytest.raises(NotReadyError) as caught:
        await desk.complete(api, inside, **bringing(api))
    assert THEIRS[:4] not in str(caught.value)


@pytest.mark.parametrize(
    ("credentials", "field"),
    [
        ([("openai", "")], "credentials[0].api_key"),
        ([("openai", "sk callers")], "credentials[0].api_key"),
        ([("openai", "sk-é")], "credentials[0].api_key"),
        ([("openai", "x\r\ny: z")], "credentials[0].api_key"),
        ([("openai", "x" * 4097)], "credentials[0].api_key"),
        ([("openai", "a"), ("openai", "b")], "credentials[1].provider"),
        ([("sk-mixed-up", "openai")], "credentials[0].provider"),
        ([("openai", "a")] * 17, "credentials"),
    ],
)
async def test_keys_outside_their_range_are_refused_without_showing_them(
    desk: Desk, credentials: list[tuple[str, str]], field: str
) -> None:
    given = [ProviderCredential(provider=name, api_key=key) for name, key in credentials]
    with pytest.raises(InvalidInputError) as caught:
        await desk.complete(OPENAI, OPENAI.streamed("text"), credentials=given)
    assert caught.value.metadata["field"] == field
    assert not any(shown in str(caught.value) for shown in ("sk", "é", "x\r", "xxx"))


async def test_a_key_for_no_provider_is_refused(desk: Desk) -> None:
    credentials = [ProviderCredential(api_key=THEIRS)]
    with pytest.raises(InvalidInputError, match="when the call names no provider"):
        await desk.case.complete(credentials=credentials)


async def test_no_log_no_span_and_no_figure_shows_a_key(
    api: ProviderApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    plays = [api.streamed("text"), api.failing(500, THEIRS), api.failing(401, THEIRS)]
    async with fallback(api.provider(*plays, api.streamed("cut"))) as case:
        await case.complete(**bringing(api))
        for _ in range(3):
            with pytest.raises(MeshError):
                await case.complete(**bringing(api))
        shown = [span.to_json() for span in case.spans.get_finished_spans()]
        shown.append(generate_latest(case.telemetry.metrics.registry).decode())
    assert any("Complete" in each for each in shown)
    shown += [json.dumps(vars(record), default=repr) for record in caplog.records]
    assert any("httpcore" in each for each in shown)
    for key in (THEIRS, KEY):
        quoted = json.dumps(key)[1:-1]
        assert not [each for each in shown if key in each or quoted in each]
