"""What is made of a provider's answer: one table for every API."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from arenalab.api.fallback.v1 import fallback_service_pb2 as pb
from arenalab.pieces import ToolCalls
from tests.conformance.provider_apis.apis import GEMINI, ProviderApi
from tests.conformance.provider_apis.conftest import Desk
from tests.mesh.scripted_provider import Exchange

pytestmark = pytest.mark.asyncio(loop_scope="package")


@dataclass
class Heard:
    """An answer, as its events tell it."""

    text: str = ""
    refusal: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)


def heard(events: Sequence[pb.CompleteResponse]) -> Heard:
    found = Heard()
    for event in events:
        found.text += event.delta.text
        found.refusal += event.delta.refusal
        for delta in json.loads(event.delta.tool_calls_json or "[]"):
            if delta["index"] == len(found.calls):
                assert delta["id"]
                assert delta["type"] == "function"
                call = {"name": delta["function"]["name"], "arguments": "", "id": delta["id"]}
                found.calls.append(call)
            else:  # a client joins what comes twice
                assert not delta.get("id")
                assert not delta["function"].get("name")
            found.calls[delta["index"]]["arguments"] += delta["function"].get("arguments", "")
    return found


async def answer(desk: Desk, api: ProviderApi, name: str) -> tuple[Heard, pb.CompletionFinished]:
    events = (await desk.complete(api, api.streamed(name))).events
    assert [e.WhichOneof("event") for e in (events[0], events[-1])] == ["started", "finished"]
    assert events[0].started.provider == api.name
    assert events[0].started.attempts == 1
    return heard(events), events[-1].finished


async def test_text_comes_as_the_provider_sends_it(desk: Desk, api: ProviderApi) -> None:
    events = (await desk.complete(api, api.streamed("text"))).events
    assert "".join(e.delta.text for e in events) == "Hello, world!"
    assert events[0].started.model == api.model
    assert events[-1].finished == pb.CompletionFinished(
        finish_reason="stop", prompt_tokens=12, completion_tokens=7
    )


async def test_usage_tells_what_was_cached_and_what_was_thought(
    desk: Desk, api: ProviderApi
) -> None:
    told, finished = await answer(desk, api, "usage")
    assert told.text == "42"  # and nothing of the thoughts
    assert finished == pb.CompletionFinished(
        finish_reason="stop",
        prompt_tokens=20,
        completion_tokens=30,
        cached_prompt_tokens=8,
        reasoning_tokens=11,
    )


@pytest.mark.parametrize(
    ("name", "text", "calls"),
    [
        ("tool", "", [("get_weather", {"city": "Paris"})]),
        (
            "parallel_tools",
            ("", "I will look."),
            [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Oslo"})],
        ),
        ("tool_without_input", "", [("now", {})]),
    ],
)
async def test_calls_of_tools_arrive_as_openai_tells_them(
    desk: Desk, api: ProviderApi, name: str, text: str, calls: list[tuple[str, Any]]
) -> None:
    told, finished = await answer(desk, api, name)
    assert [(c["name"], json.loads(c["arguments"])) for c in told.calls] == calls
    assert len({call["id"] for call in told.calls}) == len(calls)
    assert told.text in text
    assert finished.finish_reason == "tool_calls"


async def test_what_gemini_wants_back_with_a_call_is_told_beside_it(desk: Desk) -> None:
    events = (await desk.complete(GEMINI, GEMINI.streamed("tool"))).events
    (call,) = json.loads(events[1].delta.tool_calls_json)
    assert call["extra_content"] == {"google": {"thought_signature": "EhQKEgEMOdbH"}}
    calls = ToolCalls()
    calls.add(events[1].delta.tool_calls_json)
    calls.add(events[1].delta.tool_calls_json)  # as some servers repeat it
    (whole,) = calls.whole()
    assert whole["extra_content"] == call["extra_content"]


async def test_a_refusal_is_no_text(desk: Desk, api: ProviderApi) -> None:
    told, finished = await answer(desk, api, "refusal")
    assert told.text == ""
    assert told.refusal in (
        "I cannot help with that.",
        "The provider blocked the question: PROHIBITED_CONTENT.",
    )
    assert finished.finish_reason == api.refusal_reason
    assert (finished.prompt_tokens, finished.completion_tokens) == (14, 6)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [("length", "Once upon", "length"), ("filtered", "Once", "content_filter")],
)
async def test_an_answer_that_was_ended_says_why(
    desk: Desk, api: ProviderApi, name: str, text: str, reason: str
) -> None:
    told, finished = await answer(desk, api, name)
    assert (told.text, finished.finish_reason) == (text, reason)


async def test_an_answer_that_is_one_json_text_is_understood(desk: Desk, api: ProviderApi) -> None:
    async def whole(exchange: Exchange) -> None:
        await exchange.answer(200, json.loads(api.recording("whole.json")))

    events = (await desk.complete(api, whole)).events
    told, finished = heard(events), events[-1].finished
    assert told.text == "Let me see."
    (call,) = told.calls
    assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"city": "Paris"})
    assert finished == pb.CompletionFinished(
        finish_reason="tool_calls",
        prompt_tokens=12,
        completion_tokens=7,
        cached_prompt_tokens=4,
    )
