"""Tools and formats over real gRPC and HTTP: memory's calls, a provider's, and their results."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from arenalab.api.common.v1 import answer_pb2, credential_pb2, message_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.fallback.v1 import fallback_service_pb2 as fallback_pb
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.gateway.config import GatewayConfig
from arenalab.gateway.wiring import running_gateway
from arenalab.mesh import InvalidInputError, Telemetry
from tests.mesh.test_ensemble_service import World, running_world

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
PARIS = '{"city": "Paris"}'
ASKED: dict[str, Any] = {"role": "user", "content": "What is the weather in Paris?"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running_world(tmp_path) as running:
        says(running, PARIS, "get_weather")
        yield running


def says(world: World, output: str, *actions: str) -> None:
    """Lets memory have an output that spans of these actions support."""
    said = world.predictor.says["faq"]
    assert isinstance(said, predictor_pb.PredictResponse)
    said.output = output
    del said.evidence[:]
    said.evidence.extend(
        answer_pb2.Evidence(span_id=f"s{n}", action=action, outcome=output, supports=True)
        for n, action in enumerate(actions)
    )
    said.sentences.extend([answer_pb2.Sentence(text=output, span_ids=["s0"])])


def _demanding(**passthrough: Any) -> dict[str, Any]:
    request = pb.AnswerRequest()
    request.passthrough.update(passthrough)
    return {"passthrough": request.passthrough}


def _delta(call_id: str, name: str, arguments: str) -> fallback_pb.CompletionDelta:
    function = {"name": name, "arguments": arguments}
    call = {"index": 0, "id": call_id, "type": "function", "function": function}
    return fallback_pb.CompletionDelta(tool_calls_json=json.dumps([call]))


async def test_a_span_whose_action_names_a_tool_is_a_call_of_it(world: World) -> None:
    question = pb.AnswerRequest(
        messages=[message_pb2.Message(role=message_pb2.ROLE_USER, content="Paris?")],
        **_demanding(tools=[WEATHER]),
    )
    deltas, finished = [], pb.AnswerFinished()
    async for event in world.stub.Answer(question):
        if event.HasField("delta"):
            deltas.append(event.delta)
        elif event.HasField("finished"):
            finished = event.finished
    [delta] = deltas
    [call] = json.loads(delta.tool_calls_json)
    assert delta.text == ""
    assert call.pop("id") == f"call_{finished.prediction_id.replace('-', '')}"
    assert call == {
        "index": 0,
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
    }
    assert finished.finish_reason == "tool_calls"
    assert finished.route == pb.ROUTE_MEMORY
    assert finished.guarantee.status == answer_pb2.GUARANTEE_STATUS_VALID
    assert not finished.sentences
    assert not world.fallback.requests


async def test_a_call_is_sealed_and_its_digests_are_told(world: World) -> None:
    _, finished, _ = await world.ask(**_demanding(tools=[WEATHER]))
    [entry] = world.ledger.entries
    [call] = json.loads(entry.content["tool_calls"])
    assert call["function"] == {"name": "get_weather", "arguments": '{"city":"Paris"}'}
    assert entry.content["answer"] == ""
    assert json.loads(entry.facts_json)["finish_reason"] == "tool_calls"
    assert "Paris" not in entry.facts_json
    assert finished.config_digest == entry.config_digest
    assert finished.model_digest == entry.model_digest == "e" * 64


@pytest.mark.parametrize(
    ("output", "actions", "why"),
    [
        ("Sunny.", ("ask_question",), "its action 'ask_question' names none of the tools"),
        (PARIS, ("get_weather", "ask_question"), "names none of the tools"),
        ('{"city": 5}', ("get_weather",), "not valid under the schema"),
        ("Sunny.", ("get_weather",), "not the JSON of arguments"),
    ],
)
async def test_what_is_no_call_goes_to_a_provider_with_the_tools(
    world: World, output: str, actions: tuple[str, ...], why: str
) -> None:
    says(world, output, *actions)
    demands = _demanding(tools=[WEATHER], tool_choice="required")
    text, finished, _ = await world.ask(**demands)
    assert text == "from the LLM"
    assert finished.route == pb.ROUTE_FALLBACK
    assert finished.abstention.reason == answer_pb2.ABSTAIN_REASON_UNSUPPORTED_REQUEST
    assert why in finished.abstention.explanation
    [asked] = world.fallback.requests
    assert asked.passthrough == demands["passthrough"]


async def test_without_a_provider_the_abstention_says_why_there_is_no_call(world: World) -> None:
    says(world, "Sunny.", "ask_question")
    text, finished, _ = await world.ask(model="arenalab/memory-only", **_demanding(tools=[WEATHER]))
    assert finished.route == pb.ROUTE_ABSTAIN
    assert "Memory has no call of the tools: its action 'ask_question' names none" in text


async def test_a_creature_that_has_the_call_is_found_behind_one_that_has_not(world: World) -> None:
    call = world.predictor.says["faq"]
    assert isinstance(call, predictor_pb.PredictResponse)
    words = predictor_pb.PredictResponse()
    words.CopyFrom(call)
    words.output, words.confidence = "Sunny.", 0.99
    world.predictor.says = {"words": words, "faq": call}
    for model in ("arenalab", "arenalab/ensemble"):
        _, finished, _ = await world.ask(model=model, **_demanding(tools=[WEATHER]))
        assert (finished.creature, finished.finish_reason) == ("faq", "tool_calls")
        answered = {vote.creature: vote.answered for vote in finished.creatures_asked}
        assert answered == {"words": False, "faq": True}


async def test_memory_is_asked_for_all_evidence_and_for_the_action_that_is_forced(
    world: World,
) -> None:
    await world.ask(**_demanding(tools=[WEATHER]))
    named = {"type": "function", "function": {"name": "get_weather"}}
    await world.ask(**_demanding(tools=[WEATHER], tool_choice=named))
    await world.ask()
    asked = [(request.max_evidence, request.action) for request in world.predictor.requests]
    assert asked == [(50, ""), (50, "get_weather"), (0, "")]


async def test_a_demanded_form_is_not_reworded_nor_cut(world: World) -> None:
    policy = pb.AnswerPolicy(rephrase=pb.REPHRASE_POLICY_LLM)
    demands = _demanding(response_format={"type": "json_object"})
    text, finished, _ = await world.ask(policy=policy, **demands)
    assert (text, finished.finish_reason) == (PARIS, "stop")
    assert not finished.HasField("rephrasing")
    _, finished, _ = await world.ask(sampling=pb.Sampling(stop=["}"]), **demands)
    assert finished.route == pb.ROUTE_FALLBACK


async def test_what_a_provider_calls_and_refuses_is_joined_and_sealed(world: World) -> None:
    says(world, "Sunny.", "ask_question")
    refusal = fallback_pb.CompletionDelta(refusal="I must not.")
    world.fallback.writes = (
        _delta("c1", "get_weather", '{"ci'),
        _delta("c1", "", 'ty":1}'),
        refusal,
    )
    world.fallback.finish_reason = "tool_calls"
    request = pb.AnswerRequest(
        messages=[message_pb2.Message(role=message_pb2.ROLE_USER, content="Paris?")],
        **_demanding(tools=[WEATHER]),
    )
    refusals = [event.delta.refusal async for event in world.stub.Answer(request)]
    assert "".join(refusals) == "I must not."
    [entry] = world.ledger.entries
    [call] = json.loads(entry.content["tool_calls"])
    assert call["function"] == {"name": "get_weather", "arguments": '{"city":1}'}
    assert entry.content["refusal"] == "I must not."
    assert entry.content["answer"] == ""


async def test_no_callers_key_is_sealed(world: World) -> None:
    key = credential_pb2.ProviderCredential(provider="openai", api_key="sk-secret")
    await world.ask(credentials=[key])
    assert "sk-secret" not in str(world.ledger.entries)


async def test_a_callers_mistake_is_refused_before_anybody_is_asked(world: World) -> None:
    with pytest.raises(InvalidInputError, match="Invalid schema for function") as refused:
        await world.ask(**_demanding(tools=[{"type": "function", "function": {
            "name": "f", "parameters": {"type": "object", "required": "all"}}}]))  # fmt: skip
    assert refused.value.metadata == {"field": "tools[0].function.parameters"}
    assert not world.predictor.requests


# --- through HTTP, as the OpenAI SDK has it


@pytest.fixture
async def client(world: World) -> AsyncIterator[openai.AsyncOpenAI]:
    config = GatewayConfig(port=0, ensemble_address=world.address, api_keys=("sk-test",))
    async with (
        running_gateway(config, Telemetry("gateway")) as port,
        openai.AsyncOpenAI(
            base_url=f"http://127.0.0.1:{port}/v1", api_key="sk-test", max_retries=0
        ) as found,
    ):
        yield found


async def _ask(client: openai.AsyncOpenAI, *turns: Any, **members: Any) -> Any:
    return await client.chat.completions.create(
        **{"model": "arenalab", "messages": [*turns]} | members
    )


@pytest.mark.slow  # the SDK loads its types at its first call
@pytest.mark.parametrize("stream", [False, True])
async def test_memory_calls_a_tool_and_a_provider_answers_from_its_result(
    world: World,
    client: openai.AsyncOpenAI,
    stream: bool,  # noqa: FBT001
) -> None:
    turns: Any = [ASKED]
    tools: Any = [WEATHER]
    if stream:
        async with client.chat.completions.stream(
            model="arenalab",
            messages=turns,
            tools=tools,
        ) as events:
            completion: Any = await events.get_final_completion()
    else:
        completion = await _ask(client, ASKED, tools=[WEATHER])
    [choice] = completion.choices
    assert (choice.finish_reason, choice.message.content or None) == ("tool_calls", None)
    [call] = choice.message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == (
        "get_weather",
        {"city": "Paris"},
    )
    function = {"name": call.function.name, "arguments": call.function.arguments}
    calls = [{"id": call.id, "type": "function", "function": function}]
    turn = {"role": "assistant", "content": None, "tool_calls": calls}
    result = {"role": "tool", "tool_call_id": call.id, "content": "18 °C"}
    answer = await _ask(client, ASKED, turn, result, tools=[WEATHER])
    assert answer.choices[0].message.content == "from the LLM"
    assert answer.model_extra["arenalab"]["abstain"]["explanation"] == (
        "Memory cannot honour: tool results."
    )
    [provided] = world.fallback.requests
    assert json.loads(provided.messages_json) == [ASKED, turn, result]
    assert list(provided.passthrough) == ["tools"]
    after = await _ask(client, ASKED, turn, result, ASKED, tools=[WEATHER])
    assert after.choices[0].finish_reason == "tool_calls"


class City(BaseModel):
    city: str


class Person(BaseModel):
    name: str


@pytest.mark.slow
async def test_a_structured_output_comes_from_memory_where_it_fits(
    world: World, client: openai.AsyncOpenAI
) -> None:
    parse = client.chat.completions.parse
    found = await parse(model="arenalab", messages=[ASKED], response_format=City)  # type: ignore[list-item]
    assert found.choices[0].message.parsed == City(city="Paris")
    assert not world.fallback.requests
    world.fallback.writes = ('{"name": ', '"Ann"}')
    other = await parse(model="arenalab", messages=[ASKED], response_format=Person)  # type: ignore[list-item]
    assert other.choices[0].message.parsed == Person(name="Ann")
    [asked] = world.fallback.requests
    assert list(asked.passthrough) == ["response_format"]


@pytest.mark.slow
async def test_a_format_that_nobody_can_meet_is_a_bad_request_and_ignorance_a_refusal(
    world: World, client: openai.AsyncOpenAI
) -> None:
    parse = client.chat.completions.parse
    memory: Any = {"model": "arenalab/memory-only", "messages": [ASKED]}
    with pytest.raises(openai.BadRequestError, match="is not supported with this model"):
        await parse(**memory, response_format=Person)
    said = world.predictor.says["faq"]
    assert isinstance(said, predictor_pb.PredictResponse)
    said.abstention.reason = answer_pb2.ABSTAIN_REASON_OUT_OF_SCOPE
    message = (await parse(**memory, response_format=City)).choices[0].message
    assert message.parsed is None
    assert (message.refusal or "").startswith("I do not know")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("members", "param", "words"),
    [
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "f"}}},
         "tool_choice.function.name", "must name one of the tools"),
        ({"response_format": {"type": "json_schema", "json_schema": {
            "name": "n", "schema": {"type": "x"}}}},
         "response_format.json_schema.schema", "Invalid schema for response_format 'n'"),
        ({"messages": [ASKED, {"role": "tool", "tool_call_id": "c", "content": "5"}]},
         "messages[1].tool_call_id", "must answer a call"),
    ],
)  # fmt: skip
async def test_a_mistake_is_told_by_its_place(
    client: openai.AsyncOpenAI, members: dict[str, Any], param: str, words: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=words) as refused:
        await _ask(client, ASKED, **members)
    assert refused.value.param == param
