"""What is made of a provider's trouble: one table for every API."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from arenalab.mesh import InvalidInputError, MeshError, NotFoundError, NotReadyError, Reason
from tests.conformance.provider_apis.apis import GEMINI, OPENAI, ProviderApi
from tests.conformance.provider_apis.conftest import Desk
from tests.mesh.scripted_provider import KEY, Exchange, Play, Provider, fallback, text_of

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def failure(desk: Desk, api: ProviderApi, play: Play) -> MeshError:
    with pytest.raises(MeshError) as caught:
        await desk.complete(api, play)
    assert KEY not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind", "reason", "said"),
    [
        (400, InvalidInputError, Reason.INVALID_ARGUMENT, "NAME refused the request: It is [key]."),
        (401, NotReadyError, Reason.PROVIDER_FAILED, "NAME: it does not accept its key"),
        (402, NotReadyError, Reason.PROVIDER_FAILED, "NAME: It is [key]."),
        (403, NotReadyError, Reason.PROVIDER_FAILED, "NAME: it does not accept its key"),
        (404, NotFoundError, Reason.UNKNOWN_MODEL, "NAME does not know the model"),
        (413, InvalidInputError, Reason.INVALID_ARGUMENT, "NAME refused the request: It is [key]."),
        (429, NotReadyError, Reason.PROVIDER_FAILED, "NAME: It is [key]."),
        (500, NotReadyError, Reason.PROVIDER_FAILED, "NAME: It is [key]."),
        (503, NotReadyError, Reason.PROVIDER_FAILED, "NAME: It is [key]."),
        (529, NotReadyError, Reason.PROVIDER_FAILED, "NAME: It is [key]."),
    ],
)
async def test_a_status_becomes_one_error_whatever_its_body(
    desk: Desk, api: ProviderApi, status: int, kind: type[MeshError], reason: Reason, said: str
) -> None:
    # With no time to be asked again in.
    play = api.failing(status, f"It is {KEY}.", "retry-after: 60")
    error = await failure(desk, api, play)
    assert type(error) is kind
    assert error.reason is reason
    assert str(error).startswith(said.replace("NAME", api.name))


@pytest.mark.parametrize("status", [500, 503, 529])
async def test_what_may_pass_is_asked_again(desk: Desk, api: ProviderApi, status: int) -> None:
    plays = iter([api.failing(status, "Wait."), api.streamed("text")])
    answer = await desk.complete(api, _in_turn(plays))
    assert text_of(answer.events) == "Hello, world!"
    assert answer.events[0].started.attempts == 2


async def test_a_wait_that_is_asked_for_in_milliseconds_is_kept(
    desk: Desk, api: ProviderApi
) -> None:
    waiting = api.failing(429, "Wait.", "retry-after: 60", "retry-after-ms: 1")
    answer = await desk.complete(api, _in_turn(iter([waiting, api.streamed("text")])))
    assert text_of(answer.events) == "Hello, world!"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("error_inside", "The server is overloaded."),
        ("cut", "its answer broke off"),
        ("garbled", "its answer is malformed: not JSON"),
    ],
)
async def test_trouble_inside_an_answer_ends_it(
    desk: Desk, api: ProviderApi, name: str, said: str
) -> None:
    seen: list[Any] = []
    with pytest.raises(NotReadyError) as caught:
        await desk.complete(api, api.streamed(name), into=seen)
    assert text_of(seen) == "Hel"
    assert str(caught.value) == f"{api.name}: {said}"
    assert caught.value.reason is Reason.PROVIDER_FAILED


async def test_trouble_before_an_answer_is_the_next_providers_turn(api: ProviderApi) -> None:
    first = api.provider(api.streamed("error_at_once"))
    async with fallback(first, _other()) as case:
        events = await case.complete()
        assert case.calls(api.name, "failed") == 1
    assert events[0].started.provider == "other"


@pytest.mark.parametrize("body", ["[]", "7", "{}", '{"candidates": 7, "choices": 7}'])
async def test_what_is_no_answer_is_no_empty_answer(
    desk: Desk, api: ProviderApi, body: str
) -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.answer(200, json.loads(body))

    error = await failure(desk, api, play)
    assert str(error).startswith(f"{api.name}: its answer is malformed")
    error = await failure(desk, api, _stream(f"data: {body}\n\n"))
    assert error.reason is Reason.PROVIDER_FAILED


def _in_turn(plays: Iterator[Play]) -> Play:
    async def play(exchange: Exchange) -> None:
        await next(plays)(exchange)

    return play


def _other() -> Provider:
    return OPENAI.provider(OPENAI.streamed("text"), name="other")


def _stream(text: str) -> Play:
    async def play(exchange: Exchange) -> None:
        await exchange.stream(text)

    return play


async def test_gemini_says_with_status_400_that_a_key_is_not_good(desk: Desk) -> None:
    error = GEMINI.error(400, f"API key not valid: {KEY}")
    error["error"]["details"] = [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "API_KEY_INVALID",
            "domain": "googleapis.com",
            "metadata": {"service": "generativelanguage.googleapis.com"},
        }
    ]

    async def play(exchange: Exchange) -> None:
        await exchange.answer(400, error)

    found = await failure(desk, GEMINI, play)
    assert str(found) == "gemini: it does not accept its key"


@pytest.mark.parametrize(
    "reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "OTHER", "NO_IMAGE"]
)
async def test_a_model_of_gemini_that_went_wrong_gave_no_answer(desk: Desk, reason: str) -> None:
    event = json.dumps({"candidates": [{"finishReason": reason, "index": 0}]})
    error = await failure(desk, GEMINI, _stream(f"data: {event}\n\n"))
    assert str(error) == f"gemini: it ended with {reason}"
