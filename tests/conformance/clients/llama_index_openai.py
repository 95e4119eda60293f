"""llama-index: its OpenAI-compatible LLM and embeddings."""

from typing import Any

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

from tests.conformance.clients.checks import ANY, CITY, FALLBACK, Asked, Checks

checks = Checks("llama-index")


class Place(BaseModel):
    """Where to go."""

    city: str


def weather(city: str) -> str:
    """Tells the weather."""
    return f"{city}: sunny"


def _model() -> Any:
    return OpenAILike(
        model="arenalab",
        api_base=checks.url,
        api_key=checks.key,
        is_chat_model=True,
        is_function_calling_model=True,
        max_retries=0,
    )


def _turns(asked: Asked) -> list[ChatMessage]:
    return [ChatMessage(role="user", content=asked.question)]


@checks.feature("chat")
def chat(asked: Asked) -> None:
    asked.check(_model().chat(_turns(asked)).message.content)


@checks.feature("stream")
def stream(asked: Asked) -> None:
    asked.check("".join(piece.delta or "" for piece in _model().stream_chat(_turns(asked))))


@checks.feature("async")
async def asynchronous(asked: Asked) -> None:
    model = _model()
    asked.check((await model.achat(_turns(asked))).message.content)
    told = await model.astream_chat(_turns(asked))
    asked.check("".join([piece.delta or "" async for piece in told]))


@checks.feature("structured output", FALLBACK)
def structured(asked: Asked) -> None:
    made = _model().as_structured_llm(Place).chat(_turns(asked))
    assert made.raw == Place(city=CITY), made


@checks.feature("tools", FALLBACK)
def tools(asked: Asked) -> None:
    model = _model()
    function = FunctionTool.from_defaults(weather)
    made = model.chat_with_tools([function], chat_history=_turns(asked))
    calls = model.get_tool_calls_from_response(made)
    assert calls[0].tool_kwargs == {"city": CITY}, calls
    result = ChatMessage(
        role="tool", content="sunny", additional_kwargs={"tool_call_id": calls[0].tool_id}
    )
    asked.check(model.chat([*_turns(asked), made.message, result]).message.content)


@checks.feature("embeddings", ANY)
def embeddings(_: Asked) -> None:
    model = OpenAILikeEmbedding(model_name="arenalab", api_base=checks.url, api_key=checks.key)
    assert len(model.get_query_embedding("Which port?")) == 384
    assert len(model.get_text_embedding_batch(["one", "two"])) == 2


if __name__ == "__main__":
    checks.run()
