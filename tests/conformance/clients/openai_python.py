"""openai-python: sync, async, raw, stream helper, parse, responses."""

import json
from typing import Any

import openai
from pydantic import BaseModel

from tests.conformance.clients.checks import ANY, CITY, FALLBACK, Asked, Checks, raised

checks = Checks("openai-python")
sync: Any = openai.OpenAI(base_url=checks.url, api_key=checks.key, max_retries=0)
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


class Place(BaseModel):
    """What structured output is asked for."""

    city: str


def _asynchronous() -> Any:
    return openai.AsyncOpenAI(base_url=checks.url, api_key=checks.key, max_retries=0)


def _chat(asked: Asked, **members: Any) -> Any:
    return sync.chat.completions.create(model="arenalab", messages=asked.messages, **members)


@checks.feature("chat")
def chat(asked: Asked) -> None:
    made = _chat(asked)
    asked.check(made.choices[0].message.content)
    assert made.choices[0].finish_reason == "stop"
    assert made.model_extra["arenalab"]["route"] == asked.route
    assert made.model_extra["arenalab"]["receipt"]["leaf_index"] >= 0


@checks.feature("stream")
def stream(asked: Asked) -> None:
    chunks = list(_chat(asked, stream=True))
    asked.check("".join(c.choices[0].delta.content or "" for c in chunks))
    assert chunks[-1].choices[0].finish_reason == "stop"


@checks.feature("usage is the same streamed")
def usage(asked: Asked) -> None:
    whole = _chat(asked).usage
    last = list(_chat(asked, stream=True, stream_options={"include_usage": True}))[-1]
    assert not last.choices
    told = [(u.prompt_tokens, u.completion_tokens, u.total_tokens) for u in (whole, last.usage)]
    assert told[0] == told[1], told
    assert min(told[0]) > 0, told


@checks.feature("stream helper")
def stream_helper(asked: Asked) -> None:
    with sync.chat.completions.stream(model="arenalab", messages=asked.messages) as events:
        kinds = {event.type for event in events}
        final = events.get_final_completion()
    assert "content.done" in kinds
    asked.check(final.choices[0].message.content)
    assert final.choices[0].message.role == "assistant"


@checks.feature("async")
async def asynchronous(asked: Asked) -> None:
    async with _asynchronous() as client:
        made = await client.chat.completions.create(model="arenalab", messages=asked.messages)
        asked.check(made.choices[0].message.content)
        told = await client.chat.completions.create(
            model="arenalab", messages=asked.messages, stream=True
        )
        asked.check("".join([c.choices[0].delta.content or "" async for c in told]))


@checks.feature("raw headers")
def raw(asked: Asked) -> None:
    made = sync.chat.completions.with_raw_response.create(model="arenalab", messages=asked.messages)
    assert made.headers["x-arenalab-route"] == asked.route
    assert made.headers["x-request-id"] == made.parse()._request_id
    assert int(made.headers["x-arenalab-ledger-index"]) >= 0


@checks.feature("structured output", FALLBACK)
def structured(asked: Asked) -> None:
    made = sync.chat.completions.parse(
        model="arenalab", messages=asked.messages, response_format=Place
    )
    assert made.choices[0].message.parsed == Place(city=CITY)
    made = _chat(asked, response_format={"type": "json_object"})
    assert json.loads(made.choices[0].message.content) == {"city": CITY}


@checks.feature("tools", FALLBACK)
def tools(asked: Asked) -> None:
    made = _chat(asked, tools=[TOOL])
    message = made.choices[0].message
    assert made.choices[0].finish_reason == "tool_calls"
    assert json.loads(message.tool_calls[0].function.arguments) == {"city": CITY}
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny"}
    turns = [*asked.messages, message.model_dump(exclude_none=True), result]
    asked.check(
        sync.chat.completions.create(model="arenalab", messages=turns, tools=[TOOL])
        .choices[0]
        .message.content
    )


@checks.feature("tools, streamed", FALLBACK)
def streamed_tools(asked: Asked) -> None:
    helper = sync.chat.completions.stream(model="arenalab", messages=asked.messages, tools=[TOOL])
    with helper as events:
        final = events.get_final_completion()
    call = final.choices[0].message.tool_calls[0]
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": CITY})


@checks.feature("responses")
def responses(asked: Asked) -> None:
    made = sync.responses.create(model="arenalab", input=asked.question)
    asked.check(made.output_text)
    assert made.status == "completed"
    assert made.usage.total_tokens > 0


@checks.feature("responses, streamed")
def streamed_responses(asked: Asked) -> None:
    with sync.responses.stream(model="arenalab", input=asked.question) as events:
        kinds = [event.type for event in events]
        final = events.get_final_response()
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed"), kinds
    asked.check(final.output_text)


@checks.feature("embeddings", ANY)
def embeddings(_: Asked) -> None:
    made = sync.embeddings.create(model="arenalab", input=["one", "two"])
    floats = sync.embeddings.create(model="arenalab", input=["one"], encoding_format="float")
    assert [len(item.embedding) for item in made.data] == [384, 384]
    assert max(map(abs, _differences(made.data[0].embedding, floats.data[0].embedding))) < 1e-6
    assert made.usage.prompt_tokens > 0


def _differences(one: list[float], other: list[float]) -> list[float]:
    return [a - b for a, b in zip(one, other, strict=True)]


@checks.feature("models", ANY)
def models(_: Asked) -> None:
    names = [model.id for model in sync.models.list()]
    assert {"arenalab", "arenalab/memory-only"} <= set(names), names
    assert sync.models.retrieve("arenalab/memory-only").id == "arenalab/memory-only"
    assert raised(openai.NotFoundError, lambda: sync.models.retrieve("no-such")).code


@checks.feature("errors", ANY)
def errors(asked: Asked) -> None:
    refused = raised(openai.BadRequestError, lambda: _chat(asked, temperature=3))
    assert (refused.code, refused.param) == ("invalid_value", "temperature")
    assert refused.request_id
    unknown = raised(
        openai.NotFoundError,
        lambda: sync.chat.completions.create(model="no-such/model", messages=asked.messages),
    )
    assert unknown.code == "model_not_found"
    with openai.OpenAI(base_url=checks.url, api_key="sk-wrong", max_retries=0) as stranger:
        wrong = raised(openai.AuthenticationError, stranger.models.list)
    assert wrong.code == "invalid_api_key"


@checks.feature("limits", ANY)
def limits(_: Asked) -> None:
    with openai.OpenAI(base_url=checks.url, api_key=checks.limited_key, max_retries=0) as client:
        client.models.list()
        limited = raised(openai.RateLimitError, client.models.list)
    assert limited.code == "rate_limit_exceeded"
    assert 0 < float(limited.response.headers["retry-after"]) <= 60


if __name__ == "__main__":
    checks.run()
