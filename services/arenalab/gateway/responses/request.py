"""The body of a Responses request, as the chat request that it stands for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from arenalab.gateway.errors import ApiError, bad_request
from arenalab.gateway.fields import Fields
from arenalab.gateway.ids import MAX_ID
from arenalab.gateway.openai import MAX_TOKENS, MAX_TOP_LOGPROBS, ChatRequest, parse_chat
from arenalab.gateway.responses.items import Message, parse_input
from arenalab.gateway.responses.tools import chat_choice, chat_format, chat_tools

# Fields that chat has too, under the same name and with the same meaning.
_SAME: Final = (
    "arenalab", "metadata", "model", "parallel_tool_calls", "prompt_cache_key",
    "safety_identifier", "service_tier", "stream", "temperature", "top_p", "user",
)  # fmt: skip
_READ: Final = frozenset(
    {
        "background", "include", "input", "instructions", "max_output_tokens",
        "max_tool_calls", "previous_response_id", "prompt_cache_options",
        "prompt_cache_retention", "reasoning", "store", "stream_options", "text",
        "tool_choice", "tools", "top_logprobs", "truncation",
    }
)  # fmt: skip
_REFUSED: Final = {
    "access_programs": "it is not offered",
    "background_options": "answers are made while you wait",
    "context_management": "shorten the input yourself",
    "conversation": "use 'previous_response_id', or send the conversation as 'input'",
    "image": "only text is answered",
    "moderation": "it is not offered",
    "prompt": "send the text of the prompt itself",
}
KNOWN: Final = frozenset(_SAME) | _READ | frozenset(_REFUSED)
# What clients ask for by default, and what is never there to include.
NOTHING_TO_INCLUDE: Final = (
    "code_interpreter_call.outputs", "computer_call_output.output.image_url",
    "file_search_call.results", "message.input_image.image_url",
    "reasoning.encrypted_content", "web_search_call.action.sources",
)  # fmt: skip
MAX_INCLUDES: Final = 16
# What the chat request calls a field, and what the client called it.
_PARAMS: Final = (
    ("messages", "input"),
    ("max_completion_tokens", "max_output_tokens"),
    ("response_format", "text.format"),
    ("reasoning_effort", "reasoning.effort"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsesRequest:
    """One checked request to /v1/responses."""

    instructions: str | None
    messages: tuple[Message, ...]  # of this turn, as a chat has them
    chat: Mapping[str, Any]  # the other fields of the chat request
    previous: str | None
    stream: bool
    store: bool | None
    echo: Mapping[str, Any]  # what the response repeats
    ignored: tuple[str, ...]  # what is said to change nothing
    unknown: tuple[str, ...]

    @property
    def has_instructions(self) -> bool:
        """Whether the first message of the chat is for this answer alone."""
        return bool(self.instructions)


def parse_responses(body: Mapping[str, Any], *, strict: bool = False) -> ResponsesRequest:
    """Reads the body of a Responses request.

    Args:
        body: The JSON object.
        strict: Refuse unknown fields; `arenalab.strict` does the same.

    Raises:
        ApiError: 400; `param` names the field, `code` what is wrong with it.
    """
    fields = Fields(body)
    _refuse_unsupported(fields)
    items = parse_input(body.get("input"))
    ignored = [f"input items of type {kind!r}" for kind in dict.fromkeys(items.ignored)]
    ignored += _read_includes(fields)
    chat = {name: body[name] for name in _SAME if body.get(name) is not None}
    chat |= _chat_fields(fields, ignored)
    return ResponsesRequest(
        instructions=fields.string("instructions"),
        messages=tuple(items.messages),
        chat=_without_tools(chat),
        previous=fields.string("previous_response_id", max_chars=MAX_ID),
        stream=bool(fields.boolean("stream")),
        store=fields.boolean("store"),
        echo=_echo(fields),
        ignored=tuple(ignored),
        unknown=_unknown(fields, body, strict=strict),
    )


def _refuse_unsupported(fields: Fields) -> None:
    for name, instead in _REFUSED.items():
        if fields.get(name) is not None:
            raise _unsupported(name, f"{name!r} is not supported: {instead}")
    if fields.boolean("background"):
        raise _unsupported("background", "'background' is not supported: wait for the answer")
    if fields.choice("truncation", ("auto", "disabled")) == "auto":
        raise _unsupported(
            "truncation", "'truncation' is supported as \"disabled\" only: nothing is cut unseen"
        )
    if fields.integer("top_logprobs", 0, MAX_TOP_LOGPROBS):
        raise _unsupported(
            "top_logprobs", "logprobs are not supported: an answer from memory has none"
        )
    fields.integer("max_tool_calls", 1, MAX_TOKENS)  # of built-in tools, which there are none of


def _unsupported(param: str, message: str) -> ApiError:
    return bad_request(message, param=param, code="unsupported_parameter")


def _read_includes(fields: Fields) -> list[str]:
    includes = fields.strings("include", max_items=MAX_INCLUDES, max_chars=MAX_ID)
    for n, name in enumerate(includes):
        if name not in NOTHING_TO_INCLUDE:
            raise bad_request(
                f"include[{n}] must be one of {', '.join(NOTHING_TO_INCLUDE)}, got {name!r}",
                param=f"include[{n}]",
                code="unsupported_value",
            )
    return [f"include {name!r}" for name in includes]


def _chat_fields(fields: Fields, ignored: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "max_completion_tokens": fields.integer("max_output_tokens", 1, MAX_TOKENS),
        "tools": chat_tools(fields),
        "tool_choice": chat_choice(fields),
    }
    options = fields.nested("stream_options")
    if options is not None:
        options.boolean("include_obfuscation")
        found["stream_options"] = {}
    reasoning = fields.nested("reasoning")
    if reasoning is not None:
        found["reasoning_effort"] = reasoning.string("effort")
        ignored += [f"reasoning.{name[:80]}" for name in reasoning.unknown(("effort",))]
    text = fields.nested("text")
    if text is not None:
        found["response_format"] = chat_format(text)
        found["verbosity"] = text.string("verbosity")
        ignored += [f"text.{name[:80]}" for name in text.unknown(("format", "verbosity"))]
    return {name: value for name, value in found.items() if value is not None}


def _without_tools(chat: dict[str, Any]) -> dict[str, Any]:
    """Returns a chat request without what says how to call none; clients send it always."""
    if chat.get("tools"):
        return chat
    left_out = {"tools", "parallel_tool_calls"}
    if chat.get("tool_choice") in ("auto", "none"):
        left_out.add("tool_choice")
    return {name: value for name, value in chat.items() if name not in left_out}


def _unknown(fields: Fields, body: Mapping[str, Any], *, strict: bool) -> tuple[str, ...]:
    ours = body.get("arenalab")
    strict = strict or (isinstance(ours, dict) and ours.get("strict") is True)
    unknown = tuple(fields.unknown(KNOWN))
    if strict and unknown:
        name = unknown[0][:80]
        raise bad_request(f"unknown field {name!r}", param=name, code="unknown_parameter")
    return unknown


def _echo(fields: Fields) -> dict[str, Any]:
    reasoning = fields.nested("reasoning")
    text = fields.nested("text")
    return {
        "instructions": fields.get("instructions"),
        "max_output_tokens": fields.get("max_output_tokens"),
        "max_tool_calls": fields.get("max_tool_calls"),
        "metadata": fields.get("metadata") or {},
        "parallel_tool_calls": fields.boolean("parallel_tool_calls") is not False,
        "previous_response_id": fields.get("previous_response_id"),
        "reasoning": {
            "effort": reasoning.get("effort") if reasoning is not None else None,
            "summary": None,
        },
        "temperature": fields.get("temperature"),
        "text": {"format": (text and text.get("format")) or {"type": "text"}},
        "tool_choice": fields.get("tool_choice") or "auto",
        "tools": fields.get("tools") or [],
        "top_p": fields.get("top_p"),
        "user": fields.get("user"),
    }


def chat_of(request: ResponsesRequest, history: Sequence[Message], user: str) -> ChatRequest:
    """Returns the chat request that a Responses request stands for.

    Args:
        request: The checked request.
        history: The conversation that it goes on, oldest first.
        user: Whose conversation that was; "" for nobody's. Its words stay theirs.

    Raises:
        ApiError: 400; `param` names the field as the client wrote it.
    """
    first = [{"role": "developer", "content": request.instructions}] * request.has_instructions
    chat = {**request.chat, "messages": [*first, *history, *request.messages]}
    if user:
        chat["user"] = user
    try:
        return replace(parse_chat(chat), instructions=len(first))
    except ApiError as error:
        error.param = own_param(error.param)
        raise


def own_param(param: str | None) -> str | None:
    """Returns what a Responses request calls a field of the chat request that it stands for."""
    # An item's number is not known: several items may be one message.
    for chat, ours in _PARAMS:
        if param is not None and (param == chat or param.startswith((f"{chat}.", f"{chat}["))):
            return ours
    return param
