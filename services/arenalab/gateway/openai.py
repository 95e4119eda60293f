"""The body of a chat request of the OpenAI API, checked, as small frozen values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from arenalab.gateway.body import MAX_DEPTH, depth_of
from arenalab.gateway.errors import bad_request
from arenalab.gateway.fields import Fields
from arenalab.gateway.messages import ChatMessage, parse_messages
from arenalab.gateway.policy import Policy, parse_policy

DEFAULT_MODEL: Final = "arenalab"
MAX_MODEL: Final = 256
MAX_USER: Final = 256
MAX_STOPS: Final = 4
MAX_STOP_CHARS: Final = 1024
MAX_METADATA: Final = 16
MAX_METADATA_KEY: Final = 64
MAX_METADATA_VALUE: Final = 512
MAX_TOKENS: Final = 2**32 - 1
MAX_TOP_LOGPROBS: Final = 20
_INT64: Final = 2**63

# Handed on as they came. The ensemble honours those that change what an answer must
# be, or a provider does.
_PASSED_ON: Final = frozenset(
    {
        "frequency_penalty", "logit_bias", "metadata", "parallel_tool_calls", "prediction",
        "presence_penalty", "prompt_cache_key", "reasoning_effort", "response_format",
        "safety_identifier", "service_tier", "store", "tool_choice", "tools", "user",
        "verbosity",
    }
)  # fmt: skip
_READ: Final = frozenset(
    {
        "arenalab", "logprobs", "max_completion_tokens", "max_tokens", "messages",
        "modalities", "model", "n", "seed", "stop", "stream", "stream_options",
        "temperature", "top_logprobs", "top_p",
    }
)  # fmt: skip
# Hints that change no answer: taken, and not passed on.
_HINTS: Final = frozenset({"prompt_cache_options", "prompt_cache_retention"})
# Fields that nobody behind the gateway honours, with what to do instead.
_REFUSED: Final = {
    "audio": "only text is answered",
    "function_call": "use 'tool_choice'",
    "functions": "use 'tools'",
    "moderation": "it is not offered",
    "web_search_options": "it is not offered",
}
KNOWN: Final = _PASSED_ON | _READ | _HINTS | frozenset(_REFUSED)
_FORMATS: Final = ("text", "json_object", "json_schema")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a provider draws its tokens. None leaves the provider's own."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One checked request to /v1/chat/completions."""

    model: str
    messages: tuple[ChatMessage, ...]
    messages_json: str  # the caller's own, when `messages` lose something; else ""
    sampling: Sampling
    policy: Policy
    stream: bool
    include_usage: bool
    user: str
    metadata: Mapping[str, str] | None
    response_format: str  # "text", "json_object" or "json_schema"
    unsupported: tuple[str, ...]  # features that memory cannot honour
    passthrough: Mapping[str, Any]
    unknown: tuple[str, ...]  # fields that were ignored
    instructions: int = 0  # how many of the first messages are for this answer alone


def parse_chat(body: Mapping[str, Any], *, strict: bool = False) -> ChatRequest:
    """Reads the body of a chat request.

    Args:
        body: The JSON object.
        strict: Refuse unknown fields; `arenalab.strict` does the same.

    Raises:
        ApiError: 400; `param` names the field, `code` what is wrong with it.
    """
    fields = Fields(body)
    conversation = parse_messages(body.get("messages"))
    policy = parse_policy(body.get("arenalab"))
    unknown = _check_names(fields, strict=strict or policy.strict)
    _check_counts(fields)
    stream = bool(fields.boolean("stream"))
    return ChatRequest(
        model=fields.string("model", max_chars=MAX_MODEL) or DEFAULT_MODEL,
        messages=conversation.messages,
        messages_json="" if conversation.is_plain else json.dumps(body["messages"]),
        sampling=_read_sampling(fields),
        policy=policy,
        stream=stream,
        include_usage=_read_include_usage(fields, stream=stream),
        user=fields.string("user", max_chars=MAX_USER)
        or fields.string("safety_identifier", max_chars=MAX_USER)
        or "",
        metadata=_read_metadata(fields),
        response_format=_read_response_format(fields),
        unsupported=conversation.features,
        passthrough=_read_passthrough(fields),
        unknown=unknown,
    )


def _check_names(fields: Fields, *, strict: bool) -> tuple[str, ...]:
    for name, instead in _REFUSED.items():
        if fields.get(name) is not None:
            raise bad_request(
                f"{name!r} is not supported: {instead}", param=name, code="unsupported_parameter"
            )
    modalities = fields.array("modalities")
    if modalities is not None and modalities != ["text"]:
        raise bad_request(
            "'modalities' is supported with [\"text\"] only",
            param="modalities",
            code="unsupported_value",
        )
    unknown = tuple(fields.unknown(KNOWN))
    if strict and unknown:
        name = unknown[0][:80]
        raise bad_request(f"unknown field {name!r}", param=name, code="unknown_parameter")
    return unknown


def _check_counts(fields: Fields) -> None:
    count = fields.integer("n", 1, 128)
    if count is not None and count > 1:
        raise bad_request(
            f"n must be 1, got {count}: one question has one answer; its alternatives are in "
            "`arenalab.alternatives`",
            param="n",
            code="unsupported_parameter",
        )
    if fields.boolean("logprobs") or fields.integer("top_logprobs", 0, MAX_TOP_LOGPROBS):
        raise bad_request(
            "logprobs are not supported: an answer from memory has none",
            param="logprobs",
            code="unsupported_parameter",
        )


def _read_sampling(fields: Fields) -> Sampling:
    older = fields.integer("max_tokens", 1, MAX_TOKENS)
    newer = fields.integer("max_completion_tokens", 1, MAX_TOKENS)
    if older is not None and newer is not None and older != newer:
        raise bad_request(
            "max_tokens and max_completion_tokens must not differ", param="max_completion_tokens"
        )
    stop = fields.get("stop")
    stops = (
        Fields({"stop": [stop]} if isinstance(stop, str) else {"stop": stop})
        if stop is not None
        else Fields({})
    )
    return Sampling(
        temperature=fields.number("temperature", 0, 2),
        top_p=fields.number("top_p", 0, 1, above_low=True),
        max_tokens=newer if newer is not None else older,
        stop=stops.strings("stop", max_items=MAX_STOPS, max_chars=MAX_STOP_CHARS),
        seed=fields.integer("seed", -_INT64, _INT64 - 1),
    )


def _read_include_usage(fields: Fields, *, stream: bool) -> bool:
    options = fields.nested("stream_options")
    if options is None:
        return False
    if not stream:
        raise bad_request("stream_options needs 'stream': true", param="stream_options")
    options.boolean("include_obfuscation")  # padding against eavesdroppers: TLS's task here
    return bool(options.boolean("include_usage"))


def _read_metadata(fields: Fields) -> Mapping[str, str] | None:
    value = fields.nested("metadata")
    if value is None:
        return None
    pairs = dict.fromkeys(value.unknown(()))
    if len(pairs) > MAX_METADATA:
        raise fields.invalid("metadata", f"have at most {MAX_METADATA} pairs", len(pairs))
    found = {}
    for key in pairs:
        if len(key) > MAX_METADATA_KEY:
            raise fields.invalid("metadata", f"have keys of at most {MAX_METADATA_KEY}", key)
        found[key] = value.string(key, max_chars=MAX_METADATA_VALUE) or ""
    return found


def _read_response_format(fields: Fields) -> str:
    # The rest of it is the ensemble's to check, as are tools.
    value = fields.nested("response_format")
    return "text" if value is None else value.choice("type", _FORMATS) or "text"


def _read_passthrough(fields: Fields) -> dict[str, Any]:
    fields.number("frequency_penalty", -2, 2)
    fields.number("presence_penalty", -2, 2)
    fields.nested("logit_bias")
    passed = {}
    for name in _PASSED_ON:
        value = fields.get(name)
        if value is None:
            continue
        if depth_of(value) > MAX_DEPTH:
            raise fields.invalid(name, f"be nested at most {MAX_DEPTH} deep", "more")
        passed[name] = value
    return passed
