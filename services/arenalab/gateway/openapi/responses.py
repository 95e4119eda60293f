"""Responses: request, response object and the events of a stream."""

from typing import Final

from arenalab.gateway import openai
from arenalab.gateway.ids import MAX_ID
from arenalab.gateway.openapi.chat import METADATA, SAMPLING
from arenalab.gateway.openapi.parts import (
    BOOLEAN,
    COUNT,
    NOT_BLANK,
    NUMBER,
    OBJECT,
    STRING,
    Schema,
    answered,
    array,
    asked,
    closed,
    const,
    described,
    nullable,
    one_of,
    ref,
    text,
    whole,
)
from arenalab.gateway.openapi.vouching import CITATION, UNIX_SECONDS, URL_CITATION
from arenalab.gateway.responses.items import MAX_ITEMS
from arenalab.gateway.responses.request import MAX_INCLUDES, NOTHING_TO_INCLUDE
from arenalab.gateway.responses.tools import MAX_TOOLS

_TEXT_PART: Final = asked(
    {"type": one_of(("input_text", "output_text", "text")), "text": STRING}, ("type", "text")
)
ITEM_PART: Final[Schema] = {
    "anyOf": [
        _TEXT_PART,
        asked({"type": const("refusal"), "refusal": STRING}, ("type", "refusal")),
        asked(
            {"type": const("input_image"), "image_url": STRING, "detail": STRING},
            ("type", "image_url"),
        ),
        asked(
            {"type": const("input_file"), "file_data": STRING, "filename": STRING},
            ("type", "file_data"),
        ),
        asked(
            {
                "type": const("input_audio"),
                "input_audio": asked({"data": STRING, "format": STRING}, ("data", "format")),
            },
            ("type", "input_audio"),
        ),
    ]
}
_CONTENT: Final[Schema] = {"anyOf": [STRING, array(ref("ItemPart"), least=1)]}
_CALL: Final = {"call_id": STRING, "name": STRING, "arguments": STRING}
ITEM: Final[Schema] = {
    "anyOf": [
        asked(
            {
                "type": const("message"),
                "role": one_of(("user", "assistant", "system", "developer")),
                "content": _CONTENT,
            },
            ("role", "content"),
        ),
        asked({"type": const("function_call"), **_CALL}, ("type", *_CALL)),
        asked(
            {"type": const("function_call_output"), "call_id": STRING, "output": _CONTENT},
            ("type", "call_id", "output"),
        ),
        described(asked({"type": const("reasoning")}, ("type",)), "Ignored, with a warning."),
    ]
}
_TOOL: Final = asked(
    {
        "type": const("function"),
        "name": STRING,
        "description": STRING,
        "parameters": OBJECT,
        "strict": BOOLEAN,
    },
    ("type", "name"),
)
_NAMED: Final = asked({"type": const("function"), "name": STRING}, ("type", "name"))
_CHOICE: Final[Schema] = {
    "anyOf": [
        one_of(("none", "auto", "required")),
        _NAMED,
        asked(
            {
                "type": const("allowed_tools"),
                "mode": one_of(("auto", "required")),
                "tools": array(_NAMED),
            },
            ("type", "mode"),
        ),
    ]
}
_FORMAT: Final[Schema] = {
    "anyOf": [
        asked({"type": one_of(("text", "json_object"))}, ("type",)),
        asked(
            {
                "type": const("json_schema"),
                "name": STRING,
                "schema": OBJECT,
                "strict": BOOLEAN,
                "description": STRING,
            },
            ("type", "name", "schema"),
        ),
    ]
}
REQUEST: Final = asked(
    {
        "input": {
            "anyOf": [{**STRING, "pattern": NOT_BLANK}, array(ref("InputItem"), 1, MAX_ITEMS)]
        },
        "model": described(text(most=openai.MAX_MODEL), "arenalab unless given."),
        "instructions": described(STRING, "For this answer alone."),
        "previous_response_id": described(
            text(most=MAX_ID), "Goes on with that conversation, as the ledger sealed it."
        ),
        "stream": BOOLEAN,
        "stream_options": described(asked({"include_obfuscation": BOOLEAN}), "Only with stream."),
        "max_output_tokens": whole(1, openai.MAX_TOKENS),
        "max_tool_calls": described(whole(1, openai.MAX_TOKENS), "Of built-in tools: none."),
        "text": asked({"format": _FORMAT, "verbosity": STRING}),
        "tools": array(_TOOL, most=MAX_TOOLS),
        "tool_choice": _CHOICE,
        "parallel_tool_calls": BOOLEAN,
        "reasoning": asked({"effort": STRING}),
        "include": described(
            array(one_of(NOTHING_TO_INCLUDE), most=MAX_INCLUDES), "Nothing of it is ever there."
        ),
        "truncation": one_of(("disabled",)),
        "background": {"type": "boolean", "const": False},
        "store": described(BOOLEAN, "Every answer is sealed; false gives a warning."),
        "metadata": METADATA,
        "arenalab": ref("Policy"),
        **SAMPLING,
    },
    ("input",),
)

_STATUS: Final = one_of(("in_progress", "completed", "incomplete", "failed"))
_ANNOTATION: Final = answered({"type": URL_CITATION, **CITATION})
OUTPUT_PART: Final[Schema] = {
    "anyOf": [
        answered(
            {
                "type": const("output_text"),
                "text": STRING,
                "annotations": array(_ANNOTATION),
                "logprobs": array(OBJECT, most=0),
            }
        ),
        answered({"type": const("refusal"), "refusal": STRING}),
    ]
}
OUTPUT_ITEM: Final[Schema] = {
    "anyOf": [
        answered(
            {
                "id": STRING,
                "type": const("message"),
                "role": const("assistant"),
                "status": _STATUS,
                "content": array(ref("OutputPart")),
            }
        ),
        answered({"id": STRING, "type": const("function_call"), "status": _STATUS, **_CALL}),
    ]
}
USAGE: Final = answered(
    {
        "input_tokens": COUNT,
        "input_tokens_details": answered({"cached_tokens": COUNT, "cache_write_tokens": COUNT}),
        "output_tokens": COUNT,
        "output_tokens_details": answered({"reasoning_tokens": COUNT}),
        "total_tokens": COUNT,
    }
)
_REASONS: Final = one_of(("max_output_tokens", "content_filter"))
RESPONSE: Final = answered(
    {
        "id": STRING,
        "object": const("response"),
        "created_at": UNIX_SECONDS,
        "status": _STATUS,
        "model": STRING,
        "output": array(ref("OutputItem")),
        "error": nullable(answered({"code": STRING, "message": STRING})),
        "incomplete_details": nullable(answered({"reason": _REASONS})),
        "usage": nullable(ref("ResponseUsage")),
        "background": {"type": "boolean", "const": False},
        "store": {"type": "boolean", "const": True},
        "truncation": const("disabled"),
        "instructions": nullable(STRING),
        "max_output_tokens": nullable(COUNT),
        "max_tool_calls": nullable(COUNT),
        "metadata": OBJECT,
        "parallel_tool_calls": BOOLEAN,
        "previous_response_id": nullable(STRING),
        "reasoning": answered({"effort": nullable(STRING), "summary": {"type": "null"}}),
        "temperature": nullable(NUMBER),
        "text": answered({"format": OBJECT}),
        "tool_choice": {"anyOf": [STRING, OBJECT]},
        "tools": array(OBJECT),
        "top_p": nullable(NUMBER),
        "user": nullable(STRING),
        "system_fingerprint": nullable(STRING),
        "arenalab": ref("Extension"),
    },
    optional=("system_fingerprint", "arenalab"),
)


def _event(kinds: tuple[str, ...], members: dict[str, Schema]) -> Schema:
    return closed(answered({"type": one_of(kinds), "sequence_number": COUNT, **members}))


_OF_ITEM: Final[dict[str, Schema]] = {"item_id": STRING, "output_index": COUNT}
_OF_PART: Final[dict[str, Schema]] = {**_OF_ITEM, "content_index": COUNT}
_NO_LOGPROBS: Final = array(OBJECT, most=0)
_LIFE: Final = ("created", "in_progress", "completed", "incomplete", "failed")
EVENT: Final[Schema] = {
    "description": "The data of one server-sent event; its name is the type.",
    "anyOf": [
        _event(tuple(f"response.{each}" for each in _LIFE), {"response": ref("Response")}),
        _event(
            ("response.output_item.added", "response.output_item.done"),
            {"output_index": COUNT, "item": ref("OutputItem")},
        ),
        _event(
            ("response.content_part.added", "response.content_part.done"),
            {**_OF_PART, "part": ref("OutputPart")},
        ),
        _event(
            ("response.output_text.delta",),
            {**_OF_PART, "delta": STRING, "logprobs": _NO_LOGPROBS},
        ),
        _event(
            ("response.output_text.done",), {**_OF_PART, "text": STRING, "logprobs": _NO_LOGPROBS}
        ),
        _event(
            ("response.output_text.annotation.added",),
            {**_OF_PART, "annotation_index": COUNT, "annotation": _ANNOTATION},
        ),
        _event(("response.refusal.delta",), {**_OF_PART, "delta": STRING}),
        _event(("response.refusal.done",), {**_OF_PART, "refusal": STRING}),
        _event(("response.function_call_arguments.delta",), {**_OF_ITEM, "delta": STRING}),
        _event(
            ("response.function_call_arguments.done",),
            {**_OF_ITEM, "name": STRING, "arguments": STRING},
        ),
        _event(
            ("error",),
            {"code": nullable(STRING), "message": STRING, "param": nullable(STRING)},
        ),
    ],
}
