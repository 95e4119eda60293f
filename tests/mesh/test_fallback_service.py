"""What Fallback asks of a provider, and what it makes of the answer."""

import json
from typing import Any

import pytest
from google.protobuf import struct_pb2

from arenalab.api.common.v1 import answer_pb2, message_pb2
from arenalab.api.fallback.v1 import fallback_service_pb2 as pb
from arenalab.mesh import InvalidInputError, PreconditionError, Reason

from .scripted_provider import (
    KEY,
    Exchange,
    Provider,
    delta,
    fallback,
    frame,
    hello,
    status,
    stream,
    text_of,
    user,
)


async def test_a_completion_streams_from_the_first_piece_to_the_usage() -> None:
    async with fallback(Provider([hello])) as case:
        events = await case.complete()
    # Pieces that arrive together are told as one, and whether they do is the network's choice.
    kinds = dict.fromkeys(event.WhichOneof("event") for event in events)
    assert list(kinds) == ["started", "delta", "finished"]
    assert events[0].started == pb.CompletionStarted(provider="a", model="real-name", attempts=1)
    assert text_of(events) == "See [2] and [1]."
    assert events[-1].finished == pb.CompletionFinished(
        finish_reason="stop", prompt_tokens=7, completion_tokens=5
    )


async def test_the_evidence_is_in_the_prompt_and_its_citations_come_back() -> None:
    evidence = [
        answer_pb2.Evidence(span_id="s1", question="Port?", outcome="8080"),
        answer_pb2.Evidence(span_id="s2", question="gRPC port?", outcome="50054"),
    ]
    provider = Provider([hello])
    async with fallback(provider) as case:
        events = await case.complete(evidence=evidence)
    system, asked = provider.got[0].body["messages"]
    assert system["role"] == "system"
    assert '[2] {"question": "gRPC port?", "outcome": "50054"}' in system["content"]
    assert asked == {"role": "user", "content": "Which port?"}
    assert events[-1].finished.cited_span_ids == ["s2", "s1"]


async def test_the_request_reaches_the_provider_as_it_was_meant() -> None:
    tool: Any = {"type": "function", "function": {"name": "f", "parameters": {"minimum": 1}}}
    passthrough = struct_pb2.Struct()
    passthrough.update({"tools": [tool], "logit_bias": {"50256": -100}, "user": "u"})
    messages = [{"role": "user", "content": [{"type": "text", "text": "é\ud83d"}]}]
    provider = Provider([hello])
    async with fallback(provider) as case:
        await case.complete(
            model="big",
            messages_json=json.dumps(messages),
            temperature=0,
            max_tokens=9,
            seed=-3,
            stop=["x"],
            passthrough=passthrough,
        )
    (got,) = provider.got
    assert got.path == "/v1/chat/completions"
    assert got.headers["authorization"] == f"bearer {KEY}"
    assert got.body == {
        "model": "big",
        "messages": messages,
        "temperature": 0,
        "max_tokens": 9,
        "seed": -3,
        "stop": ["x"],
        "tools": [tool],
        "logit_bias": {"50256": -100},
        "user": "u",
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert '"minimum": 1}' in json.dumps(got.body)


async def test_tool_calls_arrive_as_the_provider_cut_them() -> None:
    first = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    later = {"index": 0, "function": {"arguments": '{"a":1}'}}
    play = stream(
        frame(choices=[{"delta": {"role": "assistant", "tool_calls": [first]}}]),
        frame(choices=[{"delta": {"tool_calls": [later]}}]),
        frame(choices=[{"delta": {}, "finish_reason": "tool_calls"}]),
        "data: [DONE]\n\n",
    )
    async with fallback(Provider([play])) as case:
        events = await case.complete()
    calls = [json.loads(e.delta.tool_calls_json) for e in events if e.HasField("delta")]
    assert calls == [[first], [later]]
    assert events[-1].finished.finish_reason == "tool_calls"


async def test_a_provider_that_does_not_stream_is_understood() -> None:
    async def whole(exchange: Exchange) -> None:
        message = {"role": "assistant", "content": "Hi"}
        choice = {"index": 0, "message": message, "finish_reason": "length"}
        usage = {"prompt_tokens": 1, "completion_tokens": 2}
        await exchange.answer(200, {"model": "m", "choices": [choice], "usage": usage})

    async with fallback(Provider([whole])) as case:
        events = await case.complete()
    assert events[0].started.model == "m"
    assert text_of(events) == "Hi"
    assert events[-1].finished.finish_reason == "length"
    assert events[-1].finished.completion_tokens == 2


async def test_a_character_cut_anywhere_arrives_whole() -> None:
    raw = delta("時🙂").encode() + b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\n'
    raw += b'data: {"choices":[{"delta":{"content":"\\ude42"}}]}\r\n\r\ndata: [DONE]\n\n'
    async with fallback(Provider([stream(*(bytes([b]) for b in raw))])) as case:
        assert text_of(await case.complete()) == "時🙂🙂"


async def test_without_a_provider_the_caller_learns_so() -> None:
    async with fallback() as case:
        with pytest.raises(PreconditionError) as caught:
            await case.complete()
        assert caught.value.reason is Reason.NO_PROVIDER
        assert not (await case.stub.ListProviders(pb.ListProvidersRequest())).providers


async def test_a_provider_that_is_not_configured_is_named() -> None:
    async with fallback(Provider([hello])) as case:
        with pytest.raises(PreconditionError) as caught:
            await case.complete(provider="z")
    assert caught.value.metadata == {"provider": "z"}


async def test_providers_are_listed_without_their_keys() -> None:
    provider = Provider([hello])
    async with fallback(provider) as case:
        response = await case.stub.ListProviders(pb.ListProvidersRequest())
    assert list(response.providers) == [
        pb.Provider(
            name="a",
            base_url=provider.base_url,
            default_model="small",
            has_key=True,
            breaker=pb.BREAKER_STATE_CLOSED,
            api=pb.PROVIDER_API_OPENAI,
            models=[pb.ProviderModel(name="small", breaker=pb.BREAKER_STATE_CLOSED)],
            weight=1.0,
        )
    ]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [user("x")] * 257}, "messages"),
        ({"messages": [message_pb2.Message(content="x")]}, "messages[0].role"),
        ({"messages_json": "{}"}, "messages_json"),
        ({"temperature": 3}, "temperature"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"scope": {"tenant": "A B"}}, "scope.tenant"),
        ({"messages": [user("x" * 262_145)]}, "messages[0].content"),
    ],
)
async def test_a_field_outside_its_range_is_refused(fields: dict[str, Any], named: str) -> None:
    provider = Provider([hello])
    async with fallback(provider) as case:
        with pytest.raises(InvalidInputError) as caught:
            await case.complete(**fields)
    assert caught.value.metadata["field"] == named
    assert not provider.got


async def test_each_request_to_a_provider_is_a_span_of_the_trace() -> None:
    async with fallback(Provider([status(500), hello])) as case:
        await case.complete(temperature=0.5, stop=["x"])
    failed, answered = case.chats()
    assert failed.name == answered.name == "chat small"
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "500"
    assert failed.attributes["gen_ai.provider.name"] == "a"
    found = dict(answered.attributes or {})
    assert found.pop("gen_ai.response.time_to_first_chunk")
    assert found.pop("server.port")
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "a",
        "gen_ai.request.model": "small",
        "gen_ai.request.stream": True,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.stop_sequences": ("x",),
        "gen_ai.response.id": "c1",
        "gen_ai.response.model": "real-name",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 5,
        "server.address": "127.0.0.1",
        "arenalab.evidence.count": 0,
    }
    (server,) = (s for s in case.spans.get_finished_spans() if s.name.endswith("/Complete"))
    assert failed.parent == answered.parent == server.context
