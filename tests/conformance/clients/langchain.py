"""langchain-openai: invoke, stream, structured output, tools, embeddings."""

from typing import Any

import openai
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from tests.conformance.clients.checks import ANY, CITY, FALLBACK, Asked, Checks, raised

checks = Checks("langchain-openai")


class Place(BaseModel):
    """Where to go."""

    city: str


def _weather(city: str) -> str:
    """Tells the weather."""
    return f"{city}: sunny"


WEATHER: Any = tool("weather")(_weather)


def _model(**members: Any) -> Any:
    usual = {"model": "arenalab", "api_key": checks.key, "max_retries": 0}
    return ChatOpenAI(base_url=checks.url, **usual | members)


@checks.feature("chat")
def chat(asked: Asked) -> None:
    made = _model(temperature=0).invoke(asked.question)
    asked.check(made.content)
    assert made.usage_metadata["total_tokens"] > 0
    assert made.response_metadata["finish_reason"] == "stop"


@checks.feature("stream")
def stream(asked: Asked) -> None:
    asked.check("".join(chunk.content for chunk in _model().stream(asked.question)))


@checks.feature("usage is the same streamed")
def usage(asked: Asked) -> None:
    whole = _model().invoke(asked.question).usage_metadata
    last: Any = None
    for chunk in _model(stream_usage=True).stream(asked.question):
        last = chunk if last is None else last + chunk
    assert last.usage_metadata["total_tokens"] == whole["total_tokens"], last.usage_metadata


@checks.feature("async")
async def asynchronous(asked: Asked) -> None:
    asked.check((await _model().ainvoke(asked.question)).content)
    asked.check("".join([chunk.content async for chunk in _model().astream(asked.question)]))


@checks.feature("structured output", FALLBACK)
def structured(asked: Asked) -> None:
    assert _model().with_structured_output(Place).invoke(asked.question) == Place(city=CITY)
    by_call = _model().with_structured_output(Place, method="function_calling")
    assert by_call.invoke(asked.question) == Place(city=CITY)


@checks.feature("tools", FALLBACK)
def tools(asked: Asked) -> None:
    bound = _model().bind_tools([WEATHER])
    made = bound.invoke([HumanMessage(asked.question)])
    assert made.tool_calls[0]["args"] == {"city": CITY}
    result = ToolMessage(WEATHER.invoke(made.tool_calls[0]["args"]), tool_call_id="call_stub")
    asked.check(bound.invoke([HumanMessage(asked.question), made, result]).content)


@checks.feature("tools, streamed", FALLBACK)
def streamed_tools(asked: Asked) -> None:
    last: Any = None
    for chunk in _model().bind_tools([WEATHER]).stream(asked.question):
        last = chunk if last is None else last + chunk
    assert last.tool_calls[0]["args"] == {"city": CITY}, last


@checks.feature("responses")
def responses(asked: Asked) -> None:
    asked.check(_model(use_responses_api=True).invoke(asked.question).text)


@checks.feature("responses, streamed")
def streamed_responses(asked: Asked) -> None:
    told = _model(use_responses_api=True).stream(asked.question)
    asked.check("".join(chunk.text for chunk in told))


@checks.feature("embeddings", ANY)
def embeddings(_: Asked) -> None:
    # By itself it sends token ids of cl100k.
    members: dict[str, Any] = {"model": "arenalab", "base_url": checks.url, "api_key": checks.key}
    by_ids = OpenAIEmbeddings(tiktoken_model_name="cl100k_base", **members)
    by_text = OpenAIEmbeddings(check_embedding_ctx_length=False, **members)
    one, other = by_ids.embed_query("Which port?"), by_text.embed_query("Which port?")
    assert len(one) == len(other) == 384
    assert max(abs(a - b) for a, b in zip(one, other, strict=True)) < 1e-6


@checks.feature("errors", ANY)
def errors(asked: Asked) -> None:
    raised(openai.AuthenticationError, lambda: _model(api_key="sk-wrong").invoke(asked.question))
    raised(openai.NotFoundError, lambda: _model(model="no-such/model").invoke(asked.question))


if __name__ == "__main__":
    checks.run()
