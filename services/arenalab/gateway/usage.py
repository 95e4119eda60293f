"""How many tokens were read and written, counted or as a provider reported them. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.gateway.completion import Answer
from arenalab.gateway.openai import ChatRequest

# What a prompt holds besides its messages, by field of the request.
_KINDS: Final = ("function", "custom")  # of tool calls
_CALLED: Final = ("name", "arguments", "input")
_DEFINITIONS: Final = ("tools", "response_format")


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one answer."""

    prompt_tokens: int
    completion_tokens: int
    cached_prompt_tokens: int = 0  # of the prompt's
    reasoning_tokens: int = 0  # of the completion's

    def of_chat(self) -> dict[str, Any]:
        """Returns the `usage` of a chat completion."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_prompt_tokens},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning_tokens},
        }

    def of_response(self) -> dict[str, Any]:
        """Returns the `usage` of a response."""
        return {
            "input_tokens": self.prompt_tokens,
            "input_tokens_details": {
                "cached_tokens": self.cached_prompt_tokens,
                "cache_write_tokens": 0,
            },
            "output_tokens": self.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": self.reasoning_tokens},
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }


def reported(usage: pb.Usage) -> Usage:
    """Returns what a provider reported."""
    return Usage(
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.cached_prompt_tokens,
        usage.reasoning_tokens,
    )


def asked_text(chat: ChatRequest) -> str:
    """Returns all that counts as the prompt: messages, tool calls in them, definitions.

    What a provider puts around each message is its own, and not counted.
    """
    texts = [message.content for message in chat.messages]
    texts += _calls_of(json.loads(chat.messages_json)) if chat.messages_json else ()
    texts += [
        json.dumps(chat.passthrough[name], ensure_ascii=False, separators=(",", ":"))
        for name in _DEFINITIONS
        if name in chat.passthrough
    ]
    return "\n".join(texts)


def said_text(answer: Answer) -> str:
    """Returns all that counts as the completion, as far as it has come."""
    texts = [answer.text, answer.refusal, *_calls(answer.tool_calls.whole())]
    return "\n".join(text for text in texts if text)


def _calls_of(messages: list[Any]) -> Iterator[str]:
    for message in messages:
        calls = message.get("tool_calls") if isinstance(message, dict) else None
        yield from _calls(calls if isinstance(calls, list) else [])


def _calls(calls: list[Any]) -> Iterator[str]:
    for call in calls:
        for kind in _KINDS if isinstance(call, dict) else ():
            if isinstance(body := call.get(kind), Mapping):
                yield from (str(body[name]) for name in _CALLED if name in body)
