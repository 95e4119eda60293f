"""Chat completions: request, response and chunk."""

from typing import Final

from arenalab.gateway import messages, openai
from arenalab.gateway.openapi.parts import (
    BOOLEAN,
    COUNT,
    INTEGER,
    OBJECT,
    STRING,
    Schema,
    answered,
    array,
    asked,
    between,
    const,
    described,
    nullable,
    one_of,
    ref,
    text,
    whole,
)
from arenalab.gateway.openapi.vouching import CITATION, UNIX_SECONDS, URL_CITATION

METADATA: Final = described(
    {
        "type": "object",
        "maxProperties": openai.MAX_METADATA,
        "propertyNames": {"maxLength": openai.MAX_METADATA_KEY},
        "additionalProperties": nullable(text(most=openai.MAX_METADATA_VALUE)),
    },
    "Given back with the answer.",
)
_CONTENT: Final[Schema] = {
    "anyOf": [
        text(most=messages.MAX_CONTENT_BYTES),
        array(ref("ContentPart"), least=1),
    ]
}
CONTENT_PART: Final[Schema] = {
    "anyOf": [
        asked({"type": const("text"), "text": STRING}, ("type", "text")),
        asked({"type": const("refusal"), "refusal": STRING}, ("type", "refusal")),
        asked({"type": const("image_url"), "image_url": OBJECT}, ("type", "image_url")),
        asked({"type": const("input_audio"), "input_audio": OBJECT}, ("type", "input_audio")),
        asked({"type": const("file"), "file": OBJECT}, ("type", "file")),
    ]
}
_CALLS: Final = array(OBJECT, least=1)
_SAYING: Final[dict[str, Schema]] = {"content": _CONTENT, "name": STRING}
MESSAGE: Final[Schema] = {
    "anyOf": [
        asked({"role": one_of(("developer", "system", "user")), **_SAYING}, ("role", "content")),
        asked({"role": const("assistant"), "refusal": STRING, **_SAYING}, ("role", "content")),
        described(
            asked(
                {"role": const("assistant"), "tool_calls": _CALLS, **_SAYING},
                ("role", "tool_calls"),
            ),
            "An assistant that calls need say nothing.",
        ),
        asked({"role": const("assistant"), "refusal": text(1), **_SAYING}, ("role", "refusal")),
        asked({"role": const("assistant"), "function_call": OBJECT}, ("role", "function_call")),
        asked({"role": const("assistant"), "audio": OBJECT}, ("role", "audio")),
        asked(
            {"role": const("tool"), "tool_call_id": STRING, **_SAYING},
            ("role", "content", "tool_call_id"),
        ),
        asked({"role": const("function"), **_SAYING}, ("role", "name")),
    ]
}
_FORMAT: Final = asked(
    {
        "type": one_of(("text", "json_object", "json_schema")),
        "json_schema": asked({"name": STRING, "schema": OBJECT}, ("name",)),
    },
    ("type",),
)
_TOOL: Final = asked({"type": STRING, "function": OBJECT}, ("type",))
SAMPLING: Final[dict[str, Schema]] = {
    "temperature": between(0, 2),
    "top_p": between(0, 1, above_low=True),
    "user": described(text(most=openai.MAX_USER), "Whose content it is, for erasure."),
    "safety_identifier": text(most=openai.MAX_USER),
}
REQUEST: Final = asked(
    {
        "messages": array(ref("ChatMessage"), 1, messages.MAX_MESSAGES),
        "model": described(text(most=openai.MAX_MODEL), "arenalab unless given."),
        "stream": BOOLEAN,
        "stream_options": described(
            asked({"include_usage": BOOLEAN, "include_obfuscation": BOOLEAN}),
            "Only with stream.",
        ),
        "max_tokens": whole(1, openai.MAX_TOKENS),
        "max_completion_tokens": whole(1, openai.MAX_TOKENS),
        "stop": {
            "anyOf": [
                text(1, openai.MAX_STOP_CHARS),
                array(text(1, openai.MAX_STOP_CHARS), most=openai.MAX_STOPS),
            ]
        },
        "seed": INTEGER,
        "n": described(whole(1, 1), "One question has one answer."),
        "logprobs": described({"type": "boolean", "const": False}, "There are none."),
        "response_format": _FORMAT,
        "tools": array(_TOOL),
        "tool_choice": {"anyOf": [STRING, OBJECT]},
        "parallel_tool_calls": BOOLEAN,
        "frequency_penalty": between(-2, 2),
        "presence_penalty": between(-2, 2),
        "metadata": METADATA,
        "store": BOOLEAN,
        "arenalab": ref("Policy"),
        **SAMPLING,
    },
    ("messages",),
)

USAGE: Final = answered(
    {
        "prompt_tokens": COUNT,
        "completion_tokens": COUNT,
        "total_tokens": COUNT,
        "prompt_tokens_details": answered({"cached_tokens": COUNT}),
        "completion_tokens_details": answered({"reasoning_tokens": COUNT}),
    }
)
_ANNOTATION: Final = answered(
    {"index": COUNT, "type": URL_CITATION, "url_citation": answered(CITATION)},
    optional=("index",),
)
_FUNCTION: Final = {"name": STRING, "arguments": STRING}
_CALL: Final = answered({"id": STRING, "type": STRING, "function": answered(_FUNCTION)})
_SAID: Final = answered(
    {
        "role": const("assistant"),
        "content": nullable(STRING),
        "refusal": nullable(STRING),
        "tool_calls": array(_CALL),
        "annotations": array(_ANNOTATION),
    },
    optional=("tool_calls", "annotations"),
)
_REASON: Final = one_of(("stop", "length", "tool_calls", "content_filter", "function_call"))
_NO_LOGPROBS: Final[Schema] = {"type": "null"}
COMPLETION: Final = answered(
    {
        "id": STRING,
        "object": const("chat.completion"),
        "created": UNIX_SECONDS,
        "model": STRING,
        "choices": array(
            answered(
                {
                    "index": COUNT,
                    "message": _SAID,
                    "logprobs": _NO_LOGPROBS,
                    "finish_reason": _REASON,
                }
            ),
            1,
            1,
        ),
        "usage": ref("ChatUsage"),
        "system_fingerprint": nullable(STRING),
        "metadata": METADATA,
        "arenalab": ref("Extension"),
    },
    optional=("metadata",),
)
_CALL_DELTA: Final = answered(
    {
        "index": COUNT,
        "id": STRING,
        "type": STRING,
        "function": answered(_FUNCTION, optional=_FUNCTION),
    },
    optional=("id", "type", "function"),
)
_DELTA: Final[dict[str, Schema]] = {
    "role": const("assistant"),
    "content": STRING,
    "refusal": STRING,
    "tool_calls": array(_CALL_DELTA),
    "annotations": array(_ANNOTATION),
}
CHUNK: Final = described(
    answered(
        {
            "id": STRING,
            "object": const("chat.completion.chunk"),
            "created": UNIX_SECONDS,
            "model": STRING,
            "choices": array(
                answered(
                    {
                        "index": COUNT,
                        "delta": answered(_DELTA, optional=_DELTA),
                        "logprobs": _NO_LOGPROBS,
                        "finish_reason": nullable(_REASON),
                    }
                ),
                most=1,
            ),
            "usage": nullable(ref("ChatUsage")),
            "system_fingerprint": nullable(STRING),
            "arenalab": {"anyOf": [ref("Begun"), ref("Extension")]},
        },
        optional=("usage", "arenalab"),
    ),
    "The data of one server-sent event; the last event's data is [DONE].",
)
