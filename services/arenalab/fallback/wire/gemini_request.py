"""Requests to generateContent of Google Gemini."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from arenalab.fallback.wire.adapter import UntellableError
from arenalab.fallback.wire.asking import check_told, choice_of, form_of, tools_of
from arenalab.fallback.wire.conversation import (
    Blob,
    Call,
    Link,
    Part,
    Result,
    Text,
    Turn,
    read_conversation,
)

_TOLD: Final = frozenset(
    {
        "frequency_penalty", "max_tokens", "messages", "model", "parallel_tool_calls",
        "presence_penalty", "reasoning_effort", "response_format", "seed", "stop",
        "temperature", "tool_choice", "tools", "top_p",
    }
)  # fmt: skip
_CONFIG: Final = {
    "frequency_penalty": "frequencyPenalty",
    "max_tokens": "maxOutputTokens",
    "presence_penalty": "presencePenalty",
    "seed": "seed",
    "stop": "stopSequences",
    "temperature": "temperature",
    "top_p": "topP",
}
_INT32: Final = 2**31
_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_LEVELS: Final = ("minimal", "low", "medium", "high")
# A call that Gemini did not make itself, or whose client kept no signature, is let through
# with this. Source: https://ai.google.dev/gemini-api/docs/thought-signatures
NO_SIGNATURE: Final = "skip_thought_signature_validator"

# The JSON Schema that Gemini documents. Of the rest, some words only describe.
_SCHEMA_WORDS: Final = frozenset(
    {
        "$anchor", "$defs", "$id", "$ref", "additionalProperties", "anyOf", "description",
        "enum", "format", "items", "maxItems", "maximum", "minItems", "minimum", "oneOf",
        "prefixItems", "properties", "propertyOrdering", "required", "title", "type",
    }
)  # fmt: skip
_DESCRIBING: Final = frozenset(
    {
        "$comment", "$schema", "default", "deprecated", "example", "examples", "readOnly",
        "writeOnly",
    }
)  # fmt: skip
_SCHEMA_MAPS: Final = ("$defs", "properties")
_SCHEMA_LISTS: Final = ("anyOf", "oneOf", "prefixItems")
_SCHEMA_ONES: Final = ("additionalProperties", "items")


def generate_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a request of the OpenAI API as one of generateContent.

    Raises:
        UntellableError: It cannot be said there.
    """
    check_told(body, _TOLD)
    if body.get("parallel_tool_calls") is False:
        raise UntellableError("parallel_tool_calls false")
    conversation = read_conversation(body["messages"])
    told: dict[str, Any] = {"contents": [_turn(turn) for turn in conversation.turns]}
    if conversation.system:
        told["systemInstruction"] = {"parts": [{"text": conversation.system}]}
    if config := _config(body):
        told["generationConfig"] = config
    return told | _tools(body)


def _config(body: Mapping[str, Any]) -> dict[str, Any]:
    found = {theirs: body[ours] for ours, theirs in _CONFIG.items() if body.get(ours) is not None}
    if not -_INT32 <= found.get("seed", 0) < _INT32:
        raise UntellableError("a seed of more than 32 bits")
    form = form_of(body)
    if form.is_json:
        found["responseMimeType"] = "application/json"
    if form.schema is not None:
        found["responseJsonSchema"] = told_schema(form.schema, is_binding=True)
    if (effort := body.get("reasoning_effort")) is not None:
        if effort not in _LEVELS:
            raise UntellableError("reasoning_effort")
        found["thinkingConfig"] = {"thinkingLevel": effort}
    return found


def _tools(body: Mapping[str, Any]) -> dict[str, Any]:
    tools = tools_of(body)
    if not tools:
        return {}
    declared = [
        {
            "name": tool.name,
            "parametersJsonSchema": told_schema(tool.parameters, is_binding=False),
            **({"description": tool.description} if tool.description else {}),
        }
        for tool in tools
    ]
    told: dict[str, Any] = {"tools": [{"functionDeclarations": declared}]}
    choice = choice_of(body)
    if choice.mode:
        config: dict[str, Any] = {"mode": _MODES[choice.mode]}
        if choice.name:
            config["allowedFunctionNames"] = [choice.name]
        told["toolConfig"] = {"functionCallingConfig": config}
    return told


def told_schema(schema: Mapping[str, Any], *, is_binding: bool) -> dict[str, Any]:
    """Returns a JSON Schema in the words that Gemini knows.

    Args:
        schema: Any.
        is_binding: Refuse a bound that Gemini does not know. Otherwise it is left out:
            whoever runs a tool checks its arguments.

    Raises:
        UntellableError: The schema is bound by a word that Gemini does not know.
    """
    told: dict[str, Any] = {}
    for word, value in schema.items():
        if word == "const":
            told["enum"] = [value]
        elif word in _SCHEMA_WORDS:
            told[word] = _told_value(word, value, is_binding=is_binding)
        elif is_binding and word not in _DESCRIBING:
            raise UntellableError(f"response_format: the schema's {word[:40]!r}")
    return told


def _told_value(word: str, value: Any, *, is_binding: bool) -> Any:
    def told(inner: Any) -> Any:
        if isinstance(inner, Mapping):
            return told_schema(inner, is_binding=is_binding)
        return inner  # true and false are schemas too

    if word in _SCHEMA_MAPS and isinstance(value, Mapping):
        return {name: told(inner) for name, inner in value.items()}
    if word in _SCHEMA_LISTS and isinstance(value, list):
        return [told(inner) for inner in value]
    return told(value) if word in _SCHEMA_ONES else value


def _turn(turn: Turn) -> dict[str, Any]:
    parts = [_PARTS[type(part)](part) for part in turn.parts]
    calls = [part for part in parts if "functionCall" in part]
    if calls:  # the first of those made at once carries the signature
        calls[0].setdefault("thoughtSignature", NO_SIGNATURE)
    return {"role": "model" if turn.is_models else "user", "parts": parts}


def _text(part: Text) -> dict[str, Any]:
    return {"text": part.text}


def _blob(part: Blob) -> dict[str, Any]:
    return {"inlineData": {"mimeType": part.media_type, "data": part.data}}


def _link(part: Link) -> dict[str, Any]:
    if not part.media_type:
        raise UntellableError("a link whose name does not say the type of its file")
    return {"fileData": {"mimeType": part.media_type, "fileUri": part.url}}


def _call(part: Call) -> dict[str, Any]:
    told: dict[str, Any] = {
        "functionCall": {"id": part.call_id, "name": part.name, "args": dict(part.arguments)}
    }
    google = part.extra.get("google")
    if isinstance(google, Mapping) and isinstance(google.get("thought_signature"), str):
        told["thoughtSignature"] = google["thought_signature"]
    return told


def _result(part: Result) -> dict[str, Any]:
    texts = [inner.text for inner in part.parts if isinstance(inner, Text)]
    if len(texts) < len(part.parts):
        raise UntellableError("a tool's result that is not text")
    response = {"id": part.call_id, "name": part.name, "response": _returned("".join(texts))}
    return {"functionResponse": response}


def _returned(text: str) -> dict[str, Any]:
    """Returns a tool's words as the object that they must be."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"output": text}


_PARTS: Final[Mapping[type[Part], Callable[[Any], dict[str, Any]]]] = {
    Text: _text,
    Blob: _blob,
    Link: _link,
    Call: _call,
    Result: _result,
}
