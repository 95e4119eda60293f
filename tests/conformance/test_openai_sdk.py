"""The OpenAI SDK against the gateway: what its users rely on, as the SDK itself reads it."""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import openai
import pytest
import pytest_asyncio
from openai.types.chat import ChatCompletion, ChatCompletionFunctionToolParam

from arenalab.api.common.v1 import answer_pb2, receipt_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as pb_grpc
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.api.search.v1 import search_service_pb2_grpc as search_grpc
from arenalab.gateway.config import GatewayConfig
from arenalab.gateway.wiring import running_gateway
from arenalab.mesh import (
    BudgetSpentError,
    MeshError,
    NotFoundError,
    NotReadyError,
    Reason,
    Telemetry,
    running_server,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "sk-test"
ASKED: list[dict[str, str]] = [{"role": "user", "content": "How?"}]
CALL = '[{"index":0,"id":"call_1","type":"function","function":{"name":"add","arguments":"%s"}}]'
TOOL: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {}}},
}
ERRORS: dict[str, MeshError] = {
    "missing": NotFoundError("no such model", Reason.UNKNOWN_MODEL, model="missing"),
    "busy": BudgetSpentError("the queue is full", Reason.OVERLOADED),
    "down": NotReadyError("the answer cannot be sealed", Reason.LEDGER_UNAVAILABLE),
}


class _Ensemble(pb_grpc.EnsembleServiceServicer):
    """Answers from memory, with tool calls when there are tools, or as the model name says."""

    async def Answer(self, request: pb.AnswerRequest, context: Any) -> AsyncIterator[Any]:
        if request.model in ERRORS:
            raise ERRORS[request.model]
        yield pb.AnswerResponse(
            started=pb.AnswerStarted(
                prediction_id="id-1", model=request.model, route=pb.ROUTE_MEMORY
            )
        )
        if "tools" in request.passthrough:
            for arguments in ("{}", ""):
                calls = CALL % arguments
                yield pb.AnswerResponse(delta=pb.TextDelta(tool_calls_json=calls))
        else:
            for text in ("Like ", "this."):
                yield pb.AnswerResponse(delta=pb.TextDelta(text=text))
        if request.model == "breaks":
            raise NotReadyError("the provider broke", Reason.PROVIDER_FAILED)
        yield pb.AnswerResponse(
            finished=pb.AnswerFinished(
                prediction_id="id-1",
                model=request.model,
                route=pb.ROUTE_MEMORY,
                confidence=0.9,
                method=answer_pb2.ANSWER_METHOD_MAJORITY,
                sentences=[answer_pb2.Sentence(text="Like this.", span_ids=["s1", "s2"])],
                finish_reason="tool_calls" if "tools" in request.passthrough else "stop",
                receipt=receipt_pb2.Receipt(leaf_index=3, leaf=b"{}", leaf_hash=b"\0" * 32),
            )
        )

    async def ListModels(
        self, request: pb.ListModelsRequest, context: Any
    ) -> pb.ListModelsResponse:
        names = ("arenalab", "arenalab/memory-only")
        return pb.ListModelsResponse(models=[pb.Model(id=n, owned_by="arenalab") for n in names])

    def register(self, server: grpc.aio.Server) -> None:
        pb_grpc.add_EnsembleServiceServicer_to_server(self, server)


class _Search(search_grpc.SearchServiceServicer):
    """Embeds a text as its length and 0.5."""

    async def Embed(self, request: search_pb.EmbedRequest, context: Any) -> search_pb.EmbedResponse:
        rows = [struct.pack("<2f", len(text), 0.5) for text in request.texts]
        return search_pb.EmbedResponse(
            vectors=b"".join(rows), dimension=2, embedder_id="tiny", token_counts=[1] * len(rows)
        )

    def register(self, server: grpc.aio.Server) -> None:
        search_grpc.add_SearchServiceServicer_to_server(self, server)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url() -> AsyncIterator[str]:
    async with AsyncExitStack() as stack:
        addresses = []
        search = _Search()  # type: ignore[abstract]  # what it lacks answers UNIMPLEMENTED
        ensemble = _Ensemble()  # type: ignore[abstract]
        for servicer in (ensemble, search):
            server = running_server("peer", servicer.register, "127.0.0.1:0", Telemetry("peer"))
            addresses.append(f"127.0.0.1:{await stack.enter_async_context(server)}")
        config = GatewayConfig(
            port=0,
            ensemble_address=addresses[0],
            search_address=addresses[1],
            api_keys=(KEY,),
            dev=False,
        )
        port = await stack.enter_async_context(running_gateway(config, Telemetry("gateway")))
        yield f"http://127.0.0.1:{port}/v1"


@pytest_asyncio.fixture(loop_scope="module")
async def client(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0) as found:
        yield found


@pytest.fixture
def blocking(url: str) -> Iterator[openai.OpenAI]:
    """The synchronous client, whose calls belong on another thread than the gateway's."""
    with openai.OpenAI(base_url=url, api_key=KEY, max_retries=0) as found:
        yield found


async def _create(client: openai.AsyncOpenAI, **members: Any) -> Any:
    return await client.chat.completions.create(
        **{"model": "arenalab", "messages": ASKED} | members
    )


@pytest.mark.slow  # the SDK loads its types at its first call
async def test_an_answer_is_a_chat_completion(client: openai.AsyncOpenAI) -> None:
    completion = await _create(client)
    assert completion.choices[0].message.content == "Like this."
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.total_tokens == 5
    assert completion._request_id.startswith("req_")
    assert completion.model_extra["arenalab"]["receipt"]["leaf_index"] == 3


async def test_the_synchronous_client_gets_the_same(blocking: openai.OpenAI) -> None:
    def ask() -> ChatCompletion:
        return blocking.chat.completions.create(
            model="arenalab", messages=[{"role": "user", "content": "How?"}]
        )

    completion = await asyncio.to_thread(ask)
    assert completion.choices[0].message.content == "Like this."
    assert completion.model_extra is not None
    assert completion.model_extra["arenalab"]["confidence"] == 0.9


async def test_the_synchronous_client_streams(blocking: openai.OpenAI) -> None:
    def read() -> list[str | None]:
        stream = blocking.chat.completions.create(
            model="arenalab", messages=[{"role": "user", "content": "How?"}], stream=True
        )
        return [chunk.choices[0].delta.content for chunk in stream]

    assert await asyncio.to_thread(read) == ["", "Like ", "this.", None, None]


async def test_the_last_chunk_with_a_choice_has_what_vouches(client: openai.AsyncOpenAI) -> None:
    stream = await _create(client, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].usage.total_tokens == 5
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-2].model_extra["arenalab"]["receipt"]["leaf_index"] == 3


async def test_the_stream_helper_puts_the_answer_together(client: openai.AsyncOpenAI) -> None:
    helper = client.chat.completions.stream(
        model="arenalab",
        messages=[{"role": "user", "content": "How?"}],
        stream_options={"include_usage": True},
    )
    async with helper as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_completion()
    assert "content.done" in kinds
    assert final.model_extra == {"arenalab": {"prediction_id": "id-1", "route": "memory"}}
    assert final.choices[0].message.role == "assistant"
    assert final.choices[0].message.content == "Like this."
    # The helper joins lists by their index; annotations come once, and whole.
    annotations = final.choices[0].message.annotations
    assert annotations is not None
    assert [each.url_citation.url for each in annotations] == [
        "arenalab:span/s1",
        "arenalab:span/s2",
    ]
    assert final.usage is not None
    assert final.usage.total_tokens == 5


async def test_the_stream_helper_puts_tool_calls_together(client: openai.AsyncOpenAI) -> None:
    helper = client.chat.completions.stream(
        model="arenalab", messages=[{"role": "user", "content": "How?"}], tools=[TOOL]
    )
    async with helper as stream:
        final = await stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls is not None
    assert (calls[0].id, calls[0].function.name, calls[0].function.arguments) == (
        "call_1",
        "add",
        "{}",
    )
    assert final.choices[0].finish_reason == "tool_calls"


async def test_responses_are_read(client: openai.AsyncOpenAI) -> None:
    found = await client.responses.create(model="arenalab", input="How?", instructions="Briefly.")
    assert found.output_text == "Like this."
    assert found.status == "completed"
    assert found.usage is not None
    assert found.usage.output_tokens == 3
    assert found._request_id is not None
    [message] = found.output
    assert message.type == "message"
    [part] = message.content
    assert part.type == "output_text"
    assert [each.type for each in part.annotations] == ["url_citation", "url_citation"]
    assert found.model_extra is not None
    assert found.model_extra["arenalab"]["receipt"]["leaf_index"] == 3


async def test_the_helper_of_responses_puts_a_text_together(client: openai.AsyncOpenAI) -> None:
    async with client.responses.stream(model="arenalab", input="How?") as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    assert [e.snapshot for e in events if e.type == "response.output_text.delta"] == [
        "Like ",
        "Like this.",
    ]
    assert final.output_text == "Like this."


async def test_the_helper_of_responses_puts_calls_together(client: openai.AsyncOpenAI) -> None:
    tool: Any = {"type": "function", "name": "add", "parameters": {"type": "object"}}
    helper = client.responses.stream(model="arenalab", input="How?", tools=[tool])
    async with helper as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert "response.function_call_arguments.done" in kinds
    [call] = final.output
    assert call.type == "function_call"
    assert (call.call_id, call.name, call.arguments) == ("call_1", "add", "{}")


async def test_a_response_that_breaks_off_is_told(client: openai.AsyncOpenAI) -> None:
    stream = await client.responses.create(model="breaks", input="How?", stream=True)
    kinds = [event.type async for event in stream]
    assert kinds[-2:] == ["error", "response.failed"]
    with pytest.raises(openai.NotFoundError) as caught:
        await client.responses.create(model="missing", input="How?", stream=True)
    assert caught.value.code == "model_not_found"


async def test_raw_responses_have_the_headers(client: openai.AsyncOpenAI) -> None:
    raw = await client.chat.completions.with_raw_response.create(
        model="arenalab", messages=[{"role": "user", "content": "How?"}]
    )
    assert raw.headers["x-arenalab-route"] == "memory"
    assert raw.parse().choices[0].message.content == "Like this."


async def test_models_are_read(client: openai.AsyncOpenAI) -> None:
    assert [m.id async for m in client.models.list()] == ["arenalab", "arenalab/memory-only"]
    assert (await client.models.retrieve("arenalab/memory-only")).owned_by == "arenalab"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("gpt-5")


async def test_embeddings_are_read(client: openai.AsyncOpenAI) -> None:
    # The SDK asks for base64 by itself, and decodes it.
    answer = await client.embeddings.create(model="arenalab", input=["ab", "abc"])
    assert [item.embedding for item in answer.data] == [[2.0, 0.5], [3.0, 0.5]]
    floats = await client.embeddings.create(model="tiny", input="ab", encoding_format="float")
    assert floats.data[0].embedding == [2.0, 0.5]
    assert floats.usage.prompt_tokens == 1


@pytest.mark.parametrize(
    ("members", "kind", "code"),
    [
        ({"n": 2}, openai.BadRequestError, "unsupported_parameter"),
        ({"temperature": 3}, openai.BadRequestError, "invalid_value"),
        ({"model": "missing"}, openai.NotFoundError, "model_not_found"),
        ({"model": "busy"}, openai.RateLimitError, "rate_limit_exceeded"),
        ({"model": "down"}, openai.InternalServerError, "ledger_unavailable"),
    ],
)
async def test_errors_are_of_the_sdks_classes(
    client: openai.AsyncOpenAI, members: Any, kind: type[openai.APIStatusError], code: str
) -> None:
    with pytest.raises(kind) as caught:
        await _create(client, **members)
    assert caught.value.code == code
    assert caught.value.request_id is not None
    with pytest.raises(kind):
        await _create(client, **members, stream=True)


async def test_a_wrong_key_is_an_authentication_error(url: str) -> None:
    async with openai.AsyncOpenAI(base_url=url, api_key="wrong") as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await _create(client)
    assert caught.value.code == "invalid_api_key"


async def test_an_error_within_a_stream_is_raised(client: openai.AsyncOpenAI) -> None:
    stream = await _create(client, model="breaks", stream=True)
    told = [(await anext(stream)).choices[0].delta.content for _ in range(3)]
    assert told == ["", "Like ", "this."]
    with pytest.raises(openai.APIError, match="the provider broke"):
        await anext(stream)


@pytest.mark.slow
async def test_the_sdk_tries_again_when_told_that_it_may_help(url: str) -> None:
    async with openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=1) as client:
        raw = client.chat.completions.with_raw_response
        with pytest.raises(openai.InternalServerError) as caught:
            await raw.create(model="down", messages=[{"role": "user", "content": "How?"}])
    assert caught.value.response.request.headers["x-stainless-retry-count"] == "1"
    assert caught.value.response.headers["retry-after-ms"] == "1000"
