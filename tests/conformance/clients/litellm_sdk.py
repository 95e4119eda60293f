"""LiteLLM as a client."""

import json
from typing import Any

import litellm

from tests.conformance.clients.checks import ANY, CITY, FALLBACK, Asked, Checks, raised

checks = Checks("litellm")
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "place",
        "schema": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def _members(members: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": "openai/arenalab",
        "api_base": checks.url,
        "api_key": checks.key,
        "num_retries": 0,
        "max_retries": 0,
    } | members


def _chat(asked: Asked, **members: Any) -> Any:
    return litellm.completion(messages=asked.messages, **_members(members))


@checks.feature("chat")
def chat(asked: Asked) -> None:
    made = _chat(asked)
    asked.check(made.choices[0].message.content)
    assert made.usage.total_tokens > 0


@checks.feature("stream")
def stream(asked: Asked) -> None:
    asked.check("".join(c.choices[0].delta.content or "" for c in _chat(asked, stream=True)))


@checks.feature("usage is the same streamed")
def usage(asked: Asked) -> None:
    whole = _chat(asked).usage.total_tokens
    chunks = list(_chat(asked, stream=True, stream_options={"include_usage": True}))
    told = [c.usage.total_tokens for c in chunks if getattr(c, "usage", None)]
    assert told[-1:] == [whole], (told, whole)


@checks.feature("async")
async def asynchronous(asked: Asked) -> None:
    made = await litellm.acompletion(messages=asked.messages, **_members({}))
    asked.check(made.choices[0].message.content)
    told: Any = await litellm.acompletion(messages=asked.messages, **_members({"stream": True}))
    asked.check("".join([c.choices[0].delta.content or "" async for c in told]))


@checks.feature("structured output", FALLBACK)
def structured(asked: Asked) -> None:
    made = _chat(asked, response_format=SCHEMA)
    assert json.loads(made.choices[0].message.content) == {"city": CITY}


@checks.feature("tools", FALLBACK)
def tools(asked: Asked) -> None:
    message = _chat(asked, tools=[TOOL]).choices[0].message
    assert json.loads(message.tool_calls[0].function.arguments) == {"city": CITY}
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny"}
    turns: list[Any] = [*asked.messages, message.model_dump(), result]
    made: Any = litellm.completion(messages=turns, **_members({"tools": [TOOL]}))
    asked.check(made.choices[0].message.content)


@checks.feature("tools, streamed", FALLBACK)
def streamed_tools(asked: Asked) -> None:
    chunks = list(_chat(asked, tools=[TOOL], stream=True))
    whole: Any = litellm.stream_chunk_builder(chunks)
    call = whole.choices[0].message.tool_calls[0]
    assert (call.id, json.loads(call.function.arguments)) == ("call_stub", {"city": CITY})


@checks.feature("responses")
def responses(asked: Asked) -> None:
    made: Any = litellm.responses(input=asked.question, **_members({}))
    asked.check(made.output[0].content[0].text)


@checks.feature("embeddings", ANY)
def embeddings(_: Asked) -> None:
    made: Any = litellm.embedding(input=["one", "two"], **_members({}))
    assert [len(item["embedding"]) for item in made.data] == [384, 384]


@checks.feature("errors", ANY)
def errors(asked: Asked) -> None:
    raised(litellm.AuthenticationError, lambda: _chat(asked, api_key="sk-wrong"))
    raised(litellm.NotFoundError, lambda: _chat(asked, model="openai/no-such/model"))
    raised(litellm.BadRequestError, lambda: _chat(asked, temperature=3))


if __name__ == "__main__":
    checks.run()
