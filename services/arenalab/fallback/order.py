"""What to ask of a provider: the request's parts, checked, in the terms of the OpenAI API."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from arenalab.fallback.evidence import Record
from arenalab.fallback.prompt import Message
from arenalab.fallback.routing import Strategy
from arenalab.mesh import InvalidInputError, Reason

MAX_MESSAGES: Final = 256
MAX_CONTENT_BYTES: Final = 262_144
MAX_STOPS: Final = 4
MAX_TEMPERATURE: Final = 2.0

# Fields that change how a provider answers and whose answer CompletionDelta can
# carry. What is absent here (n, logprobs, modalities, stream …) is refused: left
# out in silence, it would give another answer than the one asked for.
PASSTHROUGH: Final = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "metadata",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "service_tier",
        "store",
        "tool_choice",
        "tools",
        "user",
        "verbosity",
    }
)
# Beyond it a double no longer holds every integer.
_MAX_EXACT: Final = 2.0**53


@dataclass(frozen=True, slots=True)
class Order:
    """One completion to get."""

    messages: Sequence[Message]
    provider: str = ""  # empty: the configured ones, in order
    model: str = ""  # empty: the provider's default
    evidence: Sequence[Record] = ()  # best first
    sampling: Mapping[str, Any] = field(default_factory=dict)
    passthrough: Mapping[str, Any] = field(default_factory=dict)
    # Keys that the caller brings, by provider. Never in a repr, a span or a log.
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    routing: Strategy | None = None  # None: the configured one
    max_cost_usd_micros: int = 0  # that the call may be expected to cost; 0: no limit


def body_of(order: Order, messages: Sequence[Message], model: str) -> dict[str, Any]:
    """Returns the request in the terms of the OpenAI API; an adapter makes it a provider's."""
    return {**order.passthrough, **order.sampling, "model": model, "messages": list(messages)}


def parse_messages(text: str) -> list[Message]:
    """Returns the messages of a JSON array.

    Raises:
        InvalidInputError: It is not an array of 1 to 256 objects with a role.
    """
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _invalid("messages_json", "be JSON") from error
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise _invalid("messages_json", "be a JSON array of objects")
    check_count("messages_json", len(found))
    for n, message in enumerate(found):
        if not isinstance(message.get("role"), str):
            raise _invalid(f"messages_json[{n}].role", "be a string")
    return found


def check_count(name: str, count: int) -> None:
    """Raises InvalidInputError unless there are 1 to 256 messages."""
    if not 1 <= count <= MAX_MESSAGES:
        raise _invalid(name, f"hold 1 to {MAX_MESSAGES} messages, got {count}")


def check_content(n: int, content: str) -> None:
    """Raises InvalidInputError when a message is too large."""
    if len(content.encode()) > MAX_CONTENT_BYTES:
        raise InvalidInputError(
            f"messages[{n}].content must be at most {MAX_CONTENT_BYTES} bytes",
            Reason.TOO_LARGE,
            field=f"messages[{n}].content",
            limit=str(MAX_CONTENT_BYTES),
        )


def check_sampling(sampling: Mapping[str, Any]) -> None:
    """Raises InvalidInputError when a value is outside its documented range."""
    if not 0 <= sampling.get("temperature", 0) <= MAX_TEMPERATURE:  # NaN fails too
        raise _invalid("temperature", f"be in [0, 2], got {sampling['temperature']}")
    if not 0 < sampling.get("top_p", 1) <= 1:
        raise _invalid("top_p", f"be in (0, 1], got {sampling['top_p']}")
    if sampling.get("max_tokens", 1) < 1:
        raise _invalid("max_tokens", "be at least 1, got 0")
    if len(sampling.get("stop", ())) > MAX_STOPS:
        raise _invalid("stop", f"hold at most {MAX_STOPS} sequences, got {len(sampling['stop'])}")


def plain_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns request fields as they were before a protobuf Struct made numbers doubles.

    Raises:
        InvalidInputError: A field may not be passed through, or is no JSON value.
    """
    for name in fields:
        if name not in PASSTHROUGH:
            raise _invalid(f"passthrough.{name[:80]}", "be a field that can be passed on")
    return {name: _plain(value, name) for name, value in fields.items()}


def _plain(value: Any, path: str) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item, path) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, path) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _invalid(f"passthrough.{path}", "hold finite numbers only")
        if value.is_integer() and abs(value) <= _MAX_EXACT:
            return int(value)
    return value


def _refuse_constant(name: str) -> object:
    raise ValueError(name)  # NaN and Infinity are no JSON


def _invalid(field_name: str, rule: str) -> InvalidInputError:
    return InvalidInputError(f"{field_name} must {rule}", field=field_name)
